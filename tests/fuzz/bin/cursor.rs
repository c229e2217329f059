//! See `confhub_fuzz::cursor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::cursor::check(data));
