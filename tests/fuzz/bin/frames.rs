//! See `confhub_fuzz::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::frames::check(data));
