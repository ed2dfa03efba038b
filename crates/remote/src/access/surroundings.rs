//! What is in nobody's way, but explains much: the kernel, containers, namespaces.

use super::facts::{Relation, Target};
use super::{Check, Facts};

pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let Some(target) = &facts.target else { return Vec::new() };
    let mut checks = vec![Check::note("kernel", format!("Linux {}", facts.kernel))];
    checks.extend(namespaces(target));
    if let Some(container) = facts.container {
        checks.push(Check::note("container", format!("we run inside {}", container.name())));
    }
    if facts.us.seccomp == 2 {
        checks.push(Check::note("seccomp", "a filter is on us; the calls above were tried under it"));
    }
    checks
}

fn namespaces(target: &Target) -> Option<Check> {
    let kinds = [
        ("pid", target.namespaces.pid),
        ("mount", target.namespaces.mount),
        ("user", target.namespaces.user),
    ];
    let others: Vec<&str> =
        kinds.iter().filter(|(_, relation)| *relation == Relation::Other).map(|(kind, _)| *kind).collect();
    if others.is_empty() {
        return None;
    }
    let mut detail = format!("the target has its own: {}", others.join(", "));
    if let [_, .., inner] = target.namespace_pids[..] {
        detail.push_str(&format!("; there it is pid {inner}"));
    }
    if target.namespaces.mount == Relation::Other {
        detail.push_str("; its files are read through /proc/PID/root");
    }
    Some(Check::note("namespaces", detail))
}
