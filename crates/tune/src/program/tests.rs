use super::*;

/// An ELF file of 64-bit x86 with one segment, its loader, if it has one.
fn elf(loader: Option<&str>) -> Vec<u8> {
    let mut file = vec![0; 64 + 56];
    file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    file[16..18].copy_from_slice(&3_u16.to_le_bytes()); // ET_DYN
    file[18..20].copy_from_slice(&62_u16.to_le_bytes()); // EM_X86_64
    file[20] = 1;
    file[32..40].copy_from_slice(&64_u64.to_le_bytes()); // e_phoff
    file[52..54].copy_from_slice(&64_u16.to_le_bytes());
    file[54..56].copy_from_slice(&56_u16.to_le_bytes()); // e_phentsize
    file[56..58].copy_from_slice(&1_u16.to_le_bytes()); // e_phnum
    let Some(loader) = loader else {
        file[64] = 1; // PT_LOAD
        return file;
    };
    file[64] = 3; // PT_INTERP
    let offset = file.len() as u64;
    file[72..80].copy_from_slice(&offset.to_le_bytes());
    file[96..104].copy_from_slice(&(loader.len() as u64 + 1).to_le_bytes()); // p_filesz
    file.extend_from_slice(loader.as_bytes());
    file.push(0);
    file
}

#[track_caller]
fn check(file: &[u8], expected: &Program) {
    assert_eq!(&Program::of(file), expected);
}

#[test]
fn the_loader_decides() {
    let glibc = "/lib64/ld-linux-x86-64.so.2";
    check(&elf(Some(glibc)), &Program::Preloadable { loader: glibc.into() });
    let nix = "/nix/store/abc-glibc-2.40/lib/ld-linux-x86-64.so.2";
    check(&elf(Some(nix)), &Program::Preloadable { loader: nix.into() });
    let musl = "/lib/ld-musl-x86_64.so.1";
    check(&elf(Some(musl)), &Program::Refused(Refusal::Musl { loader: musl.into() }));
    let other = "/system/bin/linker64";
    check(&elf(Some(other)), &Program::Refused(Refusal::OtherLoader { loader: other.into() }));
    check(&elf(None), &Program::Refused(Refusal::Static));
}

#[test]
fn other_machines_are_named() {
    let mut file = elf(None);
    file[18] = 183;
    check(&file, &Program::Refused(Refusal::Architecture("aarch64".into())));
    file[4] = 1;
    file[18] = 3;
    check(&file, &Program::Refused(Refusal::Architecture("32-bit x86".into())));
    file[5] = 2;
    file[18..20].copy_from_slice(&[0, 22]);
    check(&file, &Program::Refused(Refusal::Architecture("s390x".into())));
    file[18..20].copy_from_slice(&[0x12, 0x34]);
    check(&file, &Program::Refused(Refusal::Architecture("machine 4660".into())));
}

#[test]
fn scripts_name_their_interpreter() {
    let script = |interpreter: &str, argument: Option<&str>| Program::Script {
        interpreter: interpreter.into(),
        argument: argument.map(OsString::from),
    };
    check(b"#!/usr/bin/python3\nprint()", &script("/usr/bin/python3", None));
    check(b"#! /usr/bin/env  python3 -u \n", &script("/usr/bin/env", Some("python3 -u")));
    check(b"#!/bin/sh", &script("/bin/sh", None));
    check(b"#!\n", &Program::Refused(Refusal::NoProgram));
    check(b"echo no first line\n", &Program::Text);
}

#[test]
fn damaged_files_are_no_programs() {
    let whole = elf(Some("/lib64/ld-linux-x86-64.so.2"));
    for length in 0..whole.len() {
        assert!(!matches!(Program::of(&whole[..length]), Program::Preloadable { .. }), "{length} bytes");
    }
    // Each byte once with every bit flipped: no panic, whatever it is taken for.
    for index in 0..whole.len() {
        let mut file = whole.clone();
        file[index] ^= 0xff;
        let _ = Program::of(&file[..]);
    }
    check(b"", &Program::Refused(Refusal::NoProgram));
    check(b"\0\0\0\0", &Program::Refused(Refusal::NoProgram));
}

#[test]
fn raised_rights_are_those_that_the_caller_lacks() {
    let rights = |mode, owner, caller, has_capabilities| Rights { mode, owner, has_capabilities, caller };
    let why = |rights: Rights| match rights.refusal() {
        Some(Refusal::Privileged(why)) => why,
        _ => "",
    };
    assert_eq!(why(rights(0o4755, (0, 0), (1000, 1000), false)), "set-user-ID");
    assert_eq!(why(rights(0o4755, (0, 0), (0, 0), false)), "");
    assert_eq!(why(rights(0o2755, (0, 42), (1000, 1000), false)), "set-group-ID");
    assert_eq!(why(rights(0o2745, (0, 42), (1000, 1000), false)), "");
    assert_eq!(why(rights(0o755, (0, 0), (1000, 1000), true)), "file capabilities");
    assert_eq!(why(rights(0o755, (0, 0), (0, 0), true)), "");
    assert_eq!(why(rights(0o755, (0, 0), (1000, 1000), false)), "");
}
