//! One command, or a script that starts one: the environment, and how to see that it is in force.

use super::draft::{Draft, Syntax};
use super::service::Server;
use super::{File, Request, glibc, variables};
use crate::Allocator;

pub(super) fn files(request: &Request) -> Vec<File> {
    match request.service.server {
        Some(server) => start(request, server, |_| ()),
        None => vec![script(request, "\"$@\"", |draft| {
            draft.note("Any command: sh start.sh COMMAND ARGUMENTS.");
        })],
    }
}

/// The script that starts `server`, with what is to be known of it.
pub(super) fn start(request: &Request, server: Server, about: impl FnOnce(&mut Draft)) -> Vec<File> {
    vec![script(request, &request.service.command(server), about)]
}

fn script(request: &Request, command: &str, about: impl FnOnce(&mut Draft)) -> File {
    let mut draft = Draft::new(
        "start.sh",
        Syntax::Shell,
        "starts the service; or take over its lines into what starts it now.",
    );
    about(&mut draft);
    if request.allocator == Allocator::Slackwater {
        draft.note("Where slackwater itself is installed, one line does all of this:");
        draft.example(&format!("slackwater run -- {command}"));
    }
    if let Some(install) = request.install() {
        draft.note("Once, as root:");
        draft.example(&install);
    }
    for variable in variables(request) {
        draft.gap();
        for reason in &variable.reasons {
            draft.note(reason);
        }
        draft.line(&format!("export {}={}", variable.name, variable.value));
    }
    glibc::tunables(request, &mut draft);
    draft.gap();
    draft.note("exec, so that no shell stands between the service and the signals that it gets.");
    draft.line(&format!("exec {command}"));
    draft.gap();
    request.verify(&mut draft);
    draft.file()
}

impl Request {
    /// How `slackwater` is told which service is meant.
    pub(super) fn selector(&self) -> String {
        self.server().map_or_else(|| "--pid PID".to_owned(), |server| format!("--name {server}"))
    }

    /// How to see that it is in force.
    pub(super) fn verify(&self, draft: &mut Draft) {
        let selector = self.selector();
        draft.note("Is it in force, in every worker?");
        draft.example(&format!("slackwater verify {selector} --expect {}", self.allocator));
    }
}
