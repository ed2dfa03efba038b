//! systemd: a drop-in beside the unit, which stays as it is.

use super::draft::{Draft, Syntax};
use super::{File, Request, docker, glibc, variables};
use crate::Allocator;

pub(super) fn files(request: &Request) -> Vec<File> {
    let unit = request.service.unit();
    let path = format!("/etc/systemd/system/{unit}.d/slackwater.conf");
    let mut draft = Draft::new(path, Syntax::Ini, "a drop-in; the unit itself stays as it is.");
    if let Some(install) = request.install() {
        draft.note("Once, as root:");
        draft.example(&install);
    }
    draft.note("Then, and after every change:");
    draft.example(&format!("systemctl daemon-reload && systemctl restart {unit}"));
    docker::rearming(request, &mut draft);
    draft.gap();
    draft.line("[Service]");
    for variable in variables(request) {
        for reason in &variable.reasons {
            draft.note(reason);
        }
        draft.line(&format!("Environment=\"{}={}\"", variable.name, variable.value));
        draft.gap();
    }
    draft.note(
        "A variable that an EnvironmentFile= of the unit sets wins over these. If the unit sets LD_PRELOAD itself, \
        name both libraries here, this one first, with a blank between. A command that ends in sudo, su or `env -i` \
        drops it: use User= instead.",
    );
    draft.gap();
    draft.note(
        "Counts the unit's memory, so that `systemctl status` shows it. To contain a runaway, MemoryHigh= slows the \
        service down at a limit and MemoryMax= ends it there.",
    );
    draft.line("MemoryAccounting=yes");
    glibc::tunables(request, &mut draft);
    draft.gap();
    draft.note("Is it in force, in every worker?");
    draft.example(&format!("slackwater verify --cgroup system.slice/{unit} --expect {}", request.allocator));
    let mut files = vec![draft.file()];
    if request.allocator == Allocator::Glibc {
        files.push(trimmer(unit));
    }
    files
}

/// A unit that keeps the service trimmed, for those who stay on glibc.
fn trimmer(unit: &str) -> File {
    let name = unit.trim_end_matches(".service");
    let mut draft = Draft::new(
        format!("/etc/systemd/system/{name}-trim.service"),
        Syntax::Ini,
        "gives back what glibc keeps, for as long as the service runs.",
    );
    draft.example(&format!("systemctl daemon-reload && systemctl enable --now {name}-trim.service"));
    draft.gap();
    draft.line("[Unit]");
    draft.line(&format!("Description=Give back the memory that {unit} has freed"));
    draft.note("It starts and stops with the service.");
    draft.line(&format!("PartOf={unit}"));
    draft.line(&format!("After={unit}"));
    draft.gap();
    draft.line("[Service]");
    draft.note("Processes with less than 50 MB to give back are left alone.");
    draft.line(&format!(
        "ExecStart=/usr/local/bin/slackwater trim --cgroup system.slice/{unit} --every 60s --above 50M"
    ));
    draft.note("The service may be restarting when this one starts.");
    draft.line("Restart=on-failure");
    draft.line("RestartSec=30");
    draft.gap();
    draft.line("[Install]");
    draft.line(&format!("WantedBy={unit}"));
    draft.file()
}
