//! `cargo xtask android`: the library and the program for Android, checked.

mod build;
mod elf;
mod emulator;
mod ndk;
mod tools;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::value_parser;

use crate::workspace::Workspace;
use tools::{Missing, Tools};

/// The target; its name on devices and in packages of apps is [`ABI`].
const TARGET: &str = "aarch64-linux-android";

/// What Android calls the target.
const ABI: &str = "arm64-v8a";

/// The library's file.
const LIBRARY: &str = "libwalytis_android.so";

/// The library's header, from the root.
const HEADER: &str = "walytis-android/include/walytis.h";

/// Build the library with the C interface, and `walytis`, for aarch64-linux-android
///
/// It needs the target's standard library and an Android NDK (version 23 or later), and says what is missing. It looks for the
/// NDK as cargo-ndk does: ANDROID_NDK_HOME, ANDROID_NDK_ROOT, ANDROID_NDK_PATH, NDK_HOME; then the highest version in the folder
/// `ndk` of ANDROID_HOME, ANDROID_SDK_ROOT, ANDROID_SDK_HOME; then in the platform's default SDK.
///
/// What was built is looked at: machine, interpreter, needed libraries, alignment to pages of 16 KiB, relocations, exported
/// symbols. Only what is in order is put into the folder --out: jniLibs/arm64-v8a/, include/ and bin/arm64-v8a/. docs/android.md
/// says how an app uses it, and how to build without an NDK.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  cargo xtask android --release\n  \
    cargo xtask android --release --api 26 --out app/src/main\n  \
    cargo xtask android --stub-sysroot sysroot --run-in root     (without an NDK)")]
pub(crate) struct Arguments {
    /// Build with optimisations
    #[arg(long)]
    release: bool,
    /// The lowest version of Android that is to run it: 24 is Android 7.0, the first with getifaddrs
    #[arg(long, value_name = "LEVEL", default_value_t = 24, value_parser = value_parser!(u32).range(24..=99))]
    api: u32,
    /// Where the results go; target/android by default
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Link against stubs of Android's libraries instead of an NDK's: the result is not run on Android
    #[arg(long, value_name = "DIR")]
    stub_sysroot: Option<PathBuf>,
    /// Run `walytis` under an emulator of user programs (qemu-aarch64) in this folder, which has a loader as
    /// system/bin/linker64, and may have a library to load first as system/lib64/libshim.so
    #[arg(long, value_name = "DIR")]
    run_in: Option<PathBuf>,
}

/// Builds, checks, and puts the results where they are asked for.
///
/// # Errors
/// Something is missing, nothing was built then; or the build or a check fails, nothing is in the folder for results then that
/// was not there before.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let workspace = Workspace::load()?;
    let found = Tools::find(arguments.api, arguments.stub_sysroot.as_deref());
    let emulator = arguments.run_in.as_deref().map(emulator::Emulator::find).transpose();
    let (tools, emulator) = match (found, emulator) {
        (Ok(tools), Ok(emulator)) => (tools, emulator),
        (tools, emulator) => {
            let missing = tools.err().unwrap_or_default().into_iter().chain(emulator.err());
            bail!("{}", tools::message(&missing.collect::<Vec<Missing>>()));
        }
    };
    println!("{}", tools.description);
    let built = build::build(&workspace, &tools, arguments.release)?;
    let header =
        std::fs::read_to_string(workspace.root.join(HEADER)).with_context(|| format!("cannot read {HEADER}"))?;
    check(&built, &header)?;
    match &emulator {
        Some(emulator) => {
            emulator.run(&built.program, &workspace.target_directory)?;
            emulator.run_c_program(&tools, &built, &workspace.root, &workspace.target_directory)?;
        }
        None => println!("not run: --run-in names no folder with a loader for an emulator"),
    }
    let out = arguments.out.clone().unwrap_or_else(|| workspace.target_directory.join("android"));
    build::deliver(&built, &workspace.root.join(HEADER), &out, tools.stub_note())?;
    println!("in {}: jniLibs/{ABI}/{LIBRARY}, include/walytis.h, bin/{ABI}/walytis", out.display());
    println!("{}", tools.conclusion());
    Ok(())
}

/// Prints what was found in both files.
fn check(built: &build::Built, header: &str) -> Result<()> {
    let exports = elf::declared(header);
    let library = elf::Expected::Library { name: LIBRARY, exports: &exports };
    let mut wrong = 0_usize;
    for (path, expected) in [(&built.shared, library), (&built.program, elf::Expected::Program)] {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        println!("\n{}, {} bytes", file_name(path), bytes.len());
        for finding in elf::check(&bytes, expected).with_context(|| format!("{} cannot be used", path.display()))? {
            println!("  {finding}");
            wrong = wrong.saturating_add(usize::from(!finding.holds()));
        }
    }
    println!();
    if wrong > 0 {
        bail!("{wrong} checks of what was built failed: nothing was put into the folder for results");
    }
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        arguments: Arguments,
    }

    fn parse(line: &str) -> Result<Arguments, clap::Error> {
        Line::try_parse_from(["android"].into_iter().chain(line.split_whitespace())).map(|line| line.arguments)
    }

    #[test]
    fn arguments_are_read() {
        let default = parse("").expect("nothing is needed");
        assert_eq!((default.release, default.api, default.out, default.stub_sysroot), (false, 24, None, None));
        let all = parse("--release --api 30 --out o --stub-sysroot s --run-in r").expect("all of them");
        assert_eq!((all.release, all.api), (true, 30));
        let paths = [all.out, all.stub_sysroot, all.run_in].map(|path| path.expect("given"));
        assert_eq!(paths, ["o", "s", "r"].map(std::path::PathBuf::from));
    }

    #[test]
    fn levels_without_getifaddrs_are_refused() {
        for line in ["--api 23", "--api 0", "--api x", "--api 100", "--out", "--stub-sysroot"] {
            parse(line).expect_err(line);
        }
    }
}
