//! From the processes of a service to its diagnosis: the sums, the findings, the verdict.
//!
//! Invariant: pure. The verdict is the kind whose findings explain most bytes, or most growth when
//! something grows; the finding behind it comes first.

use slackwater_base::{Gap, Ledger, PinnedBy};

use crate::advice::Target;
use crate::rules::{self, Facts};
use crate::service::Service;
use crate::{Cgroup, Diagnosis, Finding, Kind, ProcessReport, Role, Scope, Series, ServiceReport, Sharing};

impl ServiceReport {
    /// The sums over the looks at a service's processes. Pages that several of them share count once
    /// when the processes were looked at with shared frames, one after the other.
    pub fn of(
        service: &Service,
        processes: &[ProcessReport],
        cgroup: Option<Cgroup>,
        sharing: Sharing,
    ) -> Self {
        let mut ledger = Ledger::default();
        let mut pinned_by = PinnedBy::default();
        for process in processes {
            ledger += &process.ledger;
            pinned_by += &scaled_pins(process, sharing);
        }
        let pss = processes.iter().map(|process| process.pss_bytes);
        Self {
            name: service.name.clone(),
            rss_bytes: ledger.total().service,
            pss_bytes: pss.sum(),
            swap_bytes: processes.iter().map(|process| process.swap_bytes).sum(),
            ledger,
            pinned_by,
            sharing,
            cgroup,
        }
    }
}

/// Pinned slack by reason, scaled as the class was where frame numbers are hidden.
fn scaled_pins(process: &ProcessReport, sharing: Sharing) -> PinnedBy {
    let mut pins = process.pinned_by;
    if sharing == Sharing::Proportional {
        let class = process.ledger[slackwater_base::Class::SlackPinned];
        for &reason in slackwater_base::PinReason::ALL {
            let bytes = pins[reason].process as f64 * class.service as f64 / class.process.max(1) as f64;
            pins[reason].service = bytes as u64;
        }
    }
    pins
}

/// Draws the conclusions. `series` holds the looks over time, when the service was watched; the
/// processes' reports are of the last look. `gaps` are those of the service as a whole: workers that
/// went away, processes that could not be opened.
pub fn conclude(
    service: &Service,
    mut processes: Vec<ProcessReport>,
    cgroup: Option<Cgroup>,
    sharing: Sharing,
    series: Option<&Series>,
    mut gaps: Vec<Gap>,
) -> Diagnosis {
    processes.sort_by_key(|process| (process.role != Role::Master, process.pid));
    let report = ServiceReport::of(service, &processes, cgroup, sharing);
    if sharing == Sharing::Proportional && processes.len() > 1 {
        gaps.push(Gap::new(
            "pages shared between processes",
            "frame numbers need CAP_SYS_ADMIN; the service's sums use the kernel's proportional shares",
        ));
    }
    let growth = series.and_then(Series::growth);
    if series.is_some() && growth.is_none() {
        gaps.push(Gap::new("growth", "there were too few looks to tell growth from noise"));
    }
    let target = Target::of(service);
    let facts = Facts { service: &report, processes: &processes, growth: growth.as_ref(), target: &target };
    let mut findings = rules::all(&facts);
    let verdict = order(&mut findings);
    Diagnosis { verdict, service: report, processes, findings, growth, gaps }
}

/// Puts the finding that is the verdict first, and the others by the bytes they explain.
fn order(findings: &mut [Finding]) -> Kind {
    findings.sort_by(|one, other| other.bytes.cmp(&one.bytes).then(one.code.cmp(&other.code)));
    let deciding = || findings.iter().filter(|finding| finding.code.decides());
    let fastest = deciding()
        .filter_map(|finding| Some((finding.bytes_per_second.filter(|rate| *rate > 0.0)?, finding.kind)))
        .max_by(|one, other| one.0.total_cmp(&other.0));
    let bytes_of = |kind: Kind| {
        deciding().filter(|finding| finding.kind == kind).map(|finding| finding.bytes).sum::<u64>()
    };
    let verdict = match fastest {
        Some((_, kind)) => kind,
        None => deciding()
            .map(|finding| finding.kind)
            .max_by_key(|&kind| bytes_of(kind))
            .unwrap_or(Kind::Undetermined),
    };
    let grows = fastest.is_some();
    let first = findings.iter().position(|finding| {
        finding.kind == verdict && finding.code.decides() && (!grows || finding.bytes_per_second.is_some())
    });
    if let Some(first) = first {
        findings[..=first].rotate_right(1);
    }
    verdict
}

impl Diagnosis {
    /// The finding that is the verdict.
    pub fn decisive(&self) -> Option<&Finding> {
        self.findings.first()
    }

    /// Whether every process was looked through.
    pub fn is_complete(&self) -> bool {
        self.processes.iter().all(|process| process.scope == Scope::Heaps)
    }
}

#[cfg(test)]
mod tests {
    use slackwater_base::{Class, PinReason};

    use super::*;
    use crate::rules::testing::{MIB, Scene, scene};
    use crate::{Code, Subject};

    fn check(scene: Scene, verdict: Kind, codes: &[Code]) {
        let diagnosis = scene.concluded();
        let found: Vec<Code> = diagnosis.findings.iter().map(|finding| finding.code).collect();
        assert_eq!((diagnosis.verdict, found.as_slice()), (verdict, codes));
    }

    #[test]
    fn the_verdict_is_what_explains_most_bytes() {
        let live = || scene().class(Class::LiveUnsplit, 100 * MIB);
        check(live(), Kind::Steady, &[Code::Steady]);
        check(live().class(Class::SlackTrimmable, 100 * MIB), Kind::Retention, &[Code::Retention]);
        check(
            live().class(Class::SlackTrimmable, 60 * MIB).pinned(PinReason::Blocks, 80 * MIB),
            Kind::Pinned,
            &[Code::PinnedPymalloc, Code::Retention],
        );
        // Pinned in two allocators is more than retained in one, though each part is smaller.
        check(
            live()
                .class(Class::SlackTrimmable, 90 * MIB)
                .pinned(PinReason::Blocks, 60 * MIB)
                .pinned(PinReason::Holes, 70 * MIB),
            Kind::Pinned,
            &[Code::PinnedGlibc, Code::Retention, Code::PinnedPymalloc],
        );
        check(
            live().class(Class::SlackTrimmable, 100 * MIB).class(Class::Unexplained, 200 * MIB),
            Kind::Undetermined,
            &[Code::Undetermined, Code::Retention],
        );
    }

    #[test]
    fn a_circumstance_is_never_the_verdict() {
        check(
            scene().class(Class::LiveUnsplit, 40 * MIB).swap(500 * MIB),
            Kind::Steady,
            &[Code::Steady, Code::Swap],
        );
    }

    #[test]
    fn growth_decides_over_bytes() {
        let scene = scene()
            .class(Class::SlackTrimmable, 1000 * MIB)
            .grows(Subject::LiveUnsplit, 1e5)
            .grows(Subject::LivePython, 2e5);
        let mut findings = scene.found(rules::all);
        assert_eq!(order(&mut findings), Kind::PythonGrowth);
        assert_eq!(findings[0].code, Code::PythonGrowth);
        assert!(findings.iter().any(|finding| finding.code == Code::Retention));
    }

    #[test]
    fn retention_that_grows_is_the_verdict_with_its_rate() {
        let scene = scene()
            .class(Class::SlackTrimmable, 1000 * MIB)
            .grows(Subject::Class(Class::SlackTrimmable), 1e6);
        let mut findings = scene.found(rules::all);
        assert_eq!(order(&mut findings), Kind::Retention);
        assert_eq!(findings[0].bytes_per_second, Some(1e6));
    }

    #[test]
    fn the_sums_count_shared_pages_once() {
        let scene = scene()
            .role(Role::Master)
            .class(Class::LivePython, 30 * MIB)
            .worker(|worker| worker.shared(Class::LivePython, 20 * MIB).class(Class::LivePython, 10 * MIB));
        let service = scene.concluded().service;
        assert_eq!(service.rss_bytes, 40 * MIB);
        assert_eq!(service.ledger.total().process, 60 * MIB);
    }
}
