#!/bin/sh
# toolchain.sh PACKAGES TOOLCHAIN: a copy of the Rust toolchain in use, with the standard library for Android in it.
#
# The library is built once, from the sources of the same version. RUSTC_BOOTSTRAP is needed for that alone: what is built with
# the copy afterwards is built by the stable compiler as it is.
set -eu
packages=$(realpath "$1") target=aarch64-linux-android
mkdir -p "$2"
toolchain=$(realpath "$2")
cp -Rl "$(rustc --print sysroot)/." "$toolchain" 2>/dev/null || cp -R "$(rustc --print sysroot)/." "$toolchain"
source=$toolchain/lib/rustlib/src/rust
mkdir -p "$source"
rm -rf "$source/library"
cp -R "$packages"/rust-src/usr/src/rustc-*/library "$source/library"

probe=$toolchain/probe
mkdir -p "$probe/src"
printf '[package]\nname = "probe"\nedition = "2024"\n[workspace]\n' > "$probe/Cargo.toml"
: > "$probe/src/lib.rs"
cd "$probe"
RUSTC_BOOTSTRAP=1 RUSTC="$toolchain/bin/rustc" "$toolchain/bin/cargo" build --release -Z build-std=std,panic_unwind --target "$target"
place=$toolchain/lib/rustlib/$target/lib
rm -rf "$place"
mkdir -p "$place"
cp "target/$target/release/deps"/*.rlib "target/$target/release/deps"/*.rmeta "$place"
rm -r "$place"/libprobe-* "$probe"
echo "now: rustup toolchain link walytis-android $toolchain"
