//! SW101: freed memory that the allocator hands back when asked.

use slackwater_base::Class;

use super::{Facts, bytes, count, malloc_heaps, share};
use crate::{Code, Finding, Kind, Subject, advice};

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    let trimmable = facts.class(Class::SlackTrimmable);
    if !facts.is_much_slack(trimmable) {
        return None;
    }
    let mut advice = vec![advice::trim(facts.target, trimmable), advice::keep_trimming(facts.target)];
    if facts.are_all_ours() {
        advice.push(advice::verify(facts.target));
    } else {
        advice.extend([advice::run(facts.target), advice::prove(facts.target)]);
    }
    let arenas = facts.processes.iter().flat_map(malloc_heaps).map(|heap| heap.arenas.len()).sum();
    Some(Finding {
        code: Code::Retention,
        kind: Kind::Retention,
        pid: None,
        bytes: trimmable,
        bytes_per_second: facts.growing(Subject::Class(Class::SlackTrimmable)),
        confidence: facts.confidence(),
        evidence: vec![
            bytes("trimmable_bytes", trimmable),
            share("share_of_rss", facts.share(trimmable)),
            count("arenas", arenas),
        ],
        advice,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MallocKind;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_from_a_quarter_of_rss_on() {
        let check = |trimmable: u64, live: u64, expected: Option<u64>| {
            let scene = scene().class(Class::SlackTrimmable, trimmable).class(Class::LiveUnsplit, live);
            assert_eq!(scene.found(find).map(|finding| finding.bytes), expected, "{trimmable} {live}");
        };
        check(64 * MIB, 192 * MIB, Some(64 * MIB));
        check(63 * MIB, 193 * MIB, None);
        // Too little to bother, whatever its share.
        check(31 * MIB, 10 * MIB, None);
        check(32 * MIB, 10 * MIB, Some(32 * MIB));
        // A gigabyte counts from a tenth on.
        check(1024 * MIB, 9000 * MIB, Some(1024 * MIB));
        check(1024 * MIB, 9300 * MIB, None);
    }

    #[test]
    fn advises_to_trim_and_to_change_the_allocator() {
        let scene = scene().class(Class::SlackTrimmable, 100 * MIB);
        let finding = scene.found(find).unwrap();
        let commands: Vec<&str> = finding.advice.iter().map(|advice| advice.command.as_str()).collect();
        assert_eq!(commands[0], "slackwater trim --name gunicorn");
        assert!(commands[1].contains(" --every "), "{commands:?}");
        assert_eq!(commands[2], "slackwater run -- gunicorn app:app");
        assert_eq!(commands[3], "slackwater lab init --name gunicorn");
    }

    #[test]
    fn where_our_allocator_serves_it_is_not_advised_again() {
        let scene = scene().malloc(MallocKind::Slackwater).class(Class::SlackTrimmable, 100 * MIB);
        let finding = scene.found(find).unwrap();
        assert_eq!(finding.advice[2].command, "slackwater verify --name gunicorn");
    }
}
