//! A C program uses the library by its header alone: compiled by the system's C compiler, linked with what cargo built.

#![cfg(unix)]
#![expect(clippy::expect_used, reason = "helpers of tests fail as tests do")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// Where cargo puts what it builds for the tests: the library is there too.
fn libraries() -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    test.parent().expect("it is in a folder").to_path_buf()
}

fn compile(source: &Path, program: &Path) {
    let crate_folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-pthread"]);
    command.arg("-I").arg(crate_folder.join("include")).arg(source).arg("-o").arg(program);
    command.arg("-L").arg(libraries()).arg("-lwalytis_android");
    command.arg(format!("-Wl,-rpath,{}", libraries().display()));
    let output = command.output().expect("there is a C compiler: the gate needs one anyway");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_c_program_plays_through_the_interface() {
    let folder = tempfile::tempdir().expect("a folder");
    let program = folder.path().join("program");
    compile(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/c/program.c"), &program);
    let homes = [folder.path().join("first"), folder.path().join("second")];
    let output = Command::new(&program).args(&homes).output().expect("it was compiled");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stderr));
    let parts = ["homes", "a group of two", "wrong handles", "arguments", "posts both ways", "ends", "all"];
    assert_eq!(said.lines().collect::<Vec<_>>(), parts);
}

#[test]
fn the_header_needs_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("alone.c");
    std::fs::write(&source, "#include \"walytis.h\"\nint main(void) { return walytis_abi_version() != 1; }\n")
        .expect("room");
    let program = folder.path().join("alone");
    compile(&source, &program);
    assert!(Command::new(&program).status().expect("it was compiled").success());
}
