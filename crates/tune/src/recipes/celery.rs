//! celery: the environment of the main process; with jemalloc a handler of `worker_process_init`.

use super::draft::{Draft, Syntax};
use super::service::Server;
use super::{File, Request, rearm, shell};

pub(super) fn files(request: &Request) -> Vec<File> {
    let mut files = shell::start(request, Server::Celery, |draft| {
        draft.note(
            "worker_max_memory_per_child and worker_max_tasks_per_child, if they are there because of memory, \
            can go when RSS has stayed flat for a while: they hide what is wrong and cost a restart each time.",
        );
    });
    files.extend(hook(request));
    files
}

/// What celery's pool needs besides the environment.
pub(super) fn hook(request: &Request) -> Vec<File> {
    if !request.needs_rearming() {
        return Vec::new();
    }
    let mut draft = Draft::new(
        "celery_rearm.py",
        Syntax::Python,
        "add these lines to the module of the celery app, or import it there.",
    );
    draft.note("Each process of a prefork pool calls it when it begins. Pools of threads do not fork: there it is idle.");
    draft.line("from celery.signals import worker_process_init");
    draft.line(&format!("from {} import rearm", rearm::MODULE));
    draft.gap();
    draft.line("worker_process_init.connect(rearm)");
    vec![rearm::module(), draft.file()]
}
