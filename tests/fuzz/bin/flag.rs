//! See `confhub_fuzz::flag`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::flag::check(data));
