//! /proc/PID/smaps and smaps_rollup, streamed: 60,000 mappings pass through one buffer.

use std::io::{self, Read};

use slackwater_base::Range;

use crate::parse::{field, lines::Lines, maps};

/// What smaps says of one mapping, in bytes. Keys that this kernel lacks are zero.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[allow(missing_docs, reason = "the names are the kernel's own, see proc_pid_smaps(5)")]
pub struct Usage {
    pub range: Range,
    pub size_bytes: u64,
    pub rss_bytes: u64,
    pub pss_bytes: u64,
    pub shared_clean_bytes: u64,
    pub shared_dirty_bytes: u64,
    pub private_clean_bytes: u64,
    pub private_dirty_bytes: u64,
    pub referenced_bytes: u64,
    pub anonymous_bytes: u64,
    pub lazy_free_bytes: u64,
    pub anon_huge_bytes: u64,
    pub shmem_pmd_bytes: u64,
    pub file_pmd_bytes: u64,
    pub shared_hugetlb_bytes: u64,
    pub private_hugetlb_bytes: u64,
    pub swap_bytes: u64,
    pub swap_pss_bytes: u64,
    pub locked_bytes: u64,
    pub flags: VmFlags,
}

impl Usage {
    /// Bytes that exiting would give back: private, clean and dirty.
    pub const fn private_bytes(&self) -> u64 {
        self.private_clean_bytes.saturating_add(self.private_dirty_bytes)
    }

    /// Adds another mapping's figures; the range grows to span both.
    pub(crate) fn add(&mut self, other: &Self) {
        self.range = Range::new(self.range.start.min(other.range.start), self.range.end.max(other.range.end));
        let pairs = [
            (&mut self.size_bytes, other.size_bytes),
            (&mut self.rss_bytes, other.rss_bytes),
            (&mut self.pss_bytes, other.pss_bytes),
            (&mut self.shared_clean_bytes, other.shared_clean_bytes),
            (&mut self.shared_dirty_bytes, other.shared_dirty_bytes),
            (&mut self.private_clean_bytes, other.private_clean_bytes),
            (&mut self.private_dirty_bytes, other.private_dirty_bytes),
            (&mut self.referenced_bytes, other.referenced_bytes),
            (&mut self.anonymous_bytes, other.anonymous_bytes),
            (&mut self.lazy_free_bytes, other.lazy_free_bytes),
            (&mut self.anon_huge_bytes, other.anon_huge_bytes),
            (&mut self.shmem_pmd_bytes, other.shmem_pmd_bytes),
            (&mut self.file_pmd_bytes, other.file_pmd_bytes),
            (&mut self.shared_hugetlb_bytes, other.shared_hugetlb_bytes),
            (&mut self.private_hugetlb_bytes, other.private_hugetlb_bytes),
            (&mut self.swap_bytes, other.swap_bytes),
            (&mut self.swap_pss_bytes, other.swap_pss_bytes),
            (&mut self.locked_bytes, other.locked_bytes),
        ];
        for (sum, part) in pairs {
            *sum = sum.saturating_add(part);
        }
    }

    fn set(&mut self, key: &[u8], value: &[u8]) {
        let slot = match key {
            b"Size" => &mut self.size_bytes,
            b"Rss" => &mut self.rss_bytes,
            b"Pss" => &mut self.pss_bytes,
            b"Shared_Clean" => &mut self.shared_clean_bytes,
            b"Shared_Dirty" => &mut self.shared_dirty_bytes,
            b"Private_Clean" => &mut self.private_clean_bytes,
            b"Private_Dirty" => &mut self.private_dirty_bytes,
            b"Referenced" => &mut self.referenced_bytes,
            b"Anonymous" => &mut self.anonymous_bytes,
            b"LazyFree" => &mut self.lazy_free_bytes,
            b"AnonHugePages" => &mut self.anon_huge_bytes,
            b"ShmemPmdMapped" => &mut self.shmem_pmd_bytes,
            b"FilePmdMapped" => &mut self.file_pmd_bytes,
            b"Shared_Hugetlb" => &mut self.shared_hugetlb_bytes,
            b"Private_Hugetlb" => &mut self.private_hugetlb_bytes,
            b"Swap" => &mut self.swap_bytes,
            b"SwapPss" => &mut self.swap_pss_bytes,
            b"Locked" => &mut self.locked_bytes,
            b"VmFlags" => {
                self.flags = VmFlags::parse(value);
                return;
            }
            _ => return,
        };
        *slot = field::kilobytes(value).unwrap_or(*slot);
    }
}

/// The flags of a mapping that decide how its pages are counted.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct VmFlags(u16);

impl VmFlags {
    /// `io`: memory of a device.
    pub const IO: Self = Self(1);
    /// `pf`: frames without page structures; never in RSS.
    pub const PFN_MAP: Self = Self(2);
    /// `ht`: hugetlb pages; never in RSS.
    pub const HUGETLB: Self = Self(4);
    /// `hg`: transparent huge pages asked for.
    pub const HUGE: Self = Self(8);
    /// `nh`: transparent huge pages refused.
    pub const NO_HUGE: Self = Self(16);
    /// `mt`: memory tagging.
    pub const TAGGED: Self = Self(32);
    /// `mm`: mixed map.
    pub const MIXED: Self = Self(64);
    /// `lo`: locked in memory.
    pub const LOCKED: Self = Self(128);
    /// `ss`: a shadow stack.
    pub const SHADOW_STACK: Self = Self(256);
    /// `gd`: grows downwards.
    pub const GROWS_DOWN: Self = Self(512);
    /// `um`: watched by userfaultfd for missing pages.
    pub const FAULT_WATCHED: Self = Self(1024);
    /// `dc`: not inherited over fork.
    pub const NOT_INHERITED: Self = Self(2048);
    /// `mg`: same-page merging (KSM) allowed.
    pub const MERGEABLE: Self = Self(4096);

    /// Whether all flags of `other` are set.
    pub const fn has(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    fn parse(value: &[u8]) -> Self {
        value.split(u8::is_ascii_whitespace).fold(Self::default(), |flags, name| {
            Self(
                flags.0
                    | match name {
                        b"io" => Self::IO.0,
                        b"pf" => Self::PFN_MAP.0,
                        b"ht" => Self::HUGETLB.0,
                        b"hg" => Self::HUGE.0,
                        b"nh" => Self::NO_HUGE.0,
                        b"mt" => Self::TAGGED.0,
                        b"mm" => Self::MIXED.0,
                        b"lo" => Self::LOCKED.0,
                        b"ss" => Self::SHADOW_STACK.0,
                        b"gd" => Self::GROWS_DOWN.0,
                        b"um" => Self::FAULT_WATCHED.0,
                        b"dc" => Self::NOT_INHERITED.0,
                        b"mg" => Self::MERGEABLE.0,
                        _ => 0,
                    },
            )
        })
    }
}

/// Reads the mappings' figures one by one. An iterator that ends after its first error.
pub struct SmapsReader<R> {
    lines: Lines<R>,
    current: Option<Usage>,
    finished: bool,
}

impl<R: Read> SmapsReader<R> {
    /// A reader of smaps or smaps_rollup (one mapping that stands for all).
    pub fn new(source: R) -> Self {
        Self { lines: Lines::new(source), current: None, finished: false }
    }
}

impl<R: Read> Iterator for SmapsReader<R> {
    type Item = io::Result<Usage>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.finished {
            match self.lines.next_line() {
                Ok(Some(line)) => {
                    // A header's first field is a range; a key ends in a colon, which no range has.
                    if let Some(range) = maps::parse_range(field::next(line).0) {
                        let begun = Usage { range, ..Usage::default() };
                        if let Some(done) = self.current.replace(begun) {
                            return Some(Ok(done));
                        }
                    } else if let (Some(usage), Some((key, value))) =
                        (&mut self.current, field::key_value(line))
                    {
                        usage.set(key, value);
                    }
                }
                Ok(None) => self.finished = true,
                Err(error) => {
                    self.finished = true;
                    return Some(Err(error));
                }
            }
        }
        self.current.take().map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use slackwater_base::Addr;

    #[test]
    fn two_mappings_and_unknown_keys() {
        let text = b"1000-3000 rw-p 00000000 00:00 0      [heap: Rss: 9 kB]\n\
            Size:                  8 kB\nRss:                   4 kB\nPss:  2 kB\nNew_Key: 77 kB\n\
            Anonymous: 4 kB\nTHPeligible:           0\nVmFlags: rd wr mr ht zz\n\
            5000-6000 r--p 00000000 fe:00 5 /x\nRss: 4 kB\nRss: nonsense\n";
        let all: Vec<Usage> = SmapsReader::new(&text[..]).map(Result::unwrap).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].range, Range::new(Addr(0x1000), Addr(0x3000)));
        assert_eq!((all[0].size_bytes, all[0].rss_bytes, all[0].pss_bytes), (8192, 4096, 2048));
        assert!(all[0].flags.has(VmFlags::HUGETLB) && !all[0].flags.has(VmFlags::IO));
        assert_eq!((all[1].rss_bytes, all[1].pss_bytes), (4096, 0));
    }
}
