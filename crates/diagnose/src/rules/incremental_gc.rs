//! SW120: CPython 3.14.0 to 3.14.4 have an incremental garbage collector that lets cycles wait; it
//! was taken back in 3.14.5.

use slackwater_base::Class;

use super::{Facts, bytes, count};
use crate::{Code, Confidence, Finding, Kind, ProcessReport, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let affected: Vec<&ProcessReport> =
        facts.processes.iter().filter(|process| is_affected(process)).collect();
    let live = affected
        .iter()
        .map(|process| process.ledger[Class::LivePython].service + process.ledger[Class::LiveUnsplit].service)
        .sum();
    if live < thresholds::CAUSE_MIN_BYTES {
        return None;
    }
    Some(Finding {
        code: Code::IncrementalGc,
        kind: Kind::Undetermined,
        pid: None,
        bytes: live,
        bytes_per_second: None,
        confidence: Confidence {
            value: 0.5,
            why: "the release is affected; how much of this is garbage is not measured",
        },
        evidence: vec![count("processes", affected.len()), bytes("live_bytes", live)],
        advice: vec![
            advice::note("upgrade Python to 3.14.5 or later before blaming the allocator"),
            advice::note("until then, gc.collect() between requests shows how much of it is garbage"),
        ],
    })
}

fn is_affected(process: &ProcessReport) -> bool {
    process
        .python
        .as_ref()
        .is_some_and(|python| matches!(python.version, (3, 14, 0..=4)) && !python.free_threaded)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_on_the_five_releases() {
        let check = |version: (u8, u8, u8), live: u64, fires: bool| {
            let scene = scene().python(version).class(Class::LivePython, live);
            assert_eq!(scene.found(find).is_some(), fires, "{version:?} {live}");
        };
        check((3, 14, 0), 16 * MIB, true);
        check((3, 14, 4), 16 * MIB, true);
        check((3, 14, 5), 16 * MIB, false);
        check((3, 13, 4), 16 * MIB, false);
        check((3, 15, 0), 16 * MIB, false);
        check((3, 14, 0), 15 * MIB, false);
    }
}
