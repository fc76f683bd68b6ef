#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = offchain_testkit::fuzz::archive(bytes);
});
