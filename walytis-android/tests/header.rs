//! The header says what the library has: its functions, its numbers.

use std::collections::{BTreeMap, BTreeSet};

use walytis_android::layout::CONSTANTS;

const HEADER: &str = include_str!("../include/walytis.h");

/// A C text without its comments.
fn code(text: &str) -> String {
    let mut found = String::new();
    let mut rest = text;
    while let Some((before, comment)) = rest.split_once("/*") {
        found.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    found + rest
}

/// What a header declares: each name of ours before an opening bracket.
fn functions(header: &str) -> BTreeSet<String> {
    let code = code(header);
    let names = code.match_indices('(').filter_map(|(index, _)| {
        let before = code.get(..index)?;
        before.rsplit(|char: char| !char.is_alphanumeric() && char != '_').next()
    });
    names.filter(|name| name.starts_with("walytis_")).map(str::to_owned).collect()
}

fn constants(header: &str) -> BTreeMap<String, i64> {
    let code = code(header);
    let lines = code.lines().filter_map(|line| line.strip_prefix("#define WALYTIS_")?.split_once(' '));
    let number = |value: &str| value.trim().trim_end_matches('u').parse().ok();
    lines.filter_map(|(name, value)| Some((name.to_owned(), number(value)?))).collect()
}

#[test]
fn the_header_has_the_crates_numbers() {
    let ours: BTreeMap<String, i64> = CONSTANTS.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect();
    assert_eq!(constants(HEADER), ours);
}

#[test]
fn headers_are_read() {
    let header = "#ifndef WALYTIS_H\n#define WALYTIS_H\n#define WALYTIS_A 1u /* x */\n#define WALYTIS_B 22\n\
                  /* walytis_no(), #define WALYTIS_NO 1 */ int walytis_a(void);\nint\nwalytis_b(int (*other)(int));";
    assert_eq!(functions(header), ["walytis_a", "walytis_b"].map(str::to_owned).into());
    assert_eq!(constants(header), [("A".to_owned(), 1), ("B".to_owned(), 22)].into());
}

/// What others see of the library is what the header declares: no more, no less.
#[cfg(target_os = "linux")]
#[test]
fn the_library_exports_what_the_header_declares() {
    use object::{Object, ObjectSymbol};

    let test = std::env::current_exe().expect("a test has a path");
    let library = test.with_file_name("libwalytis_android.so");
    let bytes = std::fs::read(&library).expect("cargo builds the library beside its tests");
    let library = object::File::parse(bytes.as_slice()).expect("it is an ELF file");
    let exported = library.dynamic_symbols().filter(|symbol| symbol.is_definition() && symbol.is_global());
    let exported: BTreeSet<String> = exported.map(|symbol| symbol.name().expect("UTF-8").to_owned()).collect();
    assert_eq!(exported, functions(HEADER));
}

/// A panic that left a function would end the app. Two functions do nothing that could: they read a number and a pointer.
#[test]
fn every_function_catches_panics() {
    let source = include_str!("../src/abi.rs");
    let after = |text: &str| text.split_once("extern \"C\" fn ").map(|(_, rest)| rest.to_owned());
    let (mut rest, mut seen) = (after(source), BTreeSet::new());
    while let Some(text) = rest {
        let name = text.split('(').next().unwrap_or_default().to_owned();
        let body = text.split_once("{\n").map_or("", |(_, body)| body).trim_start();
        let plain = ["walytis_abi_version", "walytis_last_error"].contains(&name.as_str());
        assert!(plain || body.starts_with("guarded("), "{name} does not begin with `guarded`");
        seen.insert(name);
        rest = after(&text);
    }
    assert_eq!(seen, functions(HEADER));
}
