//! SW230 to SW233: whether anything gives memory back while the process is idle.

use super::{Case, Mistake};
use crate::serving::MistakeCode;
use crate::{MallocKind, Role};

pub(super) fn idle(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    // A supervisor that serves nothing has nothing to give back.
    let matters = matches!(process.role, Role::Worker | Role::Single);
    if !matters || process.purging.by.works_when_idle() != Some(false) {
        return Vec::new();
    }
    let seen = process.purging.evidence.clone();
    let mistake = match process.server.kind {
        MallocKind::Slackwater => governor(case, seen),
        MallocKind::Jemalloc if process.setting("background_thread") == Some("true") => {
            let asked = "background_thread:true is asked for".to_owned();
            let fix = "slackwater run -- COMMAND; or switch it on again in each worker: slackwater advise \
                       gunicorn --allocator jemalloc";
            Mistake::new(MistakeCode::BackgroundThreadsLost, asked, fix).seen(seen)
        }
        // Pages go back as soon as they are free: there is nothing left to do when idle.
        MallocKind::Jemalloc if process.setting("dirty_decay_ms") == Some("0") => return Vec::new(),
        MallocKind::Jemalloc | MallocKind::Mimalloc | MallocKind::Tcmalloc => {
            Mistake::new(MistakeCode::IdleKeeps, seen, "slackwater run -- COMMAND, whose governor does")
        }
        _ => return Vec::new(),
    };
    vec![mistake]
}

fn governor(case: &Case<'_>, seen: String) -> Mistake {
    match case.process.environment.get("SLACKWATER_GOVERNOR") {
        Some(value @ "off") => Mistake::new(
            MistakeCode::GovernorOff,
            format!("SLACKWATER_GOVERNOR={value} is in its environment"),
            "take SLACKWATER_GOVERNOR out of its environment",
        ),
        _ => Mistake::new(MistakeCode::GovernorMissing, "no thread slackwater runs here", {
            "SLACKWATER_GOVERNOR=on in its environment, which also holds for programs other than Python"
        })
        .seen(seen),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{codes, serving, with};
    use super::*;
    use crate::serving::{Origin, Purger, Serving, Setting};

    fn idle_with(kind: MallocKind, by: Purger, conf: &[(&str, &str)]) -> Serving {
        let mut process = serving(kind);
        process.purging.by = by;
        process.purging.evidence = "no such thread".to_owned();
        process.settings = conf
            .iter()
            .map(|(key, value)| Setting {
                key: (*key).to_owned(),
                value: (*value).to_owned(),
                origin: Origin::Environment,
            })
            .collect();
        process
    }

    #[test]
    fn fires_where_nobody_works_while_the_process_is_idle() {
        use MallocKind::{Glibc, Jemalloc, Mimalloc, Slackwater};
        let check =
            |process: Serving, expected: &[&str]| assert_eq!(codes(&process, idle), expected, "{process:?}");
        let asked = [("background_thread", "true")];
        check(idle_with(Jemalloc, Purger::Allocations, &asked), &["SW230"]);
        check(idle_with(Jemalloc, Purger::BackgroundThreads, &asked), &[]);
        check(idle_with(Jemalloc, Purger::Allocations, &[]), &["SW231"]);
        check(idle_with(Jemalloc, Purger::Allocations, &[("dirty_decay_ms", "0")]), &[]);
        // The last value of a key wins.
        let twice = [("background_thread", "true"), ("background_thread", "false")];
        check(idle_with(Jemalloc, Purger::Allocations, &twice), &["SW231"]);
        check(idle_with(Mimalloc, Purger::Allocations, &[]), &["SW231"]);
        check(idle_with(Glibc, Purger::Frees, &[]), &[]);
        check(idle_with(Slackwater, Purger::Governor, &[]), &[]);
        check(idle_with(Slackwater, Purger::Allocations, &[]), &["SW232"]);
        let off = with(idle_with(Slackwater, Purger::Allocations, &[]), "SLACKWATER_GOVERNOR", "off");
        check(off, &["SW233"]);
        let mut master = idle_with(Jemalloc, Purger::Allocations, &asked);
        master.role = Role::Master;
        check(master, &[]);
    }
}
