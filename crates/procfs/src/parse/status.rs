//! /proc/PID/status: identity, rights, signals and the kernel's own memory figures.

use crate::parse::{field, stat::State};

/// The lines of status that are used. `None` where this kernel has no such line.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Status {
    /// Thread name, with the kernel's escapes.
    pub name: String,
    /// State.
    pub state: Option<State>,
    /// Thread group: the process's id.
    pub tgid: Option<i32>,
    /// Parent.
    pub ppid: Option<i32>,
    /// Who traces it; 0 for nobody.
    pub tracer: Option<i32>,
    /// Real, effective, saved and file-system user.
    pub uids: Option<[u32; 4]>,
    /// Real, effective, saved and file-system group.
    pub gids: Option<[u32; 4]>,
    /// The process's id in each pid namespace, outermost first.
    pub ns_pids: Vec<i32>,
    /// Resident bytes. The kernel batches its counters: up to some 100 KiB behind smaps.
    pub rss_bytes: Option<u64>,
    /// Resident anonymous bytes.
    pub rss_anon_bytes: Option<u64>,
    /// Resident file bytes.
    pub rss_file_bytes: Option<u64>,
    /// Resident shared memory bytes.
    pub rss_shmem_bytes: Option<u64>,
    /// Highest resident bytes so far.
    pub peak_rss_bytes: Option<u64>,
    /// Bytes on swap.
    pub swap_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
    /// Signals pending for this thread, bit n-1 for signal n.
    pub signals_pending: Option<u64>,
    /// Signals pending for the process.
    pub signals_shared_pending: Option<u64>,
    /// Signals blocked.
    pub signals_blocked: Option<u64>,
    /// Signals ignored.
    pub signals_ignored: Option<u64>,
    /// Signals with a handler.
    pub signals_caught: Option<u64>,
    /// Effective capabilities, bit n for capability n.
    pub capabilities: Option<u64>,
    /// Whether executing cannot add rights.
    pub no_new_privs: Option<bool>,
    /// seccomp: 0 off, 1 strict, 2 filter.
    pub seccomp: Option<u64>,
    /// `x86_Thread_features`: `shstk`, `wrss`.
    pub x86_features: Vec<String>,
}

impl Status {
    /// Parses the file. Lines of unknown keys, and values that make no sense, are skipped.
    pub fn parse(text: &[u8]) -> Self {
        let mut status = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            if let Some((key, value)) = field::key_value(line) {
                status.set(key, value);
            }
        }
        status
    }

    /// The id that the process has in its own, innermost pid namespace.
    pub fn innermost_pid(&self) -> Option<i32> {
        self.ns_pids.last().copied()
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        match key {
            b"Name" => self.name = String::from_utf8_lossy(value).into_owned(),
            b"State" => self.state = value.first().map(|letter| State::from_letter(*letter)),
            b"Tgid" => self.tgid = number(value),
            b"PPid" => self.ppid = number(value),
            b"TracerPid" => self.tracer = number(value),
            b"Uid" => self.uids = ids(value),
            b"Gid" => self.gids = ids(value),
            b"NSpid" => self.ns_pids = words(value).filter_map(number).take(64).collect(),
            b"VmRSS" => self.rss_bytes = field::kilobytes(value),
            b"RssAnon" => self.rss_anon_bytes = field::kilobytes(value),
            b"RssFile" => self.rss_file_bytes = field::kilobytes(value),
            b"RssShmem" => self.rss_shmem_bytes = field::kilobytes(value),
            b"VmHWM" => self.peak_rss_bytes = field::kilobytes(value),
            b"VmSwap" => self.swap_bytes = field::kilobytes(value),
            b"Threads" => self.threads = field::decimal(value),
            b"SigPnd" => self.signals_pending = field::hex(value),
            b"ShdPnd" => self.signals_shared_pending = field::hex(value),
            b"SigBlk" => self.signals_blocked = field::hex(value),
            b"SigIgn" => self.signals_ignored = field::hex(value),
            b"SigCgt" => self.signals_caught = field::hex(value),
            b"CapEff" => self.capabilities = field::hex(value),
            b"NoNewPrivs" => self.no_new_privs = field::decimal(value).map(|value| value != 0),
            b"Seccomp" => self.seccomp = field::decimal(value),
            b"x86_Thread_features" => {
                self.x86_features =
                    words(value).take(16).map(|word| String::from_utf8_lossy(word).into_owned()).collect();
            }
            _ => {}
        }
    }
}

fn words(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty())
}

fn number<T: std::str::FromStr>(value: &[u8]) -> Option<T> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn ids(value: &[u8]) -> Option<[u32; 4]> {
    let mut ids = words(value).filter_map(number);
    Some([ids.next()?, ids.next()?, ids.next()?, ids.next()?])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_lines_are_read_and_unknown_ones_skipped() {
        let status = Status::parse(
            b"Name:\tpython3 (x)\nState:\tt (tracing stop)\nTgid:\t42\nPPid:\t1\nTracerPid:\t7\n\
            Uid:\t1000\t1000\t0\t1000\nNSpid:\t42\t3\t1\nNewKey:\tx: y\nVmRSS:\t   12 kB\n\
            SigBlk:\t0000000000000001\nCapEff:\t000001ffffffffff\nNoNewPrivs:\t1\nSeccomp:\t2\n\
            x86_Thread_features:\tshstk wrss \nThreads:\tmany\n",
        );
        assert_eq!(status.name, "python3 (x)");
        assert_eq!((status.state, status.tgid, status.tracer), (Some(State::Traced), Some(42), Some(7)));
        assert_eq!(status.uids, Some([1000, 1000, 0, 1000]));
        assert_eq!(status.innermost_pid(), Some(1));
        assert_eq!((status.rss_bytes, status.swap_bytes), (Some(12 << 10), None));
        assert_eq!((status.signals_blocked, status.no_new_privs), (Some(1), Some(true)));
        assert_eq!(status.x86_features, ["shstk", "wrss"]);
        assert_eq!(status.threads, None);
    }
}
