//! `walytis` under an emulator of user programs. What that shows is the instructions and the code, not Android: the label says
//! which libc was there.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::build::Built;
use super::tools::{Missing, Tools, on_path};
use crate::process;

/// The loader in the folder, where programs for Android look for it.
const LOADER: &str = "system/bin/linker64";

/// What is loaded before the program's own libraries, if the folder has it: names that bionic has and another libc has not.
const SHIM: &str = "system/lib64/libshim.so";

/// The emulator, and a folder that is a file system's root to what runs in it.
#[derive(Debug)]
pub(super) struct Emulator {
    program: PathBuf,
    root: PathBuf,
}

impl Emulator {
    /// Finds both.
    pub(super) fn find(root: &Path) -> Result<Self, Missing> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        Self::find_on(&path, root)
    }

    fn find_on(path: &OsStr, root: &Path) -> Result<Self, Missing> {
        if !root.join(LOADER).is_file() {
            let what = format!("{} has no {LOADER}", root.display());
            return Err(Missing::new(what, "docs/android.md has the commands that make such a folder"));
        }
        let names = ["qemu-aarch64-static", "qemu-aarch64"];
        let program = on_path(path, &names).ok_or_else(|| {
            Missing::new(format!("there is no {} on the path", names.join(" or ")), "apt-get install qemu-user-static")
        })?;
        let root = std::path::absolute(root).unwrap_or_else(|_| root.to_path_buf());
        Ok(Self { program, root })
    }

    /// The emulator with a program and its arguments.
    fn command(&self, program: &Path, words: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.args(self.options()).arg(program).args(words).stdin(Stdio::null());
        command
    }

    /// Where the program finds its libraries, and which comes before all others.
    fn options(&self) -> Vec<OsString> {
        let mut options: Vec<OsString> = vec!["-L".into(), self.root.clone().into()];
        if self.root.join(SHIM).is_file() {
            options.extend(["-E".into(), format!("LD_PRELOAD=/{SHIM}").into()]);
        }
        options
    }

    /// What the loader says of itself: musl's tells its name and version when it is run alone.
    fn libc(&self) -> Result<String> {
        let mut command = Command::new(&self.program);
        command.arg(self.root.join(LOADER)).stdin(Stdio::null());
        let output = command.output().with_context(|| format!("cannot start `{}`", process::typed(&command)))?;
        let said = String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
        let lines: Vec<&str> = said.lines().take(2).collect();
        Ok(if lines.is_empty() { "a loader that does not say what it is".to_owned() } else { lines.join(", ") })
    }

    /// Compiles the C program that plays through the interface, which the gate runs on its own platform, and runs it with the
    /// library. Two homes meet over loopback.
    pub(super) fn run_c_program(&self, tools: &Tools, built: &Built, root: &Path, scratch: &Path) -> Result<()> {
        let tests = root.join("walytis-android");
        let program = scratch.join("android-c-program");
        let mut compile = Command::new(&tools.clang);
        compile.args(&tools.flags).args(&tools.c_flags).args(&tools.link_flags);
        compile.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-nodefaultlibs"]);
        compile.arg("-I").arg(tests.join("include")).arg(tests.join("tests").join("c").join("program.c"));
        compile.arg("-o").arg(&program).arg(&built.shared).args(["-lc", "-lm", "-ldl"]);
        process::run(&mut compile)?;
        let homes = scratch.join("android-c-homes");
        let _ = std::fs::remove_dir_all(&homes);
        std::fs::create_dir_all(&homes).context("cannot make a folder for homes")?;
        let libraries = built.shared.parent().unwrap_or(scratch);
        let mut run = Command::new(&self.program);
        run.args(self.options()).args(["-E", &format!("LD_LIBRARY_PATH={}", libraries.display())]);
        run.arg(&program).args([homes.join("first"), homes.join("second")]);
        let said = process::output(&mut run)?;
        ensure!(said.lines().last() == Some("all"), "the C program printed {said:?}");
        println!("  ok     C program: {}", said.lines().collect::<Vec<_>>().join(", "));
        std::fs::remove_dir_all(&homes)?;
        Ok(std::fs::remove_file(&program)?)
    }

    /// Asks for the version, makes a home and a group, posts to it and reads that back.
    pub(super) fn run(&self, program: &Path, scratch: &Path) -> Result<()> {
        let home = scratch.join("android-home");
        let _ = std::fs::remove_dir_all(&home);
        let key = scratch.join("android-key");
        std::fs::write(&key, [7; 32]).context("cannot write a key file")?;
        let shim = if self.root.join(SHIM).is_file() { " and a shim for names that it lacks" } else { "" };
        println!("under {}, with {}{shim}:", super::file_name(&self.program), self.libc()?);
        let walytis = |words: &[&str]| -> Result<String> {
            let mut command = self.command(program, words);
            command.env("WALYTIS_HOME", &home);
            process::output(&mut command)
        };
        let key = key.to_string_lossy();
        let steps: [(&[&str], &str); 5] = [
            (&["--version"], "walytis "),
            (&["init", "--key-file", &key], ""),
            (&["group", "new", "friends", "--key-file", &key], ""),
            (&["post", "friends", "-m", "Bridge at nine", "--key-file", &key], ""),
            (&["read", "friends", "--key-file", &key], "Bridge at nine"),
        ];
        for (words, expected) in steps {
            let said = walytis(words)?;
            ensure!(said.contains(expected), "`walytis {}` printed {said:?}", words.join(" "));
            let shown: Vec<&str> = words.iter().copied().take_while(|word| *word != "--key-file").collect();
            println!("  ok     walytis {}", shown.join(" "));
        }
        std::fs::remove_dir_all(&home).context("there is no home, though one was made")?;
        std::fs::remove_file(scratch.join("android-key"))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{Emulator, LOADER, SHIM};

    #[test]
    fn what_an_emulator_lacks_is_named() {
        let folder = tempfile::tempdir().expect("a folder");
        let (bin, root) = (folder.path().join("bin"), folder.path().join("root"));
        let touch = |path: &std::path::Path| {
            std::fs::create_dir_all(path.parent().expect("a folder")).expect("room");
            std::fs::write(path, "").expect("room");
        };
        let missing = Emulator::find_on(bin.as_os_str(), &root).expect_err("no loader");
        assert!(missing.what.ends_with("has no system/bin/linker64"), "{missing:?}");
        touch(&root.join(LOADER));
        let missing = Emulator::find_on(bin.as_os_str(), &root).expect_err("no emulator");
        assert_eq!(missing.command, "apt-get install qemu-user-static");
        touch(&bin.join(format!("qemu-aarch64{}", std::env::consts::EXE_SUFFIX)));
        let emulator = Emulator::find_on(bin.as_os_str(), &root).expect("both");
        let words = |emulator: &Emulator| crate::process::typed(&emulator.command("walytis".as_ref(), &["--version"]));
        assert!(!words(&emulator).contains("LD_PRELOAD"), "{}", words(&emulator));
        touch(&root.join(SHIM));
        assert!(words(&emulator).contains("-E LD_PRELOAD=/system/lib64/libshim.so"), "{}", words(&emulator));
    }
}
