//! What the target's executable is: the machine it is made for, and the C library it asks for.
//!
//! Invariant: reads the two headers and the interpreter's name, a few KiB whatever they claim.

use std::fs::File;
use std::os::unix::fs::FileExt;

use super::{Check, Facts, Purpose};

/// Most program headers that are looked at; real files have about a dozen.
const PROGRAM_HEADERS_MAX: u16 = 64;
/// Longest interpreter name, as the kernel's PATH_MAX.
const INTERPRETER_MAX: u64 = 4096;

const ET_DYN: u16 = 3;
const PT_INTERP: u32 = 3;

/// The processor a file is made for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Machine {
    /// x86-64, with 64-bit pointers.
    X86_64,
    /// x86-64, with 32-bit pointers.
    X32,
    /// 32-bit x86.
    X86,
    /// 64-bit ARM.
    Aarch64,
    /// Another, by its ELF number.
    Other(u16),
}

impl Machine {
    const fn new(is_64_bit: bool, number: u16) -> Self {
        match (number, is_64_bit) {
            (62, true) => Self::X86_64,
            (62, false) => Self::X32,
            (3, _) => Self::X86,
            (183, true) => Self::Aarch64,
            _ => Self::Other(number),
        }
    }

    fn name(self) -> String {
        match self {
            Self::X86_64 => "x86-64".to_owned(),
            Self::X32 => "x32".to_owned(),
            Self::X86 => "32-bit x86".to_owned(),
            Self::Aarch64 => "aarch64".to_owned(),
            Self::Other(number) => format!("ELF machine {number}"),
        }
    }
}

/// An executable's headers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Image {
    /// What it is made for.
    pub machine: Machine,
    /// The dynamic loader it asks for; `None` when it is linked statically.
    pub interpreter: Option<String>,
    /// Whether it can be loaded anywhere.
    pub is_position_independent: bool,
}

impl Image {
    /// Reads the headers.
    ///
    /// # Errors
    /// Says what is wrong with them.
    pub(super) fn read(file: &File) -> Result<Self, String> {
        let mut header = [0; 64];
        file.read_exact_at(&mut header, 0).map_err(|error| format!("its header cannot be read: {error}"))?;
        if header[..4] != *b"\x7fELF" {
            return Err("it is no ELF file".to_owned());
        }
        let machine = Machine::new(header[4] == 2, u16_at(&header, 18));
        let is_position_independent = u16_at(&header, 16) == ET_DYN;
        if machine != Machine::X86_64 {
            return Ok(Self { machine, interpreter: None, is_position_independent });
        }
        let (start, count) = (u64_at(&header, 32), u16_at(&header, 56).min(PROGRAM_HEADERS_MAX));
        let interpreter =
            (0..u64::from(count)).find_map(|index| interpreter(file, start.checked_add(index * 56)?));
        Ok(Self { machine, interpreter, is_position_independent })
    }

    fn is_musl(&self) -> bool {
        self.interpreter.as_deref().is_some_and(|path| path.contains("ld-musl-"))
    }
}

/// The interpreter's name, when the program header at `offset` gives it.
fn interpreter(file: &File, offset: u64) -> Option<String> {
    let mut header = [0; 56];
    file.read_exact_at(&mut header, offset).ok()?;
    if u32_at(&header, 0) != PT_INTERP {
        return None;
    }
    let length = u64_at(&header, 32).min(INTERPRETER_MAX);
    let mut name = vec![0; usize::try_from(length).ok()?];
    file.read_exact_at(&mut name, u64_at(&header, 8)).ok()?;
    let name = name.split(|byte| *byte == 0).next()?;
    Some(String::from_utf8_lossy(name).into_owned())
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from(u16_at(bytes, at)) | u32::from(u16_at(bytes, at + 2)) << 16
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    const NAME: &str = "executable";
    const INSIDE: &[Purpose] = &[Purpose::Heaps, Purpose::Enter];
    const ENTER: &[Purpose] = &[Purpose::Enter];
    let Some(target) = &facts.target else { return Vec::new() };
    let check = match &target.image {
        Err(why) => Check::note(NAME, format!("not known: {why}")),
        Ok(image) if image.machine != Machine::X86_64 => Check::fail(
            NAME,
            INSIDE,
            format!("it is made for {}", image.machine.name()),
            "none yet: only x86-64 heaps are understood; its page classes are still given",
        ),
        Ok(image) if image.is_musl() => Check::fail(
            NAME,
            ENTER,
            "it runs on musl, whose malloc cannot be asked to give memory back",
            "run the service on a glibc image (python:3-slim instead of python:3-alpine)",
        ),
        Ok(Image { interpreter: None, is_position_independent, .. }) => {
            let kind = if *is_position_independent { "static-pie" } else { "static" };
            Check::note(NAME, format!("x86-64, {kind}: a trim needs malloc_trim in its symbol table"))
        }
        Ok(Image { interpreter: Some(interpreter), .. }) => {
            Check::pass(NAME, INSIDE, format!("x86-64, loaded by {interpreter}"))
        }
    };
    vec![check]
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    /// A header of `class` for `machine`, with one program header that names `interpreter`.
    fn file(class: u8, machine: u16, interpreter: Option<&[u8]>) -> File {
        let mut bytes = vec![0; 64 + 56];
        bytes[..5].copy_from_slice(&[0x7f, b'E', b'L', b'F', class]);
        bytes[16] = ET_DYN as u8;
        bytes[18..20].copy_from_slice(&machine.to_le_bytes());
        bytes[32] = 64;
        bytes[56] = 1;
        if let Some(name) = interpreter {
            bytes[64] = PT_INTERP as u8;
            bytes[72] = 120;
            bytes[96] = name.len() as u8;
            bytes.extend(name);
        }
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&bytes).unwrap();
        file
    }

    #[test]
    fn machines_and_loaders_are_told_apart() {
        let glibc = Image::read(&file(2, 62, Some(b"/lib64/ld-linux-x86-64.so.2\0"))).unwrap();
        assert_eq!(glibc.machine, Machine::X86_64);
        assert_eq!(glibc.interpreter.as_deref(), Some("/lib64/ld-linux-x86-64.so.2"));
        assert!(Image::read(&file(2, 62, Some(b"/lib/ld-musl-x86_64.so.1\0"))).unwrap().is_musl());
        assert_eq!(Image::read(&file(2, 62, None)).unwrap().interpreter, None);
        assert_eq!(Image::read(&file(1, 3, None)).unwrap().machine, Machine::X86);
        assert_eq!(Image::read(&file(1, 62, None)).unwrap().machine, Machine::X32);
        assert_eq!(Image::read(&file(2, 183, None)).unwrap().machine, Machine::Aarch64);
        assert_eq!(Image::read(&file(2, 243, None)).unwrap().machine, Machine::Other(243));
    }

    #[test]
    fn lying_headers_are_bounded() {
        let mut liar = file(2, 62, Some(b"/x\0"));
        let huge = u64::MAX.to_le_bytes();
        liar.write_all_at(&huge, 96).unwrap();
        assert_eq!(Image::read(&liar).unwrap().interpreter, None);
        liar.write_all_at(&huge, 32).unwrap();
        assert_eq!(Image::read(&liar).unwrap().interpreter, None);
        let mut short = tempfile::tempfile().unwrap();
        assert!(Image::read(&short).is_err());
        short.write_all(&[b'#'; 200]).unwrap();
        assert_eq!(Image::read(&short), Err("it is no ELF file".to_owned()));
        liar.flush().unwrap();
    }
}
