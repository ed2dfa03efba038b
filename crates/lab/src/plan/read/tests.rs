//! Plans as people write them, rightly and wrongly.

use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::plan::{Bound, Load, Ready};
use crate::result::Measure;

/// The least plan that can be run.
const LEAST: &str = r#"
[service]
command = "serve --port {port}"
[load]
rate = 20
duration = "30s"
[[load.request]]
path = "/"
[[arm]]
name = "glibc"
"#;

const WHOLE: &str = r#"
name = "telemetry"
[service]
command = "gunicorn --workers 2 --bind '127.0.0.1:{port}' telemetry.app:app"
directory = "demo"
environment = { LOG_LEVEL = "warning", N = 3 }
ready = { http = "/health" }
ready_within = "90s"
stop_within = "5s"
memory_limit = "2GiB"
cpus = [0]
[load]
model = "open"
steps = [{ rate = 10, for = "20s" }, { rate = 40.5, for = "10s" }]
connections = 8
timeout = "2s"
[[load.request]]
weight = 3
path = "/fleet/{random:0..100}?n={n}"
headers = { Accept = "application/json", Host = "example.org" }
expect = { status = 200, contains = "mean" }
[[load.request]]
path = "/query"
body_file = "query.json"
[schedule]
repetitions = 3
rounds = 4
warm_up = "0s"
idle = "15s"
sample_every = "200ms"
seed = 7
load_cpus = [1]
[[arm]]
name = "glibc"
[[arm]]
name = "recipe"
allocator = "jemalloc"
bare = true
set = { narenas = 1, tcache = false, dirty_decay_ms = "1s", background_thread = true }
pymalloc = "keep"
[[arm]]
name = "own"
allocator = "lib/libjemalloc.so.2"
[[arm]]
name = "malloc"
pymalloc = "off"
[[limit]]
measure = "idle_rss"
arm = "recipe"
at_most = "200MB"
[[limit]]
measure = "throughput"
at_least = 10
[[limit]]
measure = "p99"
ratio = 1.1
"#;

fn plan(text: &str) -> Plan {
    let body = |path: &Path| {
        assert!(path.ends_with("query.json"), "{}", path.display());
        Ok(b"{}".to_vec())
    };
    match read_with(text, Path::new("/srv"), &body) {
        Ok(plan) => plan,
        Err(error) => panic!("{error}; {}", error.hint()),
    }
}

#[test]
fn what_is_written_is_what_is_planned() {
    let plan = plan(WHOLE);
    let service = &plan.service;
    assert_eq!(service.command[4], "127.0.0.1:{port}");
    assert_eq!(service.directory, Path::new("/srv/demo"));
    assert_eq!(service.environment["N"], "3");
    assert_eq!(service.ready, Ready::Http("/health".to_owned()));
    assert_eq!(service.memory_limit_bytes, Some(2 << 30));
    let Load::Open { steps, http } = &plan.load else { panic!("{:?}", plan.load) };
    assert_eq!((steps[1].rate_per_second, steps[1].duration), (40.5, Duration::from_secs(10)));
    assert_eq!((http.requests[0].weight, http.requests[0].method.as_str()), (3.0, "GET"));
    assert_eq!((http.requests[1].body.as_slice(), http.requests[1].method.as_str()), (&b"{}"[..], "POST"));
    assert_eq!(http.requests[0].headers[1], ("Host".to_owned(), "example.org".to_owned()));
    assert_eq!((plan.schedule.rounds, plan.schedule.seed), (4, 7));
    assert!(plan.schedule.warm_up.is_zero());

    let recipe = plan.arms[1].allocator.as_ref().expect("an allocator");
    assert_eq!(
        recipe.settings,
        ["narenas=1", "tcache=false", "dirty_decay_ms=1000", "background_thread=true"]
    );
    assert!(recipe.bare);
    assert_eq!(plan.arms[2].allocator.as_ref().expect("one").choice, "/srv/lib/libjemalloc.so.2");
    assert_eq!(plan.arms[3].environment["PYTHONMALLOC"], "malloc");
    let null = plan.arms.last().expect("arms");
    assert_eq!((null.name.as_str(), null.is_null_of.as_deref()), ("glibc again", Some("glibc")));

    assert_eq!(plan.limits[0].bound, Bound::Absolute(200e6));
    assert_eq!((plan.limits[1].measure, plan.limits[1].bound), (Measure::Throughput, Bound::Absolute(10.0)));
    assert_eq!((plan.limits[2].arm.as_deref(), plan.limits[2].bound), (None, Bound::Ratio(1.1)));
    // 5 arms, 3 repetitions, 4 rounds of 30 s and 15 s, 3 s around.
    assert_eq!(crate::plan::expected(&plan), Some(Duration::from_secs(15 * (4 * 45 + 3))));
}

#[test]
fn a_plan_that_is_written_is_read_back_the_same() {
    let check = |whole: &Plan| {
        let text = crate::plan::write(whole);
        let again = plan(&text);
        assert_eq!(again, *whole, "{text}");
        assert_eq!(crate::plan::write(&again), text);
    };
    check(&plan(WHOLE));
    check(&plan(LEAST));
    let closed = "rate = 20\nduration = \"30s\"";
    check(&plan(&LEAST.replace(closed, "model = 'closed'\nusers = 3\nthink = '1.5ms'\nduration = '100ms'")));
    let awkward = LEAST.replace("path = \"/\"", "path = '/'\nbody = \"\\u0000\\\"\\\\\\n\\u007F\"");
    assert!(read(&awkward, Path::new("/")).is_err(), "no text has a NUL");
    check(&plan(&awkward.replace("\\u0000", "é")));
    check(&plan(
        "[service]\ncommand = ['a b', '']\nready = { log = 'up' }\n[load]\nmodel = 'work'\n[[arm]]\nname = 'x'",
    ));
    check(&plan(
        "[service]\ncommand = 'x {port}'\n[load]\nmodel = 'external'\ncommand = 'wrk {url}'\n[[arm]]\nname = 'x'",
    ));
    // Every stage of a search is written.
    let mut searched = plan(LEAST);
    let null = searched.arms.pop().expect("a null arm");
    searched.arms.extend(crate::tune::space(slackwater_tune::Allocator::ALL));
    searched.arms.push(null);
    check(&searched);
}

#[test]
fn a_body_that_was_edited_is_told_from_what_it_was() {
    let bodies = |held: &'static [u8]| {
        let read = read_with(WHOLE, Path::new("/srv"), &|_| Ok(held.to_vec()));
        read.expect("a plan").bodies()
    };
    let first = bodies(b"[1, 2]");
    assert_eq!(first.keys().collect::<Vec<_>>(), ["/srv/query.json"]);
    assert_eq!(first, bodies(b"[1, 2]"));
    assert_ne!(first, bodies(b"[2, 1]"));
    assert!(plan(LEAST).bodies().is_empty());
}

#[test]
fn what_is_not_written_has_a_default() {
    let plan = plan(LEAST);
    assert_eq!((plan.schedule.repetitions, plan.schedule.rounds), (5, 2));
    assert_eq!(plan.schedule.idle, Duration::from_secs(12));
    assert_eq!(plan.service.ready, Ready::Tcp);
    assert_eq!(plan.service.directory, Path::new("/srv"));
    assert_eq!(plan.arms.len(), 2);
}

#[test]
fn the_idle_time_outlasts_the_slowest_decay_by_default() {
    let with = |settings: &str| {
        plan(&format!("{LEAST}[[arm]]\nname = 'je'\nallocator = 'jemalloc'\n{settings}")).schedule.idle
    };
    assert_eq!(with(""), Duration::from_secs(12));
    assert_eq!(with("bare = true\nset = { dirty_decay_ms = 20000 }"), Duration::from_secs(24));
    assert_eq!(with("set = { dirty_decay_ms = 10000, muzzy_decay_ms = 10000 }"), Duration::from_secs(24));
    assert_eq!(with("set = { dirty_decay_ms = -1 }"), Duration::from_secs(12));
    assert_eq!(with("set = { dirty_decay_ms = 400000 }"), Duration::from_secs(60));
}

#[test]
fn a_matrix_is_every_combination_by_what_differs() {
    let names = |arms: &str| -> Vec<String> {
        let text = LEAST.replace("[[arm]]\nname = \"glibc\"\n", arms);
        plan(&text).arms.iter().map(|arm| arm.name.clone()).collect()
    };
    assert_eq!(
        names(
            "[matrix]\nallocator = ['plain', 'jemalloc']\npymalloc = ['keep', 'off']\n\
             set.dirty_decay_ms = [1000, 5000]\nenvironment.W = [1]\n"
        ),
        [
            "plain pymalloc keep W=1",
            "plain pymalloc off W=1",
            "jemalloc dirty_decay_ms=1000 pymalloc keep W=1",
            "jemalloc dirty_decay_ms=1000 pymalloc off W=1",
            "jemalloc dirty_decay_ms=5000 pymalloc keep W=1",
            "jemalloc dirty_decay_ms=5000 pymalloc off W=1",
            "plain pymalloc keep W=1 again",
        ]
    );
    assert_eq!(
        names(
            "[[arm]]\nname = 'default'\n[[arm]]\nname = 'ours'\nallocator = 'slackwater'\n\
             [matrix]\nserver = { gunicorn = 'gunicorn {port}', a_uvicorn = ['uvicorn', '{port}'] }\n"
        ),
        [
            "gunicorn default",
            "gunicorn ours",
            "a_uvicorn default",
            "a_uvicorn ours",
            "gunicorn default again"
        ]
    );
}

/// Refuses `text` with these words, on the line that has `// here`, which is taken away before.
#[track_caller]
fn refused(text: &str, words: &[&str]) {
    const MARK: &str = "  # here";
    let line = text.lines().position(|line| line.contains(MARK)).map(|idx| idx + 1);
    let error = read_with(&text.replace(MARK, ""), Path::new("/srv"), &open_nothing).expect_err("refused");
    let shown = format!("{error}; {}", error.hint());
    assert_eq!(error.line(), line, "{shown}");
    for word in words {
        assert!(shown.contains(word), "'{word}' is not in: {shown}");
    }
}

fn open_nothing(_: &Path) -> io::Result<Vec<u8>> {
    Err(io::ErrorKind::NotFound.into())
}

#[test]
fn a_wrong_key_is_said_with_its_line_and_the_nearest() {
    let whole = |from: &str, to: &str| {
        assert!(WHOLE.contains(from), "{from}");
        WHOLE.replacen(from, to, 1).replace("body_file = \"query.json\"\n", "")
    };
    refused(
        &whole("[schedule]", "[shedule]  # here"),
        &["the plan has no key 'shedule'", "did you mean schedule?"],
    );
    refused(
        &whole("rounds = 4", "ronuds = 4  # here"),
        &["[schedule] has no key 'ronuds'", "did you mean rounds?"],
    );
    refused(
        &whole("cpus = [0]", "colour = 1  # here"),
        &["[service] has no key 'colour'", "it may have command"],
    );
    refused(&whole("weight = 3", "wieght = 3  # here"), &["[load.request]", "did you mean weight?"]);
    refused(
        &whole("for = \"20s\" }, {", "for = \"20s\" },\n  { four = 1,  # here\n"),
        &["[load.steps] has no key 'four'", "did you mean for?"],
    );
}

#[test]
fn a_wrong_value_is_said_with_what_is_accepted() {
    let whole = |from: &str, to: &str| {
        assert!(WHOLE.contains(from), "{from}");
        WHOLE.replacen(from, to, 1).replace("body_file = \"query.json\"\n", "")
    };
    let check = |from: &str, to: &str, words: &[&str]| refused(&whole(from, &format!("{to}  # here")), words);
    check("ready_within = \"90s\"", "ready_within = 90", &["service.ready_within is 90", "in quotes"]);
    check("idle = \"15s\"", "idle = \"15 weeks\"", &["schedule.idle is '15 weeks'"]);
    check("idle = \"15s\"", "idle = \"100ms\"", &["at least one sample, 200 ms"]);
    check("memory_limit = \"2GiB\"", "memory_limit = \"2 apples\"", &["a size such as"]);
    check("weight = 3", "weight = 0", &["load.request.weight is 0", "above zero"]);
    check("weight = 3", "weight = nan", &["above zero"]);
    check("repetitions = 3", "repetitions = 0", &["from 1 to 1000"]);
    check("cpus = [0]", "cpus = [0, 0]", &["each once"]);
    check(
        "model = \"open\"",
        "model = \"opened\"",
        &["one of open, closed, external, work", "did you mean open?"],
    );
    check("connections = 8", "users = 8", &["load.users means nothing to the open model"]);
    check("ready = { http = \"/health\" }", "ready = { http = \"health\" }", &["begins with a slash"]);
    check("ready = { http = \"/health\" }", "ready = { tcp = true, log = \"x\" }", &["one of { http"]);
    check("ready = { http = \"/health\" }", "ready = { tcp = false }", &["is false"]);
    check("Accept = \"application/json\"", "Content-Length = \"1\"", &["the generator sets"]);
    refused(
        &whole("{random:0..100}", "{random:100..0}")
            .replace("[[load.request]]\nweight", "[[load.request]]  # here\nweight"),
        &["{random:100..0} is no variable", "A below B"],
    );
    check("status = 200", "status = 99", &["200 to 599"]);
    check("pymalloc = \"keep\"", "pymalloc = \"kep\"", &["did you mean keep?"]);
    check("narenas = 1", "narena = 1", &["jemalloc has no setting 'narena'", "did you mean narenas?"]);
    check("narenas = 1", "narenas = 0", &["'0' is not a value of narenas"]);
    check("allocator = \"jemalloc\"", "allocator = \"jemaloc\"", &["did you mean jemalloc?"]);
    check("name = \"recipe\"", "name = \"rec\\u0007ipe\"", &["on one line"]);
    check("arm = \"recipe\"", "arm = \"recipes\"", &["there is no arm 'recipes'", "did you mean 'recipe'?"]);
    check("measure = \"idle_rss\"", "measure = \"idle_rs\"", &["did you mean idle_rss?"]);
    check("at_most = \"200MB\"", "at_least = \"200MB\"", &["bounded by at_most"]);
    check("at_most = \"200MB\"", "at_most = \"soon\"", &["a size such as"]);
    check("seed = 7", "seed = -7", &["a whole number from 0"]);
    check("seed = 7", "seed = 99999999999999999999", &["a whole number from 0"]);
    check("LOG_LEVEL = \"warning\"", "\"A=B\" = \"warning\"", &["cannot be the name of a variable"]);
    check("LOG_LEVEL = \"warning\"", "LOG_LEVEL = \"\\u0000\"", &["a text, a number"]);
}

#[test]
fn an_impossible_plan_is_refused_before_it_runs() {
    refused("[load]  # here\nmodel = 'open'", &["[load] lacks 'rate'"]);
    refused("name = 'x'  # here", &["the plan lacks 'load'"]);
    refused(
        &LEAST.replace("command = \"serve --port {port}\"", "").replace("[service]", "[service]  # here"),
        &["[service] lacks 'command'"],
    );
    refused(
        &LEAST.replace(" --port {port}", "").replace("[service]", "[service]  # here"),
        &["arm 'glibc'", "write {port}"],
    );
    refused(&LEAST.replace("serve --port {port}\"", "serve 'open {port}\"  # here"), &["is left open"]);
    refused(&format!("{LEAST}[[arm]]  # here\nname = 'glibc'\n"), &["two arms are called 'glibc'"]);
    refused(&format!("{LEAST}[[arm]]  # here\nname = 'glibc again'\n"), &["is taken"]);
    refused(&format!("{LEAST}[[arm]]\nname = 'a'\nbare = true  # here\n"), &["'bare' is for arms"]);
    refused(
        &format!("{LEAST}[[arm]]\nname = 'a'\nallocator = '/x.so'\nset = {{ narenas = 1 }}  # here\n"),
        &["are not known", "under environment"],
    );
    refused(&format!("{LEAST}[matrix]\nset.colour = [1]  # here\n"), &["no arm has an allocator that takes"]);
    refused(
        &format!("{LEAST}[matrix]\nallocator = ['jemalloc']\nset.narena = [1]  # here\n"),
        &["did you mean narenas?"],
    );
    let many: Vec<usize> = (0..101).collect();
    let matrix = format!("{LEAST}[matrix]  # here\nenvironment.A = {many:?}\n");
    refused(&format!("{matrix}environment.B = [1, 2]\n"), &["202 arms are too many"]);
    refused(
        &format!("{}environment.B = {many:?}  # here\n", matrix.replace("  # here", "")),
        &["10201 combinations"],
    );
}

#[test]
fn work_is_one_round_and_nothing_around_it() {
    let work = "[service]\ncommand = 'python work.py'\n[load]\nmodel = 'work'\n[[arm]]\nname = 'a'\n";
    let plan = plan(work);
    assert_eq!((plan.schedule.rounds, &plan.service.ready), (1, &Ready::Started));
    assert!(plan.schedule.idle.is_zero() && crate::plan::expected(&plan).is_none());
    refused(&format!("{work}[schedule]\nrounds = 2  # here\n"), &["means nothing to the work model"]);
    refused(&format!("{work}[[limit]]\nmeasure = 'p99'  # here\nat_most = '1s'\n"), &["sends the requests"]);
}

#[test]
fn a_file_that_is_no_plan_is_refused() {
    assert!(matches!(read_bytes(b"a = 1\n\xff", Path::new("")), Err(PlanError::NotText { line: 2 })));
    assert!(matches!(read(&" ".repeat(MOST_BYTES + 1), Path::new("")), Err(PlanError::TooBig { .. })));
    refused("a = 1\n[load  # here", &[]);
}

#[test]
fn a_body_is_read_from_its_file_and_only_from_a_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let with = |name: &str| {
        read(&LEAST.replace("path = \"/\"", &format!("path = '/'\nbody_file = '{name}'")), folder.path())
    };
    std::fs::write(folder.path().join("body"), b"\xffx").expect("written");
    let plan = with("body").expect("a plan");
    let Load::Open { http, .. } = &plan.load else { panic!("{:?}", plan.load) };
    assert_eq!(http.requests[0].body, b"\xffx");
    let error = with("none").expect_err("no file");
    assert!(error.to_string().starts_with("line 9: cannot read "), "{error}");
    assert!(matches!(with("."), Err(PlanError::ReadFile { .. })));
}

proptest! {
    #[test]
    fn no_bytes_break_the_reader(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = read_bytes(&bytes, Path::new("/"));
    }

    #[test]
    fn no_damage_to_a_plan_breaks_the_reader(
        at in 0..WHOLE.len(),
        length in 0..40_usize,
        with in "[\\[\\]{}='\",.0-9a-z \n\u{e9}-]{0,12}",
    ) {
        let mut bytes = WHOLE.as_bytes().to_vec();
        let until = (at + length).min(bytes.len());
        bytes.splice(at..until, with.bytes());
        if let Ok(text) = std::str::from_utf8(&bytes)
            && let Err(error) = read_with(text, Path::new("/"), &open_nothing)
        {
            prop_assert!(error.line().is_some_and(|line| line <= text.lines().count() + 1), "{}", error);
            prop_assert!(!error.hint().is_empty());
        }
    }
}
