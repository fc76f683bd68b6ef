#!/bin/sh
# packages.sh PACKAGES: gets and unpacks what the other scripts here need, from Debian, npm and PyPI by their own clients.
#
# It needs apt-get with trixie-backports among its sources, dpkg, npm, pip and unzip, and about 1 GB. Nothing is installed.
# Where the version of rust-src is gone from the pool, take rustc and rust-src of one newer version from there or from sid.
set -eu
mkdir -p "$1/archives" "$1/android"
cd "$1/archives"

# The standard library's sources, of the compiler's version; the headers and the loader of musl; Linux's headers.
arm64="-o APT::Architectures::=arm64"
apt-get -q $arm64 update
apt-get -q $arm64 download "rust-src=$(rustc --version | cut -d' ' -f2)+*" musl:arm64 musl-dev:arm64 linux-libc-dev:arm64
dpkg -x rust-src_*.deb ../rust-src
dpkg -x musl_*.deb ../musl
dpkg -x musl-dev_*.deb ../musl
dpkg -x linux-libc-dev_*.deb ../linux

# Real programs and libraries for Android: which names they ask of its libraries is all that is read of them.
for package in @oven/bun-linux-aarch64-android @napi-rs/canvas-android-arm64 @napi-rs/nice-android-arm64 \
    @napi-rs/simple-git-android-arm64 @next/swc-android-arm64 @ngrok/ngrok-android-arm64 lightningcss-android-arm64; do
    archive=$(npm pack --silent "$package")
    mkdir -p "../android/$archive.d"
    tar -xzf "$archive" -C "../android/$archive.d"
done
pip download --quiet --no-deps --only-binary=:all: --platform android_24_arm64_v8a --python-version 3.13 pyzmq
unzip -qo pyzmq-*.whl -d ../android/pyzmq

# LLVM's unwinder, whose sources zig carries.
pip download --quiet --no-deps ziglang
unzip -qo ziglang-*.whl 'ziglang/lib/libunwind/*' -d ../zig
