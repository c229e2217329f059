//! See `confhub_fuzz::events`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::events::check(data));
