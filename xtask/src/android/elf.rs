//! What Android's loader asks of a file, read from the file itself.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::{Context, Result};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{Endianness, Object, ObjectSymbol};

/// The loader of 64-bit programs.
const INTERPRETER: &str = "/system/bin/linker64";

/// What every app may link to and every device has; all else would have to be shipped.
const LIBRARIES: &[&str] = &["libc.so", "libdl.so", "liblog.so", "libm.so"];

/// Segments begin at multiples of this, so that devices with pages of 16 KiB load the file; those with smaller ones do, too.
pub(super) const PAGE_BYTES: u64 = 16 * 1024;

/// What a file should be.
#[derive(Clone, Copy)]
pub(super) enum Expected<'a> {
    /// A program, which names the loader.
    Program,
    /// A library of this name, which exports these symbols and no others.
    Library { name: &'a str, exports: &'a BTreeSet<String> },
}

/// One property of a file: what it is, and whether that is as it should be.
pub(super) struct Finding {
    name: &'static str,
    found: String,
    /// What is wrong with it.
    problem: Option<String>,
}

impl Finding {
    fn new(name: &'static str, found: impl Into<String>, problem: Option<String>) -> Self {
        Self { name, found: found.into(), problem }
    }

    pub(super) const fn holds(&self) -> bool {
        self.problem.is_none()
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let result = if self.holds() { "ok" } else { "WRONG" };
        write!(out, "{result:<6} {:<13} {}", self.name, self.found)?;
        self.problem.iter().try_for_each(|problem| write!(out, ": {problem}"))
    }
}

type File<'a> = ElfFile64<'a, Endianness>;

/// Looks at a file in every way that matters on Android.
///
/// # Errors
/// It is no 64-bit ELF file, or one whose tables cannot be read.
pub(super) fn check(bytes: &[u8], expected: Expected<'_>) -> Result<Vec<Finding>> {
    let file = File::parse(bytes).context("not a 64-bit ELF file")?;
    let dynamic = Dynamic::read(&file)?;
    let mut found = vec![machine(&file)?, interpreter(&file, expected)?, needed(&dynamic), alignment(&file)];
    found.push(text_relocations(&file, &dynamic)?);
    found.push(writable_code(&file));
    if let Expected::Library { name, exports } = expected {
        found.push(soname(&dynamic, name));
        found.push(exported(&file, exports)?);
    }
    Ok(found)
}

/// What the dynamic section says.
#[derive(Default)]
struct Dynamic {
    needed: Vec<String>,
    soname: Option<String>,
    text_relocations: bool,
}

impl Dynamic {
    fn read(file: &File<'_>) -> Result<Self> {
        let table = file.elf_dynamic_table().context("the dynamic section cannot be read")?;
        let mut found = Self::default();
        for entry in table.iter() {
            let text = || -> Result<String> { Ok(String::from_utf8_lossy(table.string(entry)?).into_owned()) };
            match entry.tag {
                elf::DT_NEEDED => found.needed.push(text()?),
                elf::DT_SONAME => found.soname = Some(text()?),
                elf::DT_TEXTREL => found.text_relocations = true,
                elf::DT_FLAGS if entry.val & elf::DF_TEXTREL.0 != 0 => found.text_relocations = true,
                _ => {}
            }
        }
        Ok(found)
    }
}

fn machine(file: &File<'_>) -> Result<Finding> {
    let (header, endian) = (file.elf_header(), file.endian());
    let right = header.e_machine(endian) == elf::EM_AARCH64
        && header.e_type(endian) == elf::ET_DYN
        && endian == Endianness::Little;
    let found = format!(
        "64-bit, {} endian, machine {}, type {}",
        if endian == Endianness::Little { "little" } else { "big" },
        header.e_machine(endian).0,
        header.e_type(endian).0
    );
    let problem =
        (!right).then_some("little endian, machine 183 (AArch64) and type 3 (position-independent) are asked for");
    Ok(Finding::new("machine", found, problem.map(str::to_owned)))
}

fn interpreter(file: &File<'_>, expected: Expected<'_>) -> Result<Finding> {
    let mut found = None;
    for header in file.elf_program_headers() {
        let name = header.interpreter(file.endian(), file.data()).context("the interpreter cannot be read")?;
        found = found.or(name.map(|name| String::from_utf8_lossy(name).into_owned()));
    }
    let wanted = matches!(expected, Expected::Program).then_some(INTERPRETER);
    let problem = (found.as_deref() != wanted).then(|| format!("{} is asked for", wanted.unwrap_or("none")));
    Ok(Finding::new("interpreter", found.unwrap_or_else(|| "none".to_owned()), problem))
}

fn needed(dynamic: &Dynamic) -> Finding {
    let foreign: Vec<&str> =
        dynamic.needed.iter().map(String::as_str).filter(|name| !LIBRARIES.contains(name)).collect();
    let problem = (!foreign.is_empty()).then(|| format!("a device need not have {}", foreign.join(", ")));
    Finding::new("needs", dynamic.needed.join(" "), problem)
}

fn segments<'a>(file: &'a File<'_>) -> impl Iterator<Item = &'a elf::ProgramHeader64<Endianness>> {
    let endian = file.endian();
    file.elf_program_headers().iter().filter(move |header| header.p_type(endian) == elf::PT_LOAD)
}

fn alignment(file: &File<'_>) -> Finding {
    let endian = file.endian();
    let alignments: BTreeSet<u64> = segments(file).map(|header| header.p_align(endian)).collect();
    let aligned = |header: &elf::ProgramHeader64<Endianness>| {
        let (align, offset, address) = (header.p_align(endian), header.p_offset(endian), header.p_vaddr(endian));
        align.is_power_of_two() && align >= PAGE_BYTES && offset % PAGE_BYTES == address % PAGE_BYTES
    };
    let wrong = segments(file).filter(|header| !aligned(header)).count();
    let shown: Vec<String> = alignments.iter().map(u64::to_string).collect();
    let problem = if shown.is_empty() {
        Some("there is no segment to load".to_owned())
    } else {
        (wrong > 0).then(|| format!("{wrong} segments are not aligned to {PAGE_BYTES} bytes"))
    };
    Finding::new("alignment", format!("segments at multiples of {} bytes", shown.join(", ")), problem)
}

/// Relocations of what cannot be written: the loader refuses them. The flags that tell of them are the linker's word; the
/// relocations themselves are looked at, too.
fn text_relocations(file: &File<'_>, dynamic: &Dynamic) -> Result<Finding> {
    let endian = file.endian();
    let fixed: Vec<(u64, u64)> = segments(file)
        .filter(|header| !header.p_flags(endian).contains(elf::PF_W))
        .map(|header| (header.p_vaddr(endian), header.p_vaddr(endian).saturating_add(header.p_memsz(endian))))
        .collect();
    let relocations = file.dynamic_relocations().into_iter().flatten();
    let (mut count, mut inside) = (0_u64, 0_u64);
    for (address, _) in relocations {
        count = count.saturating_add(1);
        if fixed.iter().any(|(from, to)| (*from..*to).contains(&address)) {
            inside = inside.saturating_add(1);
        }
    }
    let problem = (dynamic.text_relocations || inside > 0)
        .then(|| format!("flag: {}, relocations of what cannot be written: {inside}", dynamic.text_relocations));
    let found = if problem.is_none() { "none" } else { "some" };
    Ok(Finding::new("text relocs", format!("{found} (of {count} relocations)"), problem))
}

fn writable_code(file: &File<'_>) -> Finding {
    let both = segments(file).filter(|header| header.p_flags(file.endian()).contains(elf::PF_W | elf::PF_X)).count();
    let problem = (both > 0).then(|| format!("{both} segments can be written and run"));
    Finding::new("code", if both == 0 { "cannot be written" } else { "can be written" }, problem)
}

fn soname(dynamic: &Dynamic, wanted: &str) -> Finding {
    let problem = (dynamic.soname.as_deref() != Some(wanted)).then(|| format!("{wanted} is asked for"));
    Finding::new("name", dynamic.soname.as_deref().unwrap_or("none"), problem)
}

fn exported(file: &File<'_>, wanted: &BTreeSet<String>) -> Result<Finding> {
    let mut found = BTreeSet::new();
    for symbol in file.dynamic_symbols().filter(|symbol| symbol.is_definition() && !symbol.is_local()) {
        found.insert(symbol.name().context("a symbol's name cannot be read")?.to_owned());
    }
    let list = |names: Vec<&String>| names.into_iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let missing = list(wanted.difference(&found).collect());
    let beside = list(found.difference(wanted).collect());
    let problem = (found != *wanted).then(|| format!("the header has beside them [{missing}], and lacks [{beside}]"));
    Ok(Finding::new("exports", format!("{} symbols, the header's {}", found.len(), wanted.len()), problem))
}

/// The functions that a C header declares: each name of ours before an opening bracket, outside of comments.
pub(super) fn declared(header: &str) -> BTreeSet<String> {
    let mut code = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        code.push_str(before);
        rest = comment.split_once("*/").map_or("", |(_, after)| after);
    }
    code.push_str(rest);
    let before = |index: usize| code.get(..index)?.rsplit(|char: char| !char.is_alphanumeric() && char != '_').next();
    let names = code.match_indices('(').filter_map(|(index, _)| before(index));
    names.filter(|name| name.starts_with("walytis_")).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests;
