//! SW140: a supervisor that serves no requests and holds memory of its own. uvicorn's loads the
//! application before it starts its workers, and shares none of it with them.

use super::{Facts, bytes};
use crate::{Code, Confidence, Finding, Kind, Role, advice, thresholds};

/// Servers whose supervisor spawns its workers afresh.
const SPAWNING: [&str; 2] = ["uvicorn", "hypercorn"];

pub(super) fn find(facts: &Facts<'_>) -> Option<Finding> {
    if !SPAWNING.contains(&facts.service.name.as_str()) {
        return None;
    }
    let master = facts.processes.iter().find(|process| process.role == Role::Master)?;
    let own = master.uss_bytes.unwrap_or(master.ledger.total().service);
    if own <= thresholds::SUPERVISOR_MAX_BYTES {
        return None;
    }
    Some(Finding {
        code: Code::IdleSupervisor,
        kind: Kind::Undetermined,
        pid: Some(master.pid),
        bytes: own,
        bytes_per_second: None,
        confidence: Confidence { value: 0.7, why: "it spawns its workers, so they share nothing of it" },
        evidence: vec![bytes("private_bytes", own), bytes("rss_bytes", master.rss_bytes)],
        advice: vec![advice::note(
            "pass the application as a text (`app:app`) and build it behind `if __name__ == \"__main__\"` or a \
             --factory; or serve with gunicorn, whose workers share what their master loads",
        )],
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::testing::{MIB, scene};

    #[test]
    fn fires_on_a_large_supervisor_of_a_spawning_server() {
        let check = |name: &str, role: Role, own: u64, fires: bool| {
            let scene = scene().named(name).role(role).private(own);
            assert_eq!(scene.found(find).is_some(), fires, "{name} {role} {own}");
        };
        check("uvicorn", Role::Master, 64 * MIB + 1, true);
        check("uvicorn", Role::Master, 64 * MIB, false);
        check("uvicorn", Role::Single, 200 * MIB, false);
        check("gunicorn", Role::Master, 200 * MIB, false);
    }
}
