//! See `confhub_fuzz::import`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::import::check(data));
