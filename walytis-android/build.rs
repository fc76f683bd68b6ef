//! How the library is linked, beyond what rustc does.

fn main() {
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if matches!(system.as_str(), "android" | "linux") {
        // Without a name, whoever links to it would remember the path that it had on the machine where it was built.
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwalytis_android.so");
        // rustc exports whatever any crate calls by a name of C's; on AArch64 that is a function of blake3's, too.
        println!("cargo::rustc-cdylib-link-arg=-Wl,--exclude-libs,ALL");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
