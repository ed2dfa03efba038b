//! `advise` as its user meets it. What the advice does is tested with the recipes themselves.

use serde_json::Value;
use slackwater_testkit::Program;

use crate::{json, python, run, validate_by};

const PLACES: [&str; 10] = [
    "docker",
    "docker-run",
    "compose",
    "systemd",
    "kubernetes",
    "gunicorn",
    "uvicorn",
    "celery",
    "shell",
    "system-wide",
];
const ALLOCATORS: [&str; 5] = ["slackwater", "jemalloc", "mimalloc", "tcmalloc", "glibc"];

#[track_caller]
fn validate(document: &Value) {
    validate_by("advise.v1.json", document);
}

#[test]
fn without_a_place_it_says_the_best_line_and_where_else_to_look() {
    let ran = run("advise --distro debian");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("  slackwater run -- gunicorn app:app\n"), "{}", ran.out);
    for place in PLACES {
        assert!(ran.out.contains(&format!("slackwater advise {place} ")), "{}", ran.out);
    }
}

#[test]
fn documents_keep_their_contract_and_hold_what_is_printed() {
    for place in PLACES {
        for allocator in ALLOCATORS {
            let words = format!("advise {place} --allocator {allocator}");
            let document = json(&format!("{words} --json")).remove(0);
            validate(&document);
            let texts: Vec<&str> = document["files"]
                .as_array()
                .unwrap()
                .iter()
                .map(|file| file["text"].as_str().unwrap())
                .collect();
            assert_eq!(run(&words).out, texts.join("\n"));
        }
    }
}

#[test]
fn every_command_of_ours_in_the_advice_is_one_that_we_take() {
    let mut seen = 0;
    for place in PLACES {
        for allocator in ALLOCATORS {
            let ran = run(&format!("advise {place} --allocator {allocator}"));
            for line in ran.out.lines().filter_map(|line| line.strip_prefix("#     slackwater ")) {
                // `run` would start the service.
                if line.starts_with("run ") {
                    continue;
                }
                // Nothing that runs is to be meant: the words alone are asked about.
                let words: Vec<&str> = line
                    .split(' ')
                    .map(|word| match word {
                        "PID" => "99999999",
                        "gunicorn" | "uvicorn" | "celery" if !line.starts_with("advise") => "no-such-service",
                        word => word,
                    })
                    .collect();
                let ran = run(&words.join(" "));
                assert!(matches!(ran.code, 0 | 4), "{line}: {} {}", ran.code, ran.err);
                seen += 1;
            }
        }
    }
    assert!(seen > 50, "{seen}");
}

#[test]
fn where_it_cannot_run_it_says_so_and_what_to_do() {
    let ran = run("advise docker --distro alpine --allocator slackwater");
    assert_eq!(ran.code, 4);
    assert!(
        ran.err.contains("musl") && ran.err.contains("hint: build the image from a -slim one"),
        "{}",
        ran.err
    );
    let ran = run("advise docker --distro alpine");
    assert!(ran.out.contains("apk add --no-cache jemalloc"), "{}", ran.out);

    for (words, hint) in [
        ("advise nomad", "possible values: docker"),
        ("advise docker --allocator hoard", "possible values: slackwater"),
        ("advise --pid 1 --name gunicorn", "cannot be used with"),
    ] {
        let ran = run(words);
        assert_eq!(ran.code, 2, "{words}");
        assert!(ran.err.contains(hint), "{words}: {}", ran.err);
    }
    assert_eq!(run("advise --pid 99999999").code, 4);
}

#[test]
fn the_advice_fits_a_running_service() {
    let target = Program::python(python(), "advise_fit", "ready()\nserve()").unwrap().spawn().unwrap();
    let document = json(&format!("advise --pid {} --json", target.pid())).remove(0);
    validate(&document);
    assert_eq!(document["allocator"], "slackwater");
    let ran = run(&format!("advise gunicorn --pid {}", target.pid()));
    assert_eq!(ran.code, 0, "{}", ran.err);
}
