//! The harmless attempts, each the smallest that passes the kernel's check of its kind.
//!
//! Invariant: one page of a /proc file at most is read, and nothing of the target's memory.

use std::ffi::CStr;
use std::fmt;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::FileExt;

use rustix::fs::{Dir, DirEntry, Mode, OFlags};
use rustix::io::Errno;
use slackwater_base::{Addr, PAGE_SIZE, Pid, Range};
use slackwater_procfs::{Process, Root};

use super::sys::peek_untraced;
use crate::sys::{Categories, Region, pagemap_scan, process_vm_readv};

pub(super) const ENOENT: i32 = Errno::NOENT.raw_os_error();
pub(super) const ESRCH: i32 = Errno::SRCH.raw_os_error();

/// The bits of a pagemap entry that hold the frame number.
const FRAME: u64 = (1 << 55) - 1;

/// A call that reading or entering a target needs.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Call {
    /// Reading /proc/PID/maps.
    Maps,
    /// Reading /proc/PID/smaps.
    Smaps,
    /// Reading /proc/PID/pagemap.
    Pagemap,
    /// Opening /proc/PID/mem: the same check as attaching with ptrace.
    Mem,
    /// `process_vm_readv`, from an address that is never mapped: permitted when it says EFAULT.
    ProcessVmReadv,
    /// `pidfd_open`.
    PidfdOpen,
    /// The `PAGEMAP_SCAN` ioctl, over no pages.
    PagemapScan,
    /// Frame numbers in pagemap entries, looked for in one of our own.
    Frames,
    /// Opening what a mapping maps, by the mapping.
    MapFiles,
    /// `ptrace`, asked about a process that we do not trace: there to be called when it says ESRCH.
    Ptrace,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Maps => "maps",
            Self::Smaps => "smaps",
            Self::Pagemap => "pagemap",
            Self::Mem => "/proc/PID/mem",
            Self::ProcessVmReadv => "process_vm_readv",
            Self::PidfdOpen => "pidfd_open",
            Self::PagemapScan => "PAGEMAP_SCAN",
            Self::Frames => "frame numbers",
            Self::MapFiles => "/proc/PID/map_files",
            Self::Ptrace => "ptrace",
        })
    }
}

/// How a call went.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attempt {
    /// Which.
    pub call: Call,
    /// The errno of the refusal; `None` when it was permitted.
    pub errno: Option<i32>,
}

/// Whether the pid can be held by a handle; asked before anything else, also of a pid that /proc
/// does not show.
pub(super) fn pidfd(pid: Pid) -> Attempt {
    let opened = rustix::process::Pid::from_raw(pid.0)
        .ok_or(Errno::SRCH)
        .and_then(|pid| rustix::process::pidfd_open(pid, rustix::process::PidfdFlags::empty()).map(drop));
    Attempt { call: Call::PidfdOpen, errno: opened.err().map(Errno::raw_os_error) }
}

/// Everything that reading and entering `process` needs. System calls are left out where the tree's
/// pids are not those that calls take.
pub(super) fn all(root: &Root, process: &Process) -> Vec<Attempt> {
    let mut attempts = Vec::new();
    let mut add = |call, errno| attempts.push(Attempt { call, errno });
    add(Call::Maps, file(process, "maps").err());
    add(Call::Smaps, file(process, "smaps").err());
    let pagemap = file(process, "pagemap");
    add(Call::Pagemap, pagemap.as_ref().err().copied());
    add(Call::Mem, open(process, "mem").err());
    if !root.is_host() {
        return attempts;
    }
    add(Call::ProcessVmReadv, read_null(process.pid()));
    add(Call::Ptrace, peek_untraced(process.pid().0).filter(|errno| *errno != ESRCH));
    if let Ok(pagemap) = pagemap {
        add(Call::PagemapScan, scan_nothing(&pagemap));
    }
    add(Call::Frames, frames(root).err());
    add(Call::MapFiles, first_mapped(process).err().filter(|errno| *errno != ENOENT));
    attempts
}

fn open(process: &Process, name: &str) -> Result<File, i32> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    rustix::fs::openat(process.directory(), name, flags, Mode::empty())
        .map(File::from)
        .map_err(Errno::raw_os_error)
}

/// Opens the first mapped file, as a mere path: whatever it is, it is not woken. One that is unmapped meanwhile
/// is not there any more, and says nothing of rights.
fn first_mapped(process: &Process) -> Result<(), i32> {
    let open = |at: BorrowedFd<'_>, name: &CStr, flags| {
        rustix::fs::openat(at, name, flags | OFlags::CLOEXEC, Mode::empty()).map_err(Errno::raw_os_error)
    };
    let folder = open(process.directory(), c"map_files", OFlags::RDONLY | OFlags::DIRECTORY)?;
    let is_range = |entry: &DirEntry| entry.file_name().to_bytes().contains(&b'-');
    let mut entries = Dir::read_from(&folder).map_err(Errno::raw_os_error)?.flatten();
    match entries.find(is_range) {
        Some(first) => open(folder.as_fd(), first.file_name(), OFlags::PATH).map(drop),
        None => Ok(()),
    }
}

/// Opens and reads a little: some kernels refuse only the read.
fn file(process: &Process, name: &str) -> Result<File, i32> {
    let file = open(process, name)?;
    rustix::io::read(&file, &mut [0; 512][..]).map_err(Errno::raw_os_error)?;
    Ok(file)
}

/// Reads the byte at address 0, where nothing is mapped: the kernel checks the permission first and
/// then finds no page.
fn read_null(pid: Pid) -> Option<i32> {
    match process_vm_readv(pid, Addr(0), std::slice::from_ref(&(0..1)), &mut [0]) {
        Ok(_) | Err(Errno::FAULT) => None,
        Err(errno) => Some(errno.raw_os_error()),
    }
}

/// Scans an empty range: nothing but whether the kernel knows the request is learnt.
fn scan_nothing(pagemap: &File) -> Option<i32> {
    let nothing = Range::new(Addr(0), Addr(0));
    let scanned = pagemap_scan(pagemap.as_fd(), nothing, Categories::OCCUPIED, 1, &mut [Region::default()]);
    scanned.err().map(Errno::raw_os_error)
}

/// Whether the kernel shows frame numbers: by the entry of a page that is ours and resident. It
/// decides by who opens the file, not by whose file it is.
fn frames(root: &Root) -> Result<(), i32> {
    let page = vec![1_u8; PAGE_SIZE as usize];
    let offset = page.as_ptr().addr() as u64 / PAGE_SIZE * 8;
    let mut entry = [0; 8];
    let read = File::open(root.path().join("self/pagemap"))
        .and_then(|pagemap| pagemap.read_exact_at(&mut entry, offset));
    if let Err(error) = read {
        return Err(error.raw_os_error().unwrap_or(libc::EIO));
    }
    if u64::from_le_bytes(entry) & FRAME == 0 { Err(libc::EPERM) } else { Ok(()) }
}

/// The errno's name, for those that people look up; else its number.
pub(super) fn errno_name(errno: i32) -> String {
    let name = match errno {
        libc::EPERM => "EPERM",
        libc::ENOENT => "ENOENT",
        libc::ESRCH => "ESRCH",
        libc::EIO => "EIO",
        libc::EACCES => "EACCES",
        libc::EINVAL => "EINVAL",
        libc::EMFILE => "EMFILE",
        libc::ENOTTY => "ENOTTY",
        libc::ENOSYS => "ENOSYS",
        other => return format!("errno {other}"),
    };
    name.to_owned()
}
