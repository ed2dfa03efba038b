//! uvicorn: the environment alone. Its workers are spawned, not forked, so each starts its allocator anew.

use super::service::Server;
use super::{File, Request, shell};

pub(super) fn files(request: &Request) -> Vec<File> {
    shell::start(request, Server::Uvicorn, |draft| {
        if request.needs_rearming() {
            draft.note(
                "No hook is needed: with --workers uvicorn starts each worker as a program of its own, and \
                jemalloc's background thread with it. Under gunicorn (-k uvicorn.workers.UvicornWorker) workers \
                are forked: follow the advice for gunicorn there.",
            );
        } else {
            draft.note("With --workers, each worker is a program of its own and inherits all of this.");
        }
    })
}
