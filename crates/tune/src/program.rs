//! What a command turns out to be, from the first bytes of its file: whether the loader will preload
//! anything into it, and if not, why.
//!
//! Invariant: files come in as readers, and a file may hold anything: whatever does not make sense is an
//! error, never a panic.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

use object::elf::{self, FileHeader64};
use object::read::elf::{FileHeader, ProgramHeader};
use object::{Endianness, ReadRef};

use crate::identity::Identity;

/// What the kernel will make of a file.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Program {
    /// A program that the loader of glibc starts: what is preloaded gets in.
    Preloadable {
        /// The loader that it names.
        loader: PathBuf,
    },
    /// A script: what counts is its interpreter.
    Script {
        /// The program that its first line names.
        interpreter: PathBuf,
        /// The one argument that the line may carry.
        argument: Option<OsString>,
    },
    /// Text without such a line, which shells run themselves.
    Text,
    /// A program into which nothing can be preloaded.
    Refused(Refusal),
}

/// Why nothing can be preloaded into a program.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Refusal {
    /// It has no loader.
    #[error("it is statically linked: there is no loader that could preload an allocator")]
    Static,
    /// Its C library is musl.
    #[error("it is built for musl ({}), and the allocator for glibc", loader.display())]
    Musl {
        /// Its loader.
        loader: PathBuf,
    },
    /// Its C library is none that we know.
    #[error("its loader {} is not glibc's", loader.display())]
    OtherLoader {
        /// Its loader.
        loader: PathBuf,
    },
    /// It is for another processor, or another mode of this one.
    #[error("it is built for {0}, and the allocator for x86-64")]
    Architecture(String),
    /// The loader ignores the environment there.
    #[error("it runs with raised rights ({0}), so the loader ignores LD_PRELOAD")]
    Privileged(&'static str),
    /// It is no program at all.
    #[error("it is neither a program nor a script")]
    NoProgram,
}

impl Refusal {
    /// What the user can do about it.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::Static => "use a build that is linked to glibc; `slackwater trim` does not need one",
            Self::Musl { .. } => {
                "use an image with glibc (python:3.12-slim instead of python:3.12-alpine); \
                 `slackwater advise docker --distro alpine` has what musl allows"
            }
            Self::OtherLoader { .. } | Self::Architecture(_) => {
                "start it without slackwater, or use a build for x86-64 Linux with glibc"
            }
            Self::Privileged(_) => "put slackwater run behind it: sudo slackwater run -- COMMAND",
            Self::NoProgram => "name the program that starts the service",
        }
    }
}

/// Whether a program gets rights that its caller does not have, which makes the loader ignore
/// `LD_PRELOAD`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rights {
    /// The file's mode.
    pub mode: u32,
    /// The file's owner and group.
    pub owner: (u32, u32),
    /// Whether the file carries capabilities.
    pub has_capabilities: bool,
    /// The user and group that start it.
    pub caller: (u32, u32),
}

impl Rights {
    /// Why the loader will ignore `LD_PRELOAD`, if it will.
    pub fn refusal(&self) -> Option<Refusal> {
        const SET_USER: u32 = 0o4000;
        const SET_GROUP: u32 = 0o2000;
        const GROUP_RUNS: u32 = 0o0010;
        let (user, group) = self.caller;
        if self.mode & SET_USER != 0 && self.owner.0 != user {
            return Some(Refusal::Privileged("set-user-ID"));
        }
        // Without the group's right to run it, the bit means mandatory locking.
        if self.mode & (SET_GROUP | GROUP_RUNS) == SET_GROUP | GROUP_RUNS && self.owner.1 != group {
            return Some(Refusal::Privileged("set-group-ID"));
        }
        // Root has them anyway, so it gains nothing.
        (self.has_capabilities && user != 0).then_some(Refusal::Privileged("file capabilities"))
    }
}

/// Longest first line of a script that the kernel reads.
const LONGEST_LINE: usize = 256;

impl Program {
    /// What the file is whose bytes `data` reads.
    pub fn of<'data, R: ReadRef<'data>>(data: R) -> Self {
        let Ok(length) = data.len() else { return Self::Refused(Refusal::NoProgram) };
        let first = data.read_bytes_at(0, length.min(LONGEST_LINE as u64)).unwrap_or_default();
        if let Some(line) = first.strip_prefix(b"#!") {
            return script(line);
        }
        if !first.starts_with(&elf::ELFMAG) {
            let text = !first.is_empty() && !first.contains(&0);
            return if text { Self::Text } else { Self::Refused(Refusal::NoProgram) };
        }
        match loader_of(data) {
            Ok(loader) => Self::Preloadable { loader },
            Err(refusal) => Self::Refused(refusal),
        }
    }
}

fn script(line: &[u8]) -> Program {
    let line = line.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or_default();
    let line = line.trim_ascii();
    let (interpreter, argument) = match line.iter().position(u8::is_ascii_whitespace) {
        Some(end) => (&line[..end], line[end..].trim_ascii_start()),
        None => (line, &b""[..]),
    };
    if interpreter.is_empty() {
        return Program::Refused(Refusal::NoProgram);
    }
    Program::Script {
        interpreter: OsString::from_vec(interpreter.to_vec()).into(),
        argument: (!argument.is_empty()).then(|| OsString::from_vec(argument.to_vec())),
    }
}

/// The loader that an ELF file names, when it is one that preloads for x86-64.
fn loader_of<'data, R: ReadRef<'data>>(data: R) -> Result<PathBuf, Refusal> {
    let identity = Identity::of(data).ok_or(Refusal::NoProgram)?;
    if !identity.is_ours() {
        return Err(Refusal::Architecture(identity.name()));
    }
    let damaged = |_| Refusal::NoProgram;
    let header = FileHeader64::<Endianness>::parse(data).map_err(damaged)?;
    let segments = header.program_headers(Endianness::Little, data).map_err(damaged)?;
    for segment in segments {
        if let Some(path) = segment.interpreter(Endianness::Little, data).map_err(damaged)? {
            return judged(OsString::from_vec(path.to_vec()).into());
        }
    }
    match header.e_type.get(Endianness::Little) {
        elf::ET_EXEC | elf::ET_DYN => Err(Refusal::Static),
        _ => Err(Refusal::NoProgram),
    }
}

fn judged(loader: PathBuf) -> Result<PathBuf, Refusal> {
    let name = loader.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.starts_with("ld-musl-") {
        return Err(Refusal::Musl { loader });
    }
    // The second is the name that the LSB gives to the first.
    if name.starts_with("ld-linux-x86-64.so") || name.starts_with("ld-lsb-x86-64.so") {
        return Ok(loader);
    }
    Err(Refusal::OtherLoader { loader })
}

#[cfg(test)]
mod tests;
