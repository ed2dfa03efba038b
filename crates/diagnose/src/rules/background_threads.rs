//! SW131: jemalloc was told to purge in the background, and does not: its threads end at a fork.

use slackwater_base::Class;

use super::{Facts, bytes, count};
use crate::{Code, Confidence, Finding, Kind, ProcessReport, Role, advice};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let without: Vec<&ProcessReport> = facts
        .processes
        .iter()
        .filter(|process| process.role != Role::Master)
        .filter(|process| {
            process.jemalloc.is_some_and(|it| it.background_asked && it.background_threads == 0)
        })
        .collect();
    let first = without.first()?;
    let held = without.iter().map(|process| process.ledger[Class::Unexplained].service).sum();
    Some(Finding {
        code: Code::BackgroundThreads,
        kind: Kind::Retention,
        pid: (without.len() == 1).then_some(first.pid),
        bytes: held,
        bytes_per_second: None,
        confidence: Confidence {
            value: 0.95,
            why: "the setting is in the environment, and no such thread runs",
        },
        evidence: vec![count("processes", without.len()), bytes("held_bytes", held)],
        advice: vec![
            advice::run(facts.target),
            advice::purge(facts.target),
            advice::note("background_thread:true is not inherited over fork: an idle worker purges nothing"),
        ],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::scene;
    use crate::{Jemalloc, MallocKind};

    #[test]
    fn fires_when_asked_for_and_not_there() {
        let check = |role: Role, background_asked: bool, background_threads: u64, fires: bool| {
            let jemalloc = Jemalloc { background_asked, background_threads, statistics: None };
            let scene = scene().role(role).malloc(MallocKind::Jemalloc).jemalloc(jemalloc);
            assert_eq!(scene.found(find).is_some(), fires, "{role} {background_asked} {background_threads}");
        };
        check(Role::Worker, true, 0, true);
        check(Role::Single, true, 0, true);
        check(Role::Worker, true, 1, false);
        check(Role::Worker, false, 0, false);
        check(Role::Master, true, 0, false);
        assert!(scene().found(find).is_none());
    }
}
