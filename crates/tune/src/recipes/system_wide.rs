//! /etc/ld.so.preload: every program of a machine or an image, and why that is the last resort.
//!
//! Invariant: a script, not the file itself. glibc's loader means to skip comments there and loses count
//! of them: of a file with several it takes the words of the later ones for libraries.

use super::draft::{Draft, Syntax};
use super::{File, Request, Variable, glibc, variables};
use crate::Allocator;
use crate::environment::LD_PRELOAD;

pub(super) fn files(request: &Request) -> Vec<File> {
    let mut draft = Draft::new(
        "system-wide.sh",
        Syntax::Shell,
        "run once as root, on a machine or by RUN in a Dockerfile. Prefer the other places: they change one service.",
    );
    let library = request.preload();
    if library.is_some() {
        warnings(&mut draft);
    }
    draft.line("set -eu");
    if let Some(library) = library {
        trial(request, library, &mut draft);
    }
    let variables: Vec<Variable> =
        variables(request).into_iter().filter(|variable| variable.name != LD_PRELOAD).collect();
    for variable in &variables {
        draft.gap();
        for reason in &variable.reasons {
            draft.note(reason);
        }
        if request.allocator == Allocator::Jemalloc && variable.name == request.allocator.variable() {
            draft.note(
                "jemalloc reads them from the name that this link points to, in every program; the variable \
                MALLOC_CONF wins over it.",
            );
            draft.line(&format!("ln -sfn '{}' /etc/malloc.conf", variable.value));
        } else {
            draft.note(
                "Sessions that pam_env opens read this file: logins, cron, su. systemd units and containers do not: \
                set it there too.",
            );
            draft.line(&format!("echo '{}={}' >> /etc/environment", variable.name, variable.value));
        }
    }
    glibc::tunables(request, &mut draft);
    if let Some(library) = library {
        draft.gap();
        draft.note("Last, when all else is in place. It holds for what is started from now on.");
        draft.line(&format!("echo '{library}' > /etc/ld.so.preload"));
    }
    vec![draft.file()]
}

fn warnings(draft: &mut Draft) {
    draft.note(
        "- The loader reads /etc/ld.so.preload for every program that it starts, root's and setuid ones too. Databases \
        and browsers with allocators of their own are among them.",
    );
    draft.note(
        "- A library that is missing draws a complaint from each command. One that loads and fails takes every shell \
        along: keep one open as root. It is undone by removing the file.",
    );
    draft.note("- No comments in that file: glibc's loader takes words of theirs for libraries.");
    draft.note(
        "- It holds for one tree of files: containers do not see the host's, and an image keeps what it was built with.",
    );
    draft.note("- Static programs and those for musl ignore it.");
    draft.note("Where it is right: an image of one service that is started through sudo, su or `env -i`.");
}

/// The lines that stop the script before it can do harm.
fn trial(request: &Request, library: &str, draft: &mut Draft) {
    draft.gap();
    if let Some(install) = request.install() {
        draft.line(&install);
    }
    draft.note("Nothing is written unless the library loads, and nothing of yours is overwritten.");
    draft.line(&format!("library=$(readlink -e {library})"));
    draft.line(&format!("{LD_PRELOAD}=$library grep -q \"$library\" /proc/self/maps"));
    draft.line("if [ -s /etc/ld.so.preload ]; then echo '/etc/ld.so.preload is in use' >&2; exit 1; fi");
}
