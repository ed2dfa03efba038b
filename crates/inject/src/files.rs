//! Files in memory that a target makes and that we fill: what it needs of us need not be anywhere in its
//! file system, and no right of its user is needed to read it.
//!
//! Invariant: a descriptor that is not closed again is all that can be left behind. A file's size is sealed
//! before the target maps it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt;

use crate::error::InjectError;
use crate::frame::{Argument, Step};
use crate::{Options, Outcome, Target, sys};

/// `MFD_CLOEXEC | MFD_ALLOW_SEALING`.
const FLAGS: u64 = 3;
/// `MFD_NOEXEC_SEAL`, which vm.memfd_noexec=2 demands: such a file cannot be executed, but code in it can be
/// mapped.
const NOT_EXECUTABLE: u64 = 8;

/// Most bytes of /proc/PID/limits that are read. There is one line for each limit.
const LIMITS_BYTES: u64 = 16 << 10;

/// A file in memory, open in the target and here.
#[derive(Debug)]
pub struct MemoryFile {
    /// Ours.
    pub file: File,
    /// The target's.
    pub descriptor: u32,
}

impl MemoryFile {
    /// Fills the file; its size is sealed, and with [`libc::F_SEAL_WRITE`] in `seals` its content.
    fn fill(&self, bytes: &[u8], seals: i32) -> io::Result<()> {
        self.file.write_all_at(bytes, 0)?;
        sys::seal(&self.file, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW | seals)
    }

    /// Fills it for good.
    pub(crate) fn fill_for_good(&self, bytes: &[u8]) -> io::Result<()> {
        self.fill(bytes, libc::F_SEAL_WRITE | libc::F_SEAL_SEAL)
    }

    /// The step that closes it in the target.
    pub(crate) fn close(&self) -> Step {
        let arguments = vec![Argument::Word(u64::from(self.descriptor))];
        Step::Syscall { number: libc::SYS_close, arguments }
    }
}

impl Target<'_> {
    /// Makes an empty file in memory for each name.
    ///
    /// # Errors
    /// As [`Target::call`]; [`InjectError::Hand`] when the kernel makes none.
    pub fn make_files<const N: usize>(
        &self,
        names: [&str; N],
        options: &Options,
    ) -> Result<([MemoryFile; N], Outcome), InjectError> {
        let before = names.map(|name| self.descriptors_of(name));
        let mut outcome = None;
        for flags in [FLAGS, FLAGS | NOT_EXECUTABLE] {
            let mut blob = Vec::new();
            let steps = names.map(|name| {
                let at = blob.len() as u64;
                blob.extend(name.bytes().chain([0]));
                let arguments = vec![Argument::Blob(at), Argument::Word(flags)];
                Step::Syscall { number: libc::SYS_memfd_create, arguments }
            });
            outcome = Some(self.run(&steps, &blob, &[], options)?);
            let made: [Option<u32>; N] = std::array::from_fn(|idx| self.newest(names[idx], &before[idx]));
            if made.iter().all(Option::is_some)
                && let Some(outcome) = outcome
            {
                let opened = made.map(|descriptor| self.open_file(descriptor.unwrap_or_default()));
                let failed = |source| InjectError::Hand { pid: self.pid(), source };
                return Ok((all(opened).map_err(failed)?, outcome));
            }
        }
        let unfinished = outcome.is_some_and(|outcome| !outcome.finished);
        let source = if unfinished {
            io::ErrorKind::TimedOut.into()
        } else if self.has_no_descriptor_left() {
            io::Error::from_raw_os_error(libc::EMFILE)
        } else {
            io::ErrorKind::Unsupported.into()
        };
        Err(InjectError::Hand { pid: self.pid(), source })
    }

    /// Closes files in the target: they are known to be open there.
    ///
    /// # Errors
    /// As [`Target::call`].
    pub fn close_files(&self, files: &[MemoryFile], options: &Options) -> Result<Outcome, InjectError> {
        let steps: Vec<_> = files.iter().map(MemoryFile::close).collect();
        self.run(&steps, &[], &[], options)
    }

    /// A descriptor of a file in memory that none of those `before` was of. (Their numbers alone say nothing: the
    /// program closes descriptors all the time, and the kernel hands out the lowest that is free.)
    fn newest(&self, name: &str, before: &[u32]) -> Option<u32> {
        self.descriptors_of(name).into_iter().find(|descriptor| !before.contains(descriptor))
    }

    /// The descriptors of files in memory of this name.
    fn descriptors_of(&self, name: &str) -> Vec<u32> {
        let link = format!("/memfd:{name} (deleted)");
        let is_it = |descriptor: &u32| {
            let described = sys::describe_descriptor(self.process().directory(), *descriptor);
            described.is_ok_and(|described| described == link)
        };
        let mut descriptors = self.process().descriptors().unwrap_or_default();
        descriptors.retain(is_it);
        descriptors
    }

    /// Whether it has as many files open as it may have.
    fn has_no_descriptor_left(&self) -> bool {
        let limit = || {
            let mut text = String::new();
            self.process().open("limits").ok()?.take(LIMITS_BYTES).read_to_string(&mut text).ok()?;
            let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
            line.split_whitespace().next()?.parse().ok()
        };
        let n_open = self.process().descriptors().unwrap_or_default().len();
        limit().is_some_and(|limit: usize| n_open >= limit)
    }

    fn open_file(&self, descriptor: u32) -> io::Result<MemoryFile> {
        let file = sys::open_descriptor(self.process().directory(), descriptor)?;
        Ok(MemoryFile { file, descriptor })
    }
}

fn all<T, const N: usize>(results: [io::Result<T>; N]) -> io::Result<[T; N]> {
    let made: Vec<T> = results.into_iter().collect::<io::Result<_>>()?;
    made.try_into().map_err(|_| io::ErrorKind::InvalidData.into())
}
