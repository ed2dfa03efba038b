//! What we may do with the target, from how the attempts went; and where one was refused, which of
//! the kernel's rules refused it.

use std::fmt::Write as _;

use super::attempt::{ENOENT, ESRCH, errno_name};
use super::facts::{Relation, Target, Yama};
use super::{Attempt, Call, Check, Facts, Purpose};

const EVERYTHING: &[Purpose] = &[Purpose::Classes, Purpose::Heaps, Purpose::Sharing, Purpose::Enter];
const INSIDE: &[Purpose] = &[Purpose::Heaps, Purpose::Enter];

/// Which of the kernel's two checks a call has to pass.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Gate {
    /// For reading about a process.
    Read,
    /// For reading its memory and attaching to it: Yama has a word in it.
    Attach,
}

pub(super) fn judge(facts: &Facts) -> Vec<Check> {
    let Some(target) = &facts.target else { return Vec::new() };
    let mut checks = Vec::new();
    checks.push(files(facts, target));
    checks.push(memory(facts, target));
    checks.extend(facts.attempt(Call::Ptrace).map(|attempt| ptrace(facts, target, attempt)));
    checks.extend(facts.attempt(Call::Frames).map(|attempt| frames(facts, attempt)));
    checks.extend(facts.attempt(Call::MapFiles).map(|attempt| mapped_files(facts, attempt)));
    checks.extend(facts.attempt(Call::PidfdOpen).map(pidfd));
    checks.extend(facts.attempt(Call::PagemapScan).map(pagemap_scan));
    checks
}

/// /proc/PID/{maps,smaps,pagemap}: without them there are no classes, and nothing else either.
fn files(facts: &Facts, target: &Target) -> Check {
    const NAME: &str = "pages";
    let refused: Vec<&Attempt> = [Call::Maps, Call::Smaps, Call::Pagemap]
        .into_iter()
        .filter_map(|call| facts.attempt(call))
        .filter(|attempt| attempt.errno.is_some())
        .collect();
    match refused.first() {
        None => Check::pass(NAME, EVERYTHING, "maps, smaps and pagemap can be read"),
        Some(first) => {
            let (cause, fix) = explain(facts, target, Gate::Read, first);
            Check::fail(NAME, EVERYTHING, format!("{}: {cause}", list(&refused)), fix)
        }
    }
}

/// One of the two ways to read memory is enough.
fn memory(facts: &Facts, target: &Target) -> Check {
    const NAME: &str = "memory";
    let ways: Vec<&Attempt> =
        [Call::ProcessVmReadv, Call::Mem].into_iter().filter_map(|call| facts.attempt(call)).collect();
    let (refused, open): (Vec<&Attempt>, Vec<&Attempt>) =
        ways.into_iter().partition(|attempt| attempt.errno.is_some());
    match (open.first(), refused.first()) {
        (Some(way), None) => Check::pass(NAME, INSIDE, format!("{} is permitted", way.call)),
        (Some(way), Some(_)) => {
            let by = if facts.us.seccomp == 2 { " (a seccomp filter of ours)" } else { "" };
            Check::pass(NAME, INSIDE, format!("{} is permitted; {}{by}", way.call, list(&refused)))
        }
        (None, Some(first)) => {
            let (cause, fix) = explain(facts, target, Gate::Attach, first);
            Check::fail(NAME, INSIDE, format!("{}: {cause}", list(&refused)), fix)
        }
        (None, None) => Check::note(NAME, "not tried"),
    }
}

fn ptrace(facts: &Facts, target: &Target, attempt: &Attempt) -> Check {
    const NAME: &str = "ptrace";
    const FOR: &[Purpose] = &[Purpose::Enter];
    if attempt.errno.is_some() {
        // Asking about a process that we do not trace is never refused by the ordinary rules.
        let cause = format!("{}: a seccomp filter forbids us the call", list(&[attempt]));
        return Check::fail(NAME, FOR, cause, unfilter(facts));
    }
    match facts.attempt(Call::Mem).filter(|mem| mem.errno.is_some()) {
        None => {
            Check::pass(NAME, FOR, "the call is there, and /proc/PID/mem passed the same check as attaching")
        }
        Some(mem) => {
            let (cause, fix) = explain(facts, target, Gate::Attach, mem);
            let cause =
                format!("attaching passes the same check as /proc/PID/mem, which was refused: {cause}");
            Check::fail(NAME, FOR, cause, fix)
        }
    }
}

/// Frame numbers tell whether two processes share a page.
fn frames(facts: &Facts, attempt: &Attempt) -> Check {
    const NAME: &str = "frame numbers";
    const FOR: &[Purpose] = &[Purpose::Sharing];
    if attempt.errno.is_none() {
        return Check::pass(NAME, FOR, "visible: pages shared after a fork are counted once");
    }
    let cause = if facts.us.has_sys_admin() {
        "the kernel hides them: CAP_SYS_ADMIN does not count in this user namespace"
    } else {
        "the kernel hides them without CAP_SYS_ADMIN"
    };
    let fix = match facts.container {
        Some(container) => container.grant("SYS_ADMIN"),
        None => "run it as root on the host; until then a service's total is taken from PSS".to_owned(),
    };
    Check::fail(NAME, FOR, cause, fix)
}

/// Code whose file was replaced or removed while it was mapped: other files are found by their names as well.
fn mapped_files(facts: &Facts, attempt: &Attempt) -> Check {
    const NAME: &str = "mapped files";
    if attempt.errno.is_none() {
        return Check::pass(NAME, &[], "what is mapped can be opened, also where it has no name any more");
    }
    let refused = list(&[attempt]);
    let what = "code whose file was replaced while it was mapped ends native stacks, and a process whose own \
                program was replaced is not entered";
    let fix = match facts.container {
        _ if facts.us.has_sys_admin() || facts.us.has_checkpoint_restore() => {
            "our capabilities do not count in this user namespace".to_owned()
        }
        Some(container) => container.grant("CHECKPOINT_RESTORE"),
        None => "root or CAP_CHECKPOINT_RESTORE (Linux 5.9) opens it".to_owned(),
    };
    Check::note(NAME, format!("{refused}: {what}; {fix}"))
}

fn pidfd(attempt: &Attempt) -> Check {
    const NAME: &str = "pidfd";
    match attempt.errno {
        None => {
            Check::pass(NAME, &[], "the process is held by a handle: its pid cannot be taken for another's")
        }
        Some(_) => {
            Check::note(NAME, format!("{}; a reused pid is told by its start time instead", list(&[attempt])))
        }
    }
}

fn pagemap_scan(attempt: &Attempt) -> Check {
    const NAME: &str = "pagemap scan";
    match attempt.errno {
        None => Check::pass(NAME, &[], "PAGEMAP_SCAN is there (Linux 6.7)"),
        Some(_) => Check::note(NAME, format!("{}; pagemap is read instead", list(&[attempt]))),
    }
}

/// `maps, smaps: EPERM`, each with its own errno.
fn list(refused: &[&Attempt]) -> String {
    let mut text = String::new();
    for attempt in refused {
        let separator = if text.is_empty() { "" } else { ", " };
        let errno = attempt.errno.map_or_else(String::new, errno_name);
        let _ = write!(text, "{separator}{} says {errno}", attempt.call);
    }
    text
}

/// The first of the kernel's rules that explains the refusal, and what to do about it.
fn explain(facts: &Facts, target: &Target, gate: Gate, refusal: &Attempt) -> (String, String) {
    let us = &facts.us;
    if matches!(refusal.errno, Some(ESRCH | ENOENT)) {
        return (
            "the process went away meanwhile".to_owned(),
            "run it again with the pid of today".to_owned(),
        );
    }
    if gate == Gate::Attach && facts.yama == Some(Yama::NO_ATTACH) {
        let fix = "boot with kernel.yama.ptrace_scope at most 2: it cannot be lowered from 3";
        return ("kernel.yama.ptrace_scope is 3: nobody may attach".to_owned(), fix.to_owned());
    }
    if us.has_sys_ptrace() {
        return despite_capability(target);
    }
    let them = &target.credentials;
    let cause = if !us.is_user_of(them) {
        format!("the target runs as user {}, we as user {} without CAP_SYS_PTRACE", them.uids[1], us.uids[1])
    } else if target.is_dumpable == Some(false) {
        "the target is not dumpable (it changed its user, or called PR_SET_DUMPABLE), and we lack CAP_SYS_PTRACE"
            .to_owned()
    } else if them.capabilities & !us.capabilities != 0 {
        "the target holds capabilities that we do not, and we lack CAP_SYS_PTRACE".to_owned()
    } else if target.namespaces.user == Relation::Other {
        "the target lives in another user namespace, and we lack CAP_SYS_PTRACE there".to_owned()
    } else if let Some(Yama(scope @ 1..)) = facts.yama.filter(|_| gate == Gate::Attach) {
        let fix = format!("sysctl kernel.yama.ptrace_scope=0, or {}", grant(facts, target));
        return (format!("kernel.yama.ptrace_scope is {scope}, and we lack CAP_SYS_PTRACE"), fix);
    } else {
        "we lack CAP_SYS_PTRACE, and the kernel does not take the target for ours".to_owned()
    };
    (cause, grant(facts, target))
}

/// How to come by CAP_SYS_PTRACE, or by doing without it.
fn grant(facts: &Facts, target: &Target) -> String {
    match facts.container {
        Some(container) => container.grant("SYS_PTRACE"),
        None if facts.us.uids[1] == 0 => {
            "run it with CAP_SYS_PTRACE: something took it from root here (capsh --print shows what is left)"
                .to_owned()
        }
        None if target.is_dumpable == Some(false) || facts.us.is_user_of(&target.credentials) => {
            "run it as root (sudo)".to_owned()
        }
        None if target.credentials.uids[1] == 0 => "run it as root (sudo)".to_owned(),
        None => {
            format!(
                "run it as root (sudo), or as the target's user (sudo -u '#{}')",
                target.credentials.uids[1]
            )
        }
    }
}

/// We hold the capability and were refused all the same.
fn despite_capability(target: &Target) -> (String, String) {
    if target.namespaces.user == Relation::Same {
        let cause =
            "refused although we hold CAP_SYS_PTRACE: a security module (SELinux, AppArmor) does that";
        return (cause.to_owned(), "look for the denial: journalctl -k --grep 'denied.*ptrace'".to_owned());
    }
    let cause = "the target lives in another user namespace, where our CAP_SYS_PTRACE does not count";
    (cause.to_owned(), "run it as root on the host, outside the user namespace".to_owned())
}

/// How to be rid of a seccomp filter.
fn unfilter(facts: &Facts) -> String {
    match facts.container {
        Some(container) => container.without_filter(),
        None => "run outside the sandbox; for a systemd unit that is SystemCallFilter=@debug".to_owned(),
    }
}
