//! SW240 to SW243: the host, Python and the memory limit.

use super::{Case, Mistake};
use crate::serving::MistakeCode;
use crate::{MallocKind, ObjectAllocator, Role, thresholds};

pub(super) fn huge_pages(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let is_jemalloc = matches!(process.server.kind, MallocKind::Jemalloc | MallocKind::Slackwater);
    // tcmalloc is made for huge pages.
    let cares = is_jemalloc || matches!(process.server.kind, MallocKind::Glibc | MallocKind::Mimalloc);
    if !process.huge_pages_always || !cares || process.setting("thp") == Some("never") {
        return Vec::new();
    }
    let host = "echo madvise > /sys/kernel/mm/transparent_hugepage/enabled";
    let fix = match is_jemalloc {
        true => format!("thp:never in {}, or {host}", process.conf_variable),
        false => host.to_owned(),
    };
    let seen = "/sys/kernel/mm/transparent_hugepage/enabled is always";
    vec![Mistake::new(MistakeCode::HugePagesAlways, seen, fix)]
}

pub(super) fn objects(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    if process.objects != Some(ObjectAllocator::Pymalloc) {
        return Vec::new();
    }
    let seen = "objects up to 512 bytes come from pymalloc's arenas";
    let asked = process.environment.get("PYTHONMALLOC").filter(|value| value.starts_with("malloc"));
    let of_supervisor = case.supervisor.filter(|above| above.objects == Some(ObjectAllocator::Malloc));
    let lost = match (asked, of_supervisor) {
        (Some(value), _) => Some(format!("PYTHONMALLOC={value} is in its environment")),
        (None, Some(above)) => Some(format!("in its supervisor {} they come from malloc", above.pid)),
        (None, None) => None,
    };
    if let Some(lost) = lost {
        let fix = "start Python without -E and -I, and with PYTHONMALLOC=malloc in the environment";
        return vec![Mistake::new(MistakeCode::PythonMallocLost, lost, fix).seen(seen)];
    }
    let is_preloaded = matches!(
        process.server.kind,
        MallocKind::Slackwater | MallocKind::Jemalloc | MallocKind::Mimalloc | MallocKind::Tcmalloc
    );
    // Whoever names pymalloc wants it.
    let is_wanted = process.environment.get("PYTHONMALLOC").is_some() || !process.environment.visible;
    if !is_preloaded || is_wanted {
        return Vec::new();
    }
    let fix = "PYTHONMALLOC=malloc in its environment, at some processor time where allocation dominates";
    vec![Mistake::new(MistakeCode::PymallocServes, seen, fix)]
}

pub(super) fn limit(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let Some(group) = process.cgroup.as_ref().filter(|_| matches!(process.role, Role::Master | Role::Single))
    else {
        return Vec::new();
    };
    let Some(limit) = group.limit_bytes.filter(|limit| *limit > 0) else { return Vec::new() };
    let share = group.usage_bytes as f64 / limit as f64;
    if share < thresholds::LIMIT_NEAR_SHARE {
        return Vec::new();
    }
    let seen = format!(
        "{} of {} are in use in {}",
        slackwater_base::Bytes(group.usage_bytes),
        slackwater_base::Bytes(limit),
        group.path
    );
    let fix = format!("slackwater trim --pid {}, or raise the limit", process.pid);
    vec![Mistake::new(MistakeCode::NearLimit, seen, fix)]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{codes, codes_under, serving, with};
    use super::*;
    use crate::Cgroup;
    use crate::serving::{Origin, Setting};

    #[test]
    fn huge_pages_matter_where_nobody_refuses_them() {
        let mut process = serving(MallocKind::Jemalloc);
        assert!(codes(&process, huge_pages).is_empty());
        process.huge_pages_always = true;
        assert_eq!(codes(&process, huge_pages), ["SW240"]);
        let never = Setting { key: "thp".to_owned(), value: "never".to_owned(), origin: Origin::Environment };
        process.settings.push(never);
        assert!(codes(&process, huge_pages).is_empty());
        process.settings.clear();
        process.server.kind = MallocKind::Tcmalloc;
        assert!(codes(&process, huge_pages).is_empty());
    }

    #[test]
    fn what_serves_objects_is_held_against_what_was_asked() {
        let glibc = serving(MallocKind::Glibc);
        assert!(codes(&glibc, objects).is_empty());
        assert_eq!(codes(&with(glibc.clone(), "PYTHONMALLOC", "malloc"), objects), ["SW241"]);
        let mut supervisor = serving(MallocKind::Slackwater);
        supervisor.objects = Some(ObjectAllocator::Malloc);
        assert!(codes(&with(supervisor.clone(), "PYTHONMALLOC", "malloc"), objects).is_empty());
        assert_eq!(codes_under(&glibc, Some(&supervisor), objects), ["SW241"]);
        let jemalloc = serving(MallocKind::Jemalloc);
        assert_eq!(codes(&jemalloc, objects), ["SW242"]);
        assert!(codes(&with(jemalloc, "PYTHONMALLOC", "pymalloc"), objects).is_empty());
    }

    #[test]
    fn the_limit_is_near_from_a_share_on() {
        let mut process = serving(MallocKind::Glibc);
        process.role = Role::Master;
        let group = |usage_bytes| Cgroup { usage_bytes, limit_bytes: Some(1000), ..Cgroup::default() };
        process.cgroup = Some(group(899));
        assert!(codes(&process, limit).is_empty());
        process.cgroup = Some(group(900));
        assert_eq!(codes(&process, limit), ["SW243"]);
        process.cgroup = Some(Cgroup { limit_bytes: None, ..group(900) });
        assert!(codes(&process, limit).is_empty());
    }
}
