//! Plans that are written are read.

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::plan::{self, Load};

fn words(text: &str) -> Vec<String> {
    shlex::split(text).expect("words")
}

#[test]
fn the_port_is_put_where_the_server_is_told_it() {
    let check = |before: &str, after: &str| {
        let placed = place_port(&words(before));
        assert_eq!(placed.command, words(after), "{before}");
        assert_eq!(placed.is_listening, after.contains("{port}"), "{before}");
    };
    check("gunicorn app:app", "gunicorn app:app --bind 127.0.0.1:{port}");
    check("gunicorn -w 2 -b 0.0.0.0:8000 app:app", "gunicorn -w 2 -b 127.0.0.1:{port} app:app");
    check("gunicorn -b:8000 app:app", "gunicorn -b127.0.0.1:{port} app:app");
    check("gunicorn --bind=unix:/run/a.sock -b [::1]:1 app:app", "gunicorn --bind=127.0.0.1:{port} app:app");
    check(
        "/usr/bin/python3 /srv/bin/gunicorn --daemon --pid /run/a.pid --reload app:app",
        "/usr/bin/python3 /srv/bin/gunicorn app:app --bind 127.0.0.1:{port}",
    );
    check(
        "python -m uvicorn app:app --host ::1 --port 80",
        "python -m uvicorn app:app --host ::1 --port {port}",
    );
    check("uvicorn app:app", "uvicorn app:app --port {port}");
    check("hypercorn app:app --bind 0.0.0.0:80", "hypercorn app:app --bind 127.0.0.1:{port}");
    check("serve {port} --bind x", "serve {port} --bind x");
    check("python work.py --port 80", "python work.py --port 80");
    assert_eq!(place_port(&words("gunicorn -D --pid=/x a:a")).removed, ["-D", "--pid"]);
    assert_eq!(place_port(&[]).command, Vec::<String>::new());
}

#[test]
fn a_plan_that_is_written_is_read_as_it_is_meant() {
    let facts = Facts {
        command: words("gunicorn --workers 2 --bind 0.0.0.0:8000 'app:create(\"a b\")'"),
        directory: Some("/srv/tele metry".into()),
        environment: [
            ("PYTHONPATH", "/srv/lib"),
            ("MALLOC_ARENA_MAX", "2"),
            ("LD_PRELOAD", "/usr/lib/libjemalloc.so.2"),
            ("DATABASE_URL", "postgres://user:hunter2@db/x"),
            ("GUNICORN_SECRET_KEY", "hunter3"),
            ("HOME", "/root"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        cpus: vec![0, 1],
        allocators: vec![Allocator::Slackwater, Allocator::Jemalloc],
    };
    let text = text(&facts);
    assert!(!text.contains("hunter"), "{text}");
    assert!(text.contains("#   DATABASE_URL GUNICORN_SECRET_KEY\n"), "{text}");
    let plan = plan::read(&text, Path::new("/tmp")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(plan.name, "tele metry");
    assert_eq!(plan.service.command[4..], ["127.0.0.1:{port}", "app:create(\"a b\")"]);
    assert_eq!(plan.service.directory, Path::new("/srv/tele metry"));
    assert_eq!(plan.service.environment.len(), 1);
    let names: Vec<&str> = plan.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, ["as it runs", "slackwater", "jemalloc", "as it runs again"]);
    assert_eq!(plan.arms[0].environment.len(), 2);
    assert_eq!((plan.service.cpus.as_slice(), plan.schedule.load_cpus.as_slice()), (&[0][..], &[1][..]));
}

#[test]
fn a_bind_in_gunicorns_variable_is_placed_there() {
    let facts = Facts {
        command: words("gunicorn app:app"),
        environment: [("GUNICORN_CMD_ARGS".to_owned(), "--bind 0.0.0.0:80 --workers 3".to_owned())].into(),
        ..Facts::default()
    };
    let plan = plan::read(&text(&facts), Path::new("/tmp")).expect("a plan");
    assert_eq!(plan.service.command, ["gunicorn", "app:app"]);
    assert!(plan.service.environment["GUNICORN_CMD_ARGS"].contains("127.0.0.1:{port}"));
}

#[test]
fn a_command_that_listens_nowhere_is_work() {
    let facts = Facts { command: words("python work.py"), ..Facts::default() };
    let text = text(&facts);
    let plan = plan::read(&text, Path::new("/tmp")).unwrap_or_else(|error| panic!("{error}\n{text}"));
    assert_eq!(plan.load, Load::Work);
    assert_eq!(plan.arms.len(), 3);
}

proptest! {
    #[test]
    fn whatever_runs_gives_a_plan_that_is_read(
        program in "[a-z/]{1,9}|gunicorn|uvicorn",
        mut rest in proptest::collection::vec("[^\\x00]{0,12}|--bind|-b|--port", 0..6),
        directory in "/[^\\x00]{0,12}",
        environment in proptest::collection::btree_map("[A-Z_]{0,6}|PYTHON[A-Z]?|MALLOC_[A-Z]|[^\\x00]{0,4}", "[^\\x00]{0,12}", 0..5),
    ) {
        rest.insert(0, program);
        let facts = Facts {
            command: rest,
            directory: Some(directory.into()),
            environment,
            cpus: vec![0, 1, 2],
            allocators: Vec::new(),
        };
        let text = text(&facts);
        if let Err(error) = plan::read(&text, Path::new("/tmp")) {
            prop_assert!(false, "{error}; {}\n{text}", error.hint());
        }
    }
}
