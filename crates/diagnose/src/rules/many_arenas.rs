//! SW105: many arenas. Each thread that meets a busy one gets another, and each keeps its own
//! high-water mark.

use slackwater_base::{Class, Resident};
use slackwater_heap::{Arena, ArenaKind};

use super::{Facts, bytes, count, glibc_heaps};
use crate::{Code, Confidence, Finding, Kind, ProcessReport, advice, thresholds};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let crowded: Vec<&ProcessReport> = facts
        .processes
        .iter()
        .filter(|process| secondary(process).count() >= thresholds::ARENAS_MANY)
        .collect();
    let slack: Resident =
        crowded.iter().flat_map(|process| secondary(process)).map(|arena| arena.ledger.slack()).sum();
    if !facts.is_cause(slack.service) {
        return None;
    }
    let arenas = crowded.iter().map(|process| secondary(process).count());
    let trimmable: u64 = crowded
        .iter()
        .flat_map(|process| secondary(process))
        .map(|arena| arena.ledger[Class::SlackTrimmable].service)
        .sum();
    Some(Finding {
        code: Code::ManyArenas,
        kind: Kind::Retention,
        pid: None,
        bytes: slack.service,
        bytes_per_second: None,
        confidence: Confidence { value: 0.9, why: "the arenas were counted in the process itself" },
        evidence: vec![
            count("processes", crowded.len()),
            count("most_arenas", arenas.max().unwrap_or(0)),
            bytes("slack_bytes", slack.service),
            bytes("trimmable_bytes", trimmable),
        ],
        advice: vec![
            advice::run(facts.target),
            advice::setting(
                "MALLOC_ARENA_MAX=2",
                "in the service's environment, where nothing can be preloaded; threads may wait for each other",
            ),
        ],
    })
}

fn secondary(process: &ProcessReport) -> impl Iterator<Item = &Arena> {
    glibc_heaps(process).flat_map(|heap| &heap.arenas).filter(|arena| arena.kind == ArenaKind::Secondary)
}

#[cfg(test)]
mod tests {
    use slackwater_heap::GlibcSettings;

    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_on_many_arenas_with_slack_in_them() {
        let check = |arenas: usize, slack: u64, fires: bool| {
            let scene = scene()
                .class(Class::SlackTrimmable, slack)
                .class(Class::LiveUnsplit, 100 * MIB)
                .glibc(GlibcSettings::default(), arenas);
            assert_eq!(scene.found(find).is_some(), fires, "{arenas} {slack}");
        };
        check(8, 80 * MIB, true);
        check(7, 80 * MIB, false);
        check(8, 15 * MIB, false);
    }
}
