//! Each check is seen to hold for a file that is as it should be, and to fail for one that is not. The files are made here.

use std::collections::BTreeSet;

use object::write::elf::{FileHeader, ProgramHeader, Rel, SectionHeader, Sym, Writer};
use object::{Endianness, elf};

use super::{Expected, check, declared};

/// What a file for the checks is like. The default is a library that is in order.
struct Sample {
    is_64: bool,
    machine: elf::Machine,
    kind: elf::FileType,
    interpreter: Option<&'static str>,
    needed: Vec<&'static str>,
    soname: Option<&'static str>,
    exports: Vec<&'static str>,
    align: u64,
    /// What is added to the second segment's address, so that it no longer fits its place in the file.
    shift: u64,
    text_relocations: TextRelocations,
    second_flags: elf::ProgramFlags,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum TextRelocations {
    None,
    Tag,
    Flag,
    /// One that no flag tells of.
    Untold,
}

impl Default for Sample {
    fn default() -> Self {
        Self {
            is_64: true,
            machine: elf::EM_AARCH64,
            kind: elf::ET_DYN,
            interpreter: None,
            needed: vec!["libc.so", "libdl.so"],
            soname: Some("libx.so"),
            exports: vec!["walytis_a", "walytis_b"],
            align: 16_384,
            shift: 0,
            text_relocations: TextRelocations::None,
            second_flags: elf::PF_R | elf::PF_W,
        }
    }
}

impl Sample {
    /// A program that is in order.
    fn program() -> Self {
        Self { interpreter: Some("/system/bin/linker64"), soname: None, exports: Vec::new(), ..Self::default() }
    }

    /// The file. Its first segment is code and what the loader reads, its second what can be written.
    fn write(&self) -> Vec<u8> {
        let mut file = Vec::new();
        let mut out = Writer::new(Endianness::Little, self.is_64, &mut file);
        let needed: Vec<_> = self.needed.iter().map(|name| out.add_dynamic_string(name.as_bytes())).collect();
        let soname = self.soname.map(|name| out.add_dynamic_string(name.as_bytes()));
        let exports: Vec<_> = self.exports.iter().map(|name| out.add_dynamic_string(name.as_bytes())).collect();

        out.reserve_file_header();
        out.reserve_program_headers(3 + u32::from(self.interpreter.is_some()));
        let interpreter = self.interpreter.map(|name| [name.as_bytes(), b"\0"].concat());
        let interpreter_at = interpreter.as_ref().map(|name| out.reserve(name.len() as u64, 1));
        out.reserve_null_dynamic_symbol_index();
        for _ in &exports {
            out.reserve_dynamic_symbol_index();
        }
        out.reserve_dynsym();
        out.reserve_dynstr().expect("strings");
        let relocations_at = out.reserve_relocations(1, true);
        let code_at = out.reserve(16, 8);
        let code_end = out.reserved_len();
        let second_at = code_end.next_multiple_of(16_384);
        out.reserve_until(second_at);
        out.reserve(8, 8);
        let entries = needed.len() + 2 + usize::from(soname.is_some());
        let dynamic_at = out.reserve_dynamic(entries);
        let second_end = out.reserved_len();
        let relocations_name = out.add_section_name(b".rela.dyn");
        let code_name = out.add_section_name(b".text");
        out.reserve_section_index();
        let code = out.reserve_section_index();
        let symbols = out.reserve_dynsym_section_index();
        out.reserve_dynstr_section_index();
        out.reserve_dynamic_section_index();
        out.reserve_shstrtab_section_index();
        out.reserve_shstrtab().expect("names");
        out.reserve_section_headers();

        let (e_type, e_machine) = (self.kind, self.machine);
        let flags = elf::FileFlags(0);
        let header =
            FileHeader { os_abi: elf::ELFOSABI_NONE, abi_version: 0, e_type, e_machine, e_entry: 0, e_flags: flags };
        out.write_file_header(&header).expect("a header");
        let segment = |p_type, p_flags, from: u64, to: u64, shift: u64, p_align| ProgramHeader {
            p_type,
            p_flags,
            p_offset: from,
            p_vaddr: from + shift,
            p_paddr: from + shift,
            p_filesz: to - from,
            p_memsz: to - from,
            p_align,
        };
        out.write_align_program_headers();
        out.write_program_header(&segment(elf::PT_LOAD, elf::PF_R | elf::PF_X, 0, code_end, 0, self.align));
        let second = segment(elf::PT_LOAD, self.second_flags, second_at, second_end, self.shift, self.align);
        out.write_program_header(&second);
        out.write_program_header(&segment(elf::PT_DYNAMIC, elf::PF_R, dynamic_at, second_end, self.shift, 8));
        if let (Some(name), Some(at)) = (&interpreter, interpreter_at) {
            out.write_program_header(&segment(elf::PT_INTERP, elf::PF_R, at, at + name.len() as u64, 0, 1));
            out.write(name);
        }
        out.write_null_dynamic_symbol();
        for name in &exports {
            let st_name = out.dynamic_string_offset(Some(*name));
            out.write_dynamic_symbol(&Sym {
                section: Some(code.0),
                st_name,
                st_info: elf::SymbolInfo::new(elf::STB_GLOBAL, elf::STT_FUNC),
                st_other: elf::SymbolOther(0),
                st_shndx: elf::SymbolSection(0),
                st_value: code_at,
                st_size: 4,
            });
        }
        out.write_dynstr();
        out.write_align_relocation();
        let fixed = matches!(self.text_relocations, TextRelocations::Untold);
        let r_offset = if fixed { code_at } else { second_at + self.shift };
        out.write_relocation(true, &Rel { r_offset, r_sym: 0, r_type: elf::R_AARCH64_ABS64, r_addend: 0 });
        out.write_align(8);
        out.write(&[0; 16]);
        out.pad_until(second_at);
        out.write(&[0; 8]);
        out.write_align_dynamic();
        for name in &needed {
            out.write_dynamic_string(elf::DT_NEEDED, *name).expect("room");
        }
        if let Some(name) = soname {
            out.write_dynamic_string(elf::DT_SONAME, name).expect("room");
        }
        let (tag, value) = match self.text_relocations {
            TextRelocations::Tag => (elf::DT_TEXTREL, 0),
            TextRelocations::Flag => (elf::DT_FLAGS, elf::DF_TEXTREL.0),
            TextRelocations::None | TextRelocations::Untold => (elf::DT_FLAGS, elf::DF_BIND_NOW.0),
        };
        out.write_dynamic(tag, value).expect("room");
        out.write_dynamic(elf::DT_NULL, 0).expect("room");
        out.write_shstrtab();
        out.write_null_section_header();
        out.write_relocation_section_header(
            relocations_name,
            object::write::elf::SectionIndex(0),
            symbols,
            relocations_at,
            1,
            true,
        );
        let sh_name = out.section_name_offset(Some(code_name));
        out.write_section_header(&SectionHeader {
            sh_name,
            sh_type: elf::SHT_PROGBITS,
            sh_flags: elf::SHF_ALLOC | elf::SHF_EXECINSTR,
            sh_addr: code_at,
            sh_offset: code_at,
            sh_size: 16,
            sh_link: 0,
            sh_info: 0,
            sh_addralign: 8,
            sh_entsize: 0,
        });
        out.write_dynsym_section_header(0, 1);
        out.write_dynstr_section_header(0);
        out.write_dynamic_section_header(dynamic_at + self.shift);
        out.write_shstrtab_section_header();
        file
    }
}

/// The names of the checks that fail.
fn wrong(sample: &Sample, expected: Expected<'_>) -> Vec<String> {
    let findings = check(&sample.write(), expected).expect("it can be read");
    let wrong = findings.iter().filter(|finding| !finding.holds());
    wrong.inspect(|finding| assert!(finding.to_string().starts_with("WRONG "))).map(|f| f.name.to_owned()).collect()
}

fn names(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|name| (*name).to_owned()).collect()
}

fn wrong_library(sample: &Sample) -> Vec<String> {
    wrong(sample, Expected::Library { name: "libx.so", exports: &names(&["walytis_a", "walytis_b"]) })
}

fn wrong_program(sample: &Sample) -> Vec<String> {
    wrong(sample, Expected::Program)
}

#[test]
fn what_is_in_order_passes() {
    assert_eq!(wrong_library(&Sample::default()), [""; 0]);
    assert_eq!(wrong_program(&Sample::program()), [""; 0]);
    let all =
        Sample { needed: vec!["libm.so", "liblog.so", "libdl.so", "libc.so"], align: 65_536, ..Sample::default() };
    assert_eq!(wrong_library(&all), [""; 0]);
}

#[test]
fn another_machine_is_found() {
    assert_eq!(wrong_library(&Sample { machine: elf::EM_X86_64, ..Sample::default() }), ["machine"]);
    assert_eq!(wrong_program(&Sample { kind: elf::ET_EXEC, ..Sample::program() }), ["machine"]);
}

#[test]
fn what_is_no_64_bit_file_is_refused() {
    let small = Sample { is_64: false, machine: elf::EM_ARM, ..Sample::default() }.write();
    for bytes in [small.as_slice(), b"", b"\x7fELF", b"#!/bin/sh"] {
        let error = check(bytes, Expected::Program).map(|_| ()).expect_err("it is none");
        assert!(error.to_string().contains("not a 64-bit ELF file"), "{error}");
    }
}

#[test]
fn another_interpreter_is_found() {
    for interpreter in [None, Some("/lib/ld-linux-aarch64.so.1"), Some("/system/bin/linker")] {
        assert_eq!(wrong_program(&Sample { interpreter, ..Sample::program() }), ["interpreter"]);
    }
    let library = Sample { interpreter: Some("/system/bin/linker64"), ..Sample::default() };
    assert_eq!(wrong_library(&library), ["interpreter"]);
}

#[test]
fn libraries_that_no_device_has_are_found() {
    for foreign in ["libc++_shared.so", "libgcc_s.so.1", "libc.so.6", "libssl.so"] {
        let sample = Sample { needed: vec!["libc.so", foreign], ..Sample::default() };
        assert_eq!(wrong_library(&sample), ["needs"], "{foreign}");
    }
}

#[test]
fn segments_for_smaller_pages_are_found() {
    for (align, shift) in [(4096, 0), (8192, 0), (0, 0), (16_384, 4096), (65_536, 8)] {
        assert_eq!(wrong_library(&Sample { align, shift, ..Sample::default() }), ["alignment"], "{align}, {shift}");
    }
}

#[test]
fn text_relocations_are_found() {
    for text_relocations in [TextRelocations::Tag, TextRelocations::Flag, TextRelocations::Untold] {
        assert_eq!(wrong_library(&Sample { text_relocations, ..Sample::default() }), ["text relocs"]);
    }
    // What can be written and run needs none, and is refused all the same.
    let second_flags = elf::PF_R | elf::PF_W | elf::PF_X;
    assert_eq!(wrong_library(&Sample { second_flags, ..Sample::default() }), ["code"]);
}

#[test]
fn another_name_is_found() {
    for soname in [None, Some("libxy.so")] {
        assert_eq!(wrong_library(&Sample { soname, ..Sample::default() }), ["name"]);
    }
}

#[test]
fn exports_that_are_not_the_headers_are_found() {
    for exports in [vec!["walytis_a"], vec!["walytis_a", "walytis_b", "JNI_OnLoad"], vec![]] {
        assert_eq!(wrong_library(&Sample { exports, ..Sample::default() }), ["exports"]);
    }
}

#[test]
fn a_headers_functions_are_read() {
    let header = "#define WALYTIS_A(x) x\n/* walytis_no(1) */\nint walytis_a(void);\nvoid *\nwalytis_b(int (*other)(int));\n\
                  typedef struct walytis_c { int x; } walytis_c;\nint other_walytis(void); /* open";
    assert_eq!(declared(header), names(&["walytis_a", "walytis_b"]));
}

/// The header of the library itself: what the build compares with is not empty.
#[test]
fn our_header_declares_functions() {
    let header = std::fs::read_to_string(
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate::android::HEADER),
    );
    let declared = declared(&header.expect("it is there"));
    assert!(declared.contains("walytis_open") && declared.contains("walytis_last_error") && declared.len() > 10);
}
