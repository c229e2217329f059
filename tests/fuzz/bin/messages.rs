//! See `confhub_fuzz::messages`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::messages::check(data));
