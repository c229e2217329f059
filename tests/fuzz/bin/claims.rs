//! See `confhub_fuzz::claims`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::claims::check(data));
