//! Whether there is a process at all, and one that can be looked at and entered now.

use slackwater_procfs::State;

use super::{Call, Check, Facts, Purpose};

const NAME: &str = "process";
const EVERYTHING: &[Purpose] = Purpose::ALL;
const ENTER: &[Purpose] = &[Purpose::Enter];

pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let Some(target) = &facts.target else { return vec![absent(facts)] };
    let pid = facts.pid;
    if target.is_kernel_thread {
        let cause = format!("{pid} ({}) is a thread of the kernel: it has no memory of its own", target.name);
        return vec![Check::fail(NAME, EVERYTHING, cause, "name a process of a program")];
    }
    if target.state == State::Zombie {
        let cause = format!("{pid} ({}) has exited; only its entry is left", target.name);
        let fix = format!("its parent {} has to collect it: look at that one", target.parent);
        return vec![Check::fail(NAME, EVERYTHING, cause, fix)];
    }
    let mut checks = vec![Check::pass(NAME, EVERYTHING, format!("{pid} is {}", target.name))];
    if let Some((tracer, name)) = &target.tracer {
        let cause = format!("process {tracer} ({name}) traces it, and only one can");
        checks.push(Check::fail("tracer", ENTER, cause, format!("end or detach {name} (pid {tracer})")));
    } else if target.state == State::Stopped {
        let cause = "it is stopped, and is left so";
        checks.push(Check::fail("stopped", ENTER, cause, format!("let it run: kill -CONT {pid}")));
    }
    if target.has_shadow_stack {
        let cause = "its processor checks return addresses against a shadow stack";
        let fix = "start the service with GLIBC_TUNABLES=glibc.cpu.x86_shstk=off";
        checks.push(Check::fail("shadow stack", ENTER, cause, fix));
    }
    checks
}

fn absent(facts: &Facts) -> Check {
    let pid = facts.pid;
    let exists = facts.attempt(Call::PidfdOpen).is_some_and(|attempt| attempt.errno.is_none());
    if exists {
        let cause = format!("process {pid} exists, but /proc hides it from us: it is mounted with hidepid");
        return Check::fail(NAME, EVERYTHING, cause, "run as root, or as the target's user");
    }
    let cause = format!("there is no process {pid}");
    Check::fail(NAME, EVERYTHING, cause, "look it up again: its service may have been restarted (ps -ef)")
}
