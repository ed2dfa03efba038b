//! gunicorn: the environment of its master, which forks the workers; with jemalloc a `post_fork` hook.

use super::draft::{Draft, Syntax};
use super::service::Server;
use super::{File, Request, rearm, shell};
use crate::Allocator;

pub(super) fn files(request: &Request) -> Vec<File> {
    let mut files = shell::start(request, Server::Gunicorn, |draft| {
        draft.note(
            "raw_env in gunicorn's configuration comes too late for any of this: malloc has served gunicorn \
            itself for long when that is read. --max-requests, if it is there because of memory, can go when \
            RSS has stayed flat for a while.",
        );
    });
    files.extend(hook(request));
    files
}

/// What gunicorn's workers need besides the environment.
pub(super) fn hook(request: &Request) -> Vec<File> {
    if !request.needs_rearming() {
        return Vec::new();
    }
    debug_assert_eq!(request.allocator, Allocator::Jemalloc, "the only one that loses its thread");
    let mut draft = Draft::new(
        "gunicorn.conf.py",
        Syntax::Python,
        "gunicorn reads it from its working directory; elsewhere add --config PATH. If there is one already, \
        add the import, and the call to its post_fork.",
    );
    draft.note(
        "Needed with preload_app and without it, and with every class of worker: gunicorn always forks.",
    );
    draft.line(&format!("from {} import rearm", rearm::MODULE));
    draft.gap();
    draft.gap();
    draft.line("def post_fork(server, worker):");
    draft.line("    if not rearm():");
    draft.line("        worker.log.warning(\"jemalloc's background thread does not run in this worker\")");
    vec![rearm::module(), draft.file()]
}
