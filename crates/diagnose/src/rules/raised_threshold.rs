//! SW104: glibc raised its thresholds when a large mapped block was freed, for the life of the
//! process; since then it keeps the ends of its arenas.

use slackwater_base::PinReason;
use slackwater_heap::{Allocator, GlibcSettings};

use super::{Facts, bytes, count, glibc_heaps};
use crate::{Code, Confidence, Finding, Kind, ProcessReport, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let raised: Vec<(&ProcessReport, GlibcSettings)> =
        facts.processes.iter().filter_map(|process| Some((process, raised(process)?))).collect();
    let tops = raised.iter().map(|(process, _)| process.pinned_by[PinReason::Tops].service).sum();
    if !facts.is_cause(tops) {
        return None;
    }
    let highest =
        |field: fn(&GlibcSettings) -> u64| raised.iter().map(|(_, set)| field(set)).max().unwrap_or(0);
    let setting = "MALLOC_TRIM_THRESHOLD_=131072 MALLOC_MMAP_THRESHOLD_=131072";
    Some(Finding {
        code: Code::RaisedThreshold,
        kind: Kind::Pinned,
        pid: None,
        bytes: tops,
        bytes_per_second: None,
        confidence: Confidence { value: 0.9, why: "the thresholds were read from the process itself" },
        evidence: vec![
            count("processes", raised.len()),
            bytes("trim_threshold_bytes", highest(|set| set.trim_threshold)),
            bytes("mmap_threshold_bytes", highest(|set| set.mmap_threshold)),
            bytes("tops_bytes", tops),
        ],
        advice: vec![
            advice::trim_deep(facts.target, tops),
            advice::setting(setting, "in the service's environment: the thresholds stay where they began"),
        ],
    })
}

/// The settings of a process whose trim threshold is not the one it began with.
fn raised(process: &ProcessReport) -> Option<GlibcSettings> {
    glibc_heaps(process).find_map(|heap| match &heap.allocator {
        Allocator::Glibc { settings, .. } if settings.trim_threshold > thresholds::GLIBC_THRESHOLD_BYTES => {
            Some(*settings)
        }
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use slackwater_base::Class;

    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_when_a_raised_threshold_keeps_tops() {
        let check = |threshold: u64, tops: u64, fires: bool| {
            let scene = scene()
                .class(Class::LiveUnsplit, 200 * MIB)
                .pinned(PinReason::Tops, tops)
                .glibc(GlibcSettings { trim_threshold: threshold, ..GlibcSettings::default() }, 1);
            assert_eq!(scene.found(find).is_some(), fires, "{threshold} {tops}");
        };
        check(60 * MIB, 16 * MIB, true);
        check(60 * MIB, 15 * MIB, false);
        check(128 * 1024, 16 * MIB, false);
        check(128 * 1024 + 1, 16 * MIB, true);
    }
}
