//! See `confhub_fuzz::disk`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| confhub_fuzz::disk::check(data));
