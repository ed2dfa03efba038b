//! The kernel's own figures of a process: the sum that the ledger is held against.

use slackwater_base::{Gap, Range};
use slackwater_procfs::{ProcError, Process, VmFlags};

/// The kernel's figures of a process.
#[derive(Clone, Default, Debug)]
pub(crate) struct Figures {
    pub(crate) rss_bytes: u64,
    pub(crate) pss_bytes: Option<u64>,
    pub(crate) uss_bytes: Option<u64>,
    pub(crate) swap_bytes: u64,
    pub(crate) huge_bytes: u64,
    pub(crate) lazy_free_bytes: u64,
    /// Of each mapping, sorted by address. Empty when smaps cannot be read.
    pub(crate) areas: Vec<Area>,
}

/// The kernel's figures of one mapping.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Area {
    pub(crate) range: Range,
    pub(crate) rss_bytes: u64,
    pub(crate) pss_bytes: u64,
    /// Its pages are never part of RSS, whatever pagemap says of them.
    pub(crate) uncounted: bool,
}

impl Figures {
    /// Reads smaps, or as much of it as the kernel allows.
    ///
    /// # Errors
    /// When the process is gone, or has no memory.
    pub(crate) fn read(process: &Process, gaps: &mut Vec<Gap>) -> Result<Self, ProcError> {
        match Self::from_smaps(process) {
            Ok(figures) => Ok(figures),
            Err(error) if error.is_gone() || matches!(error, ProcError::KernelThread { .. }) => Err(error),
            Err(error) => {
                gaps.push(Gap::new("proportional and private sizes", error.to_string()));
                let status = process.status()?;
                Ok(Self {
                    rss_bytes: status.rss_bytes.unwrap_or_default(),
                    swap_bytes: status.swap_bytes.unwrap_or_default(),
                    ..Self::default()
                })
            }
        }
    }

    fn from_smaps(process: &Process) -> Result<Self, ProcError> {
        // The totals come from the kernel's own sum: proportional shares are cut to whole kilobytes
        // in each mapping, and there may be thousands.
        let total = process.usage()?;
        let mut areas = Vec::new();
        for usage in process.smaps()? {
            let usage =
                usage.map_err(|source| ProcError::Read { path: process.path().join("smaps"), source })?;
            areas.push(Area {
                range: usage.range,
                rss_bytes: usage.rss_bytes,
                pss_bytes: usage.pss_bytes,
                uncounted: usage.flags.has(VmFlags::HUGETLB) || usage.flags.has(VmFlags::PFN_MAP),
            });
        }
        Ok(Self {
            rss_bytes: total.rss_bytes,
            pss_bytes: Some(total.pss_bytes),
            uss_bytes: Some(total.private_bytes()),
            swap_bytes: total.swap_bytes,
            huge_bytes: total.anon_huge_bytes,
            lazy_free_bytes: total.lazy_free_bytes,
            areas,
        })
    }

    /// The mapping's figures that overlap `range`, if the kernel gave any.
    pub(crate) fn areas_in(&self, range: Range) -> impl Iterator<Item = &Area> {
        let first = self.areas.partition_point(|area| area.range.end <= range.start);
        self.areas[first..].iter().take_while(move |area| area.range.start < range.end)
    }

    /// Which part of the resident bytes in `ranges` is this process's proportional share.
    pub(crate) fn share(&self, ranges: &[Range]) -> f64 {
        let (mut rss, mut pss) = (0, 0);
        let mut last = None;
        for area in ranges.iter().flat_map(|&range| self.areas_in(range)) {
            if last != Some(area.range) {
                rss += area.rss_bytes;
                pss += area.pss_bytes;
                last = Some(area.range);
            }
        }
        if rss == 0 { 1.0 } else { pss as f64 / rss as f64 }
    }
}
