//! Real servers under what is advised: an idle worker gives its burst back, and does not without the
//! part of the advice that says why it is there.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use slackwater_testkit::allocator_library;
use slackwater_tune::Allocator;
use slackwater_tune::recipes::{File, INSTALLED, Place, Service};

use crate::service::{ASGI, Running, WSGI, falls, has, maps, stays};
use crate::{files, installed, request};

const ONE_WORKER: &str =
    "--workers 1 --worker-class gthread --threads 4 --no-control-socket --bind unix:SOCKET";

/// gunicorn as `recipe` starts it, with `more` on its command line.
fn gunicorn(recipe: &[File], more: &str) -> Running {
    Running::start(
        recipe,
        &[("app.py", WSGI)],
        &[("GUNICORN_CMD_ARGS", &format!("{ONE_WORKER} {more}")), ("PYTHONUNBUFFERED", "1")],
    )
}

/// Our library where this build has it, instead of where it is installed.
fn with_our_library(files: Vec<File>) -> Vec<File> {
    let library = allocator_library().unwrap().display().to_string();
    files
        .into_iter()
        .map(|file| File {
            text: file.text.replace(&format!("={INSTALLED}"), &format!("={library}")),
            ..file
        })
        .collect()
}

/// Only the command and its environment.
fn without_hook(files: &[File]) -> Vec<File> {
    files.iter().filter(|file| file.name == "start.sh").cloned().collect()
}

#[test]
fn fault_25_a_gunicorn_worker_on_jemalloc_gives_back_while_idle_only_with_the_hook() {
    if !has("gunicorn") || installed(Allocator::Jemalloc).is_none() {
        return;
    }
    let recipe = files(&request(Place::Gunicorn, Allocator::Jemalloc));
    let bare = gunicorn(&without_hook(&recipe), "");
    let worker = bare.burst();
    assert!(maps(worker, "libjemalloc.so.2"));
    assert!(stays(worker), "jemalloc gave back in a forked worker without the hook: is it needed?");

    for more in ["", "--preload"] {
        let hooked = gunicorn(&recipe, more);
        assert!(falls(hooked.burst()), "{more}: {}", hooked.target.said());
        assert!(!hooked.target.said().contains("does not run"), "{}", hooked.target.said());
    }
}

#[test]
fn the_hook_says_when_jemalloc_is_not_in_force() {
    if !has("gunicorn") {
        return;
    }
    let mut recipe = files(&request(Place::Gunicorn, Allocator::Jemalloc));
    for file in recipe.iter_mut().filter(|file| file.name == "start.sh") {
        file.text = "exec gunicorn app:app\n".to_owned();
    }
    let plain = gunicorn(&recipe, "");
    plain.burst();
    assert!(plain.target.said().contains("background thread does not run"), "{}", plain.target.said());
}

#[test]
fn a_gunicorn_worker_on_our_library_needs_no_hook() {
    if !has("gunicorn") {
        return;
    }
    let recipe = with_our_library(files(&request(Place::Gunicorn, Allocator::Slackwater)));
    assert_eq!(recipe.len(), 1, "{recipe:?}");
    let running = gunicorn(&recipe, "");
    let worker = running.burst();
    assert!(maps(worker, "libslackwater_alloc.so"));
    assert!(falls(worker), "{}", running.target.said());
}

#[test]
fn the_configuration_of_gunicorn_comes_too_late_for_a_preload() {
    let Some(library) = installed(Allocator::Jemalloc).filter(|_| has("gunicorn")) else { return };
    let bare = [File {
        name: "start.sh".to_owned(),
        text: "exec gunicorn app:app\n".to_owned(),
        ..files(&request(Place::Gunicorn, Allocator::Jemalloc)).remove(0)
    }];
    let late = gunicorn(&bare, &format!("--env LD_PRELOAD={}", library.display()));
    assert!(!maps(late.burst(), "libjemalloc.so.2"), "raw_env works after all: say so");
}

#[test]
fn uvicorn_spawns_its_workers_and_needs_no_hook() {
    if !has("uvicorn") || installed(Allocator::Jemalloc).is_none() {
        return;
    }
    let recipe = files(&request(Place::Uvicorn, Allocator::Jemalloc));
    assert_eq!(recipe.len(), 1, "{recipe:?}");
    let variables = [("UVICORN_UDS", "SOCKET"), ("UVICORN_LOG_LEVEL", "warning"), ("UVICORN_LIFESPAN", "on")];
    let running = Running::start(&recipe, &[("app.py", ASGI)], &variables);
    let worker = running.burst();
    assert_ne!(worker, running.target.pid().0, "it has workers");
    assert!(falls(worker), "{}", running.target.said());
}

/// A celery project on a broker of files. Each task leaves the pid of its process.
const CELERY: &str = r#"
import os
from celery import Celery
from celery.signals import worker_ready
from burst import bursts

here = os.path.dirname(os.path.abspath(__file__))
queue = os.path.join(here, "queue")
os.makedirs(queue, exist_ok=True)
app = Celery("shop", broker="filesystem://")
app.conf.update(
    broker_transport_options={"data_folder_in": queue, "data_folder_out": queue, "control_folder": queue},
    worker_concurrency=1,
    broker_connection_retry_on_startup=True,
)

@app.task
def burst():
    pid = [bursts() for _ in range(3)][-1]
    with open(os.path.join(here, "pid.new"), "w") as file:
        file.write(str(pid))
    os.rename(os.path.join(here, "pid.new"), os.path.join(here, "pid"))

@worker_ready.connect
def ready(**_):
    burst.delay()
    os.write(1, b"ready\n")
"#;

/// celery as `recipe` starts it: the pid of the pool's process that has had a burst.
fn celery(recipe: &[File], module: &str) -> (Running, i32) {
    // Messages in files are few and slow; nothing else of celery is needed for a pool to fork.
    let running = Running::start(recipe, &[("shop.py", module)], &[("C_FORCE_ROOT", "1")]);
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        if let Ok(pid) = fs::read_to_string(running.folder().join("pid")) {
            return (running, pid.parse().unwrap());
        }
        assert!(Instant::now() < deadline, "no task was run: {}", running.target.said());
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn fault_25_a_celery_pool_on_jemalloc_gives_back_while_idle_only_with_the_signal_handler() {
    if !has("celery") || installed(Allocator::Jemalloc).is_none() {
        return;
    }
    let mut asked = request(Place::Celery, Allocator::Jemalloc);
    asked.service = Service { app: Some("shop".to_owned()), ..Service::default() };
    let recipe = files(&asked);

    let (_bare, worker) = celery(&without_hook(&recipe), CELERY);
    assert!(stays(worker), "jemalloc gave back in a forked worker without the handler: is it needed?");
    let (hooked, worker) = celery(&recipe, &format!("{CELERY}\nimport celery_rearm\n"));
    assert!(falls(worker), "{}", hooked.target.said());
}

#[test]
fn any_program_that_forks_can_start_the_thread_again_by_itself() {
    let Some(library) = installed(Allocator::Jemalloc) else { return };
    let folder = crate::folder();
    crate::write(&folder, &files(&request(Place::Gunicorn, Allocator::Jemalloc)));
    let program = "\
import os, time, jemalloc_rearm
os.register_at_fork(after_in_child=jemalloc_rearm.rearm)
pid = os.fork()
if not pid:
    time.sleep(0.2)
    names = [open(f'/proc/self/task/{task}/comm').read() for task in os.listdir('/proc/self/task')]
    os._exit(0 if any('jemalloc' in name for name in names) else 1)
print(os.waitpid(pid, 0)[1])
";
    let output = Command::new("python3")
        .args(["-c", program])
        .current_dir(folder.path())
        .env("LD_PRELOAD", library)
        .env("MALLOC_CONF", "background_thread:true")
        .output()
        .unwrap();
    assert_eq!(crate::well(&output).trim(), "0");
}
