//! SW110 to SW114: what grows while the service is watched.
//!
//! Live memory is judged by the blocks in use, not by resident pages: a heap that grows inside its
//! slack does not move RSS, and grows all the same.

use slackwater_base::Class;

use super::Facts;
use crate::{
    Advice, Code, Confidence, Evidence, Finding, Growth, Kind, Quantity, Slope, Subject, advice, thresholds,
};

/// Python's small objects, which never reach malloc.
const OBJECTS: &str = " --python-allocators";

pub(super) fn python(facts: &Facts<'_>) -> Option<Finding> {
    find(facts, Code::PythonGrowth, Kind::PythonGrowth, &[Subject::LivePython], &|facts| {
        vec![advice::record(facts.target, OBJECTS)]
    })
}

pub(super) fn native(facts: &Facts<'_>) -> Option<Finding> {
    let subjects = [Subject::Class(Class::LiveNative)];
    find(facts, Code::NativeGrowth, Kind::NativeGrowth, &subjects, &|facts| {
        vec![advice::record(facts.target, " --native")]
    })
}

pub(super) fn heap(facts: &Facts<'_>) -> Option<Finding> {
    find(facts, Code::HeapGrowth, Kind::HeapGrowth, &[Subject::LiveUnsplit], &|facts| {
        vec![
            advice::record(facts.target, OBJECTS),
            advice::note("Python's blocks above 512 bytes and native ones share this heap: either may grow"),
        ]
    })
}

pub(super) fn mapped(facts: &Facts<'_>) -> Option<Finding> {
    let all = [Class::AnonOther, Class::File, Class::Shmem].map(Subject::Class);
    // From 3.11 on, Python keeps the frames of each thread in anonymous maps: they grow with stacks.
    let rate = |class| facts.growing(Subject::Class(class)).unwrap_or(0.0);
    let are_frames = rate(Class::AnonOther) < rate(Class::Stack) * thresholds::FRAMES_SHARE;
    let subjects = if are_frames { &all[1..] } else { &all[..] };
    find(facts, Code::MappedGrowth, Kind::MappedGrowth, subjects, &|facts| {
        vec![
            advice::record(facts.target, " --native"),
            advice::note("look for mmap, shared memory and memory-mapped files; no malloc gives it back"),
        ]
    })
}

pub(super) fn stack(facts: &Facts<'_>) -> Option<Finding> {
    let subjects = [Subject::Class(Class::Stack)];
    find(facts, Code::StackGrowth, Kind::StackGrowth, &subjects, &|facts| {
        let threads: u64 = facts.processes.iter().map(|process| process.n_threads).sum();
        vec![advice::note(format!("{threads} threads now: look for threads that are started and never end"))]
    })
}

fn find(
    facts: &Facts<'_>,
    code: Code,
    kind: Kind,
    subjects: &[Subject],
    advice: &dyn Fn(&Facts<'_>) -> Vec<Advice>,
) -> Option<Finding> {
    let growth = facts.growth?;
    let growing: Vec<&Slope> = subjects.iter().filter_map(|&subject| growth.grows(subject)).collect();
    let fastest =
        growing.iter().max_by(|one, other| one.bytes_per_second.total_cmp(&other.bytes_per_second))?;
    let rate: f64 = growing.iter().map(|slope| slope.bytes_per_second).sum();
    let gained = growing.iter().map(|slope| slope.gained_bytes.max(0) as u64).sum();
    Some(Finding {
        code,
        kind,
        pid: growth.culprit(fastest.subject),
        bytes: gained,
        bytes_per_second: Some(rate),
        confidence: confidence(growth, fastest),
        evidence: vec![
            Evidence::new("slope", Quantity::BytesPerSecond(rate)),
            Evidence::new(
                "slope_at_least",
                Quantity::BytesPerSecond(growing.iter().map(|slope| slope.low).sum()),
            ),
            Evidence::new(
                "slope_at_most",
                Quantity::BytesPerSecond(growing.iter().map(|slope| slope.high).sum()),
            ),
            Evidence::new("gained_bytes", Quantity::Bytes(gained)),
            Evidence::new("watched", Quantity::Seconds(growth.duration.as_secs_f64())),
            Evidence::new("samples", Quantity::Count(u64::from(growth.n_samples))),
        ],
        advice: advice(facts),
    })
}

/// A narrow interval and a long watch say more.
fn confidence(growth: &Growth, slope: &Slope) -> Confidence {
    let width = (slope.high - slope.low) / slope.bytes_per_second.max(1.0);
    match (width < 0.5, growth.duration.as_secs() >= 300) {
        (true, true) => Confidence { value: 0.95, why: "a narrow interval over minutes" },
        (true, false) => {
            Confidence { value: 0.85, why: "a narrow interval, but a short watch: it may level off" }
        }
        (false, _) => Confidence { value: 0.7, why: "a wide interval: watch longer for a better one" },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn each_subject_has_its_kind() {
        let check = |subject: Subject, expected: Option<Kind>| {
            let kinds: Vec<Kind> = [python, native, heap, mapped, stack]
                .into_iter()
                .filter_map(|rule| scene().grows(subject, 1e6).found(rule))
                .map(|finding| finding.kind)
                .collect();
            assert_eq!(kinds, expected.into_iter().collect::<Vec<_>>(), "{subject:?}");
        };
        check(Subject::LivePython, Some(Kind::PythonGrowth));
        check(Subject::LiveUnsplit, Some(Kind::HeapGrowth));
        check(Subject::Class(Class::LiveNative), Some(Kind::NativeGrowth));
        check(Subject::Class(Class::AnonOther), Some(Kind::MappedGrowth));
        check(Subject::Class(Class::File), Some(Kind::MappedGrowth));
        check(Subject::Class(Class::Shmem), Some(Kind::MappedGrowth));
        check(Subject::Class(Class::Stack), Some(Kind::StackGrowth));
        // Resident live pages may grow because slack is filled: the blocks decide.
        check(Subject::Class(Class::LivePython), None);
        check(Subject::Rss, None);
    }

    #[test]
    fn the_frames_of_threads_are_no_growth_of_maps() {
        let check = |frames: f64, fires: bool| {
            let scene = scene().grows(Subject::Class(Class::Stack), 1e6);
            let found = scene.grows(Subject::Class(Class::AnonOther), frames).found(mapped);
            assert_eq!(found.is_some(), fires, "{frames}");
        };
        check(4.9e5, false);
        check(5e5, true);
    }

    #[test]
    fn a_flat_slope_is_no_finding() {
        assert!(scene().found(python).is_none());
        assert!(scene().grows(Subject::LivePython, 0.0).found(python).is_none());
    }

    #[test]
    fn the_rate_and_the_gain_are_the_slopes() {
        let finding = scene().grows(Subject::LivePython, MIB as f64).found(python).unwrap();
        assert_eq!(finding.bytes_per_second, Some(MIB as f64));
        assert_eq!(finding.bytes, 60 * MIB);
    }
}
