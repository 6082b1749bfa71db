#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| structchunk_fuzz::directory(bytes));
