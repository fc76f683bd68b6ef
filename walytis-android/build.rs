//! Gives the library the name by which others link to it: without one, whoever links to it would remember the path that it
//! had on the machine where it was built.

fn main() {
    let system = std::env::var("CARGO_CFG_TARGET_OS").unwrap_or_default();
    if matches!(system.as_str(), "android" | "linux") {
        println!("cargo::rustc-cdylib-link-arg=-Wl,-soname,libwalytis_android.so");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
