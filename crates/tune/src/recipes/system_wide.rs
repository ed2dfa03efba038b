//! /etc/ld.so.preload: every program of a machine or an image, and why that is the last resort.

use super::draft::{Draft, Syntax};
use super::{File, Request, glibc, variables};
use crate::Allocator;
use crate::environment::LD_PRELOAD;

pub(super) fn files(request: &Request) -> Vec<File> {
    let mut files = Vec::new();
    let library = request.preload();
    if let Some(library) = library {
        files.push(preload(request, library));
    }
    let mut draft = Draft::new(
        "/etc/environment",
        Syntax::Lines,
        "add these lines. Sessions that pam_env opens read it: logins, cron, su. systemd units and containers do not.",
    );
    if library.is_none() {
        draft.note("glibc has no file for its settings: what does not read this one needs them in its own environment.");
    }
    let mut is_empty = true;
    for variable in variables(request).iter().filter(|variable| variable.name != LD_PRELOAD) {
        for reason in &variable.reasons {
            draft.note(reason);
        }
        draft.line(&format!("{}={}", variable.name, variable.value));
        is_empty = false;
    }
    glibc::tunables(request, &mut draft);
    if !is_empty {
        files.push(draft.file());
    }
    if request.allocator == Allocator::Jemalloc {
        files.push(conf(request));
    }
    files
}

fn preload(request: &Request, library: &str) -> File {
    let mut draft = Draft::new(
        "/etc/ld.so.preload",
        Syntax::Lines,
        "the loader reads it for every program that it starts, root's and setuid ones too.",
    );
    draft.note("Prefer the environment of one service, as the other recipes do. Reasons to be careful:");
    draft.note(
        "- A library that does not load only draws a complaint from each command; one that loads and fails takes the \
        whole machine along, its shells too. Keep a root shell open, and try it first:",
    );
    draft.example(&format!("{LD_PRELOAD}={library} /bin/true && echo well"));
    draft.note("- Every program pays for it, databases with allocators of their own and browsers too.");
    draft.note("- It holds for one file system tree: containers have their own, and images keep it when they are built.");
    draft.note("- Static programs and those for musl ignore it. PYTHONMALLOC cannot be set this way.");
    draft.note("- It is undone by emptying this file; what runs keeps its allocator until it is restarted.");
    draft.note("Where it is right: an image that runs one service, started through sudo, su or `env -i`.");
    if let Some(install) = request.install() {
        draft.note("Once, as root:");
        draft.example(&install);
    }
    draft.line(library);
    draft.file()
}

/// jemalloc's own file of settings: a link whose target is the text.
fn conf(request: &Request) -> File {
    let mut draft = Draft::new(
        "malloc-conf.sh",
        Syntax::Shell,
        "run once, as root: jemalloc reads its settings from the name that /etc/malloc.conf links to.",
    );
    draft.note("It is read by every program on jemalloc; the variable MALLOC_CONF wins over it.");
    for variable in variables(request).iter().filter(|variable| variable.name == request.allocator.variable())
    {
        draft.line(&format!("ln -sfn '{}' /etc/malloc.conf", variable.value));
    }
    draft.file()
}
