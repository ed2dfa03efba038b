//! Finding services, on process trees recorded from real servers.
//!
//! Each file of `tests/trees` holds one process per line: pid, parent, start, comm, exe, argv.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;

use slackwater_base::Pid;
use slackwater_diagnose::{ProcessTable, Row, SelectError, Selector, Service, select};

fn rows(tree: &str) -> Vec<Row> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees").join(format!("{tree}.tsv"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    text.lines()
        .map(|line| {
            let fields: Vec<&str> = line.split('\t').collect();
            Row {
                pid: Pid(fields[0].parse().unwrap()),
                parent: Pid(fields[1].parse().unwrap()),
                start_ticks: fields[2].parse().unwrap(),
                comm: fields[3].to_owned(),
                exe: Some(fields[4].to_owned()),
                argv: fields[5..].iter().map(|&argument| argument.to_owned()).collect(),
                cgroup: Some(format!("/system.slice/{tree}.service")),
            }
        })
        .collect()
}

fn table(trees: &[&str]) -> ProcessTable {
    trees.iter().flat_map(|tree| rows(tree)).collect()
}

/// One line: name, app, then each member as role, and its command where it differs from the root's.
fn shape(service: &Service) -> String {
    let mut text = service.name.clone();
    if let Some(app) = &service.app {
        write!(text, " {app}").unwrap();
    }
    for member in &service.members {
        write!(text, " | {}", member.role).unwrap();
        if member.role.key() == "other" {
            write!(text, " {}", member.command).unwrap();
        }
    }
    text
}

/// Every process of the tree but its shell leads to the same service.
fn check(tree: &str, expected: &str) {
    let table = table(&[tree]);
    for row in table.iter().filter(|row| row.comm != "sh") {
        let found = select(&table, &Selector::Pids(vec![row.pid])).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(shape(&found[0]), expected, "{tree} from {}", row.pid);
    }
}

#[test]
fn any_pid_of_a_tree_leads_to_its_service() {
    check("gunicorn", "gunicorn app:app | master | worker | worker");
    check("gunicorn-title", "gunicorn app:app | master | worker | worker");
    check("uvicorn", "uvicorn app:asgi | master | other python resource tracker | worker | worker");
    check("uvicorn-reload", "uvicorn app:asgi | master | other python3 resource tracker | worker");
    check("celery", "celery proj | master | worker | worker");
    check("celery-title", "celery | master | worker | worker");
    check("uwsgi", "uwsgi | master | worker | worker");
    check("uwsgi-title", "uwsgi | master | worker | worker | other uwsgi");
    check("mp-fork", "pool.py | master | worker | worker");
    check("mp-spawn", "pool.py | master | other python resource tracker | worker | worker");
    check(
        "mp-forkserver",
        "pool.py | master | other python resource tracker | other python fork server | worker | worker",
    );
}

#[test]
fn a_name_finds_the_one_service_it_fits() {
    let table = table(&["gunicorn", "uvicorn", "celery-title", "mp-fork"]);
    let check = |name: &str, expected: &str| {
        let found = select(&table, &Selector::Name(name.to_owned())).unwrap();
        assert_eq!(found[0].name, expected, "{name}");
    };
    check("gunicorn", "gunicorn");
    check("gunicorn app:app", "gunicorn");
    check("app:asgi", "uvicorn");
    check("uvicorn", "uvicorn");
    check("celery", "celery");
    check("pool.py", "pool.py");
    check("pool", "pool.py");
}

#[test]
fn a_name_that_fits_none_or_several_lists_the_choice() {
    let table = table(&["gunicorn", "gunicorn-title", "mp-fork"]);
    let several = select(&table, &Selector::Name("gunicorn".to_owned())).unwrap_err();
    assert!(matches!(&several, SelectError::Ambiguous { services, .. } if services.len() == 2));
    assert!(several.hint().contains("gunicorn app:app, 3 processes"), "{}", several.hint());
    let none = select(&table, &Selector::Name("shop".to_owned())).unwrap_err();
    assert_eq!(none.to_string(), "no service is called shop");
    assert_eq!(none.hint(), "there are: gunicorn, pool.py");
}

#[test]
fn a_cgroup_and_the_host_hold_their_services() {
    let table = table(&["gunicorn", "celery", "mp-spawn"]);
    let found = select(&table, &Selector::Cgroup("/system.slice/celery.service".to_owned())).unwrap();
    assert_eq!(found.iter().map(shape).collect::<Vec<_>>(), ["celery proj | master | worker | worker"]);
    assert_eq!(select(&table, &Selector::Cgroup("/system.slice/".to_owned())).unwrap().len(), 3);
    assert!(select(&table, &Selector::Cgroup("/system.slice/cel".to_owned())).is_err());
    assert_eq!(select(&table, &Selector::All).unwrap().len(), 3);
    assert_eq!(select(&ProcessTable::default(), &Selector::All), Err(SelectError::None));
}

fn row(pid: i32, parent: i32, exe: &str, argv: &str) -> Row {
    Row {
        pid: Pid(pid),
        parent: Pid(parent),
        start_ticks: pid as u64,
        comm: exe.rsplit('/').next().unwrap().to_owned(),
        exe: Some(exe.to_owned()),
        argv: argv.split('|').map(str::to_owned).collect(),
        cgroup: None,
    }
}

fn found_from(pid: i32, rows: Vec<Row>) -> String {
    let table: ProcessTable = rows.into_iter().collect();
    shape(&select(&table, &Selector::Pids(vec![Pid(pid)])).unwrap()[0])
}

#[test]
fn climbing_stops_at_whoever_only_started_the_service() {
    let python = "/usr/bin/python3.11";
    let gunicorn = |pid, parent| row(pid, parent, python, "/usr/bin/python3|/usr/bin/gunicorn|app:app");
    for starter in [
        row(1, 0, "/usr/lib/systemd/systemd", "/sbin/init"),
        row(1, 0, "/usr/bin/containerd-shim-runc-v2", "containerd-shim"),
        row(1, 0, "/usr/bin/tini", "tini|--|gunicorn"),
        row(1, 0, "/sbin/docker-init", "/sbin/docker-init"),
        row(1, 0, "/bin/bash", "bash"),
        row(1, 0, python, "/usr/bin/python3|/usr/bin/supervisord|-n"),
        row(1, 0, python, "/usr/bin/python3|launch.py"),
    ] {
        assert_eq!(
            found_from(11, vec![starter, gunicorn(10, 1), gunicorn(11, 10)]),
            "gunicorn app:app | master | worker"
        );
    }
    // A manager that is Python itself, and a child that has given itself a title.
    let manager = row(10, 1, python, "/usr/bin/python3|/usr/bin/supervisord|-n");
    assert_eq!(found_from(11, vec![manager, row(11, 10, python, "job: encode")]), "python3.11 | single");
    // As the first process of a container, it is its own root.
    assert_eq!(found_from(11, vec![gunicorn(1, 0), gunicorn(11, 1)]), "gunicorn app:app | master | worker");
}

#[test]
fn helpers_are_shown_and_services_below_a_service_are_not() {
    let python = "/usr/bin/python3.11";
    let rows = vec![
        row(10, 1, python, "python3|app.py|--token|x"),
        row(11, 10, "/usr/bin/ffmpeg", "ffmpeg|-i|secret.mp4"),
        row(12, 10, python, "python3|other.py"),
        row(13, 10, python, "job: encode"),
    ];
    assert_eq!(found_from(10, rows.clone()), "app.py | master | other ffmpeg | worker");
    assert_eq!(found_from(12, rows), "other.py | single");
}

#[test]
fn a_pid_used_again_for_a_younger_process_is_no_parent() {
    let python = "/usr/bin/python3.11";
    let mut reused = row(10, 1, python, "python3|app.py");
    reused.start_ticks = 99;
    assert_eq!(found_from(11, vec![reused, row(11, 10, python, "python3|app.py")]), "app.py | single");
}

#[test]
fn a_cycle_in_a_torn_snapshot_ends() {
    let python = "/usr/bin/python3.11";
    let mut one = row(10, 11, python, "python3|app.py");
    let mut two = row(11, 10, python, "python3|app.py");
    (one.start_ticks, two.start_ticks) = (5, 5);
    found_from(10, vec![one, two]);
}
