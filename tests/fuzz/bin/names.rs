//! See `confhub_fuzz::names`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::names::check(data));
