//! The page, as text and in a browser.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};

use base64::Engine;
use slackwater_lab::result::{InForce, Unread};
use slackwater_report::lab::page;

use crate::browser::{chromium, document_after_scripts};
use crate::experiment::{Behaviour, Size, experiment, telemetry};

/// Markup, script, attribute, control, direction, template and JSON at once.
const EVIL: &str = "</script><img src=x onerror=\"document.title='owned'\">\u{202e}\u{1b}]0;x\u{7}'{{7*7}}</title></pre></svg>--><script>document.title='owned'</script>";

/// A page for eyes: where `SLACKWATER_PAGES` names a folder, it is left there.
fn keep(name: &str, html: &str) {
    if let Some(folder) = std::env::var_os("SLACKWATER_PAGES") {
        fs::write(std::path::Path::new(&folder).join(name), html).unwrap();
    }
}

#[test]
fn the_page_has_every_part_without_any_script() {
    let html = page(&telemetry());
    keep("telemetry.html", &html);
    for part in [
        "slackwater holds 77 % less memory after load than glibc: 128 MB instead of 548 MB",
        "id=\"tides\"",
        "aria-label=\"slackwater: RSS over time, peak",
        "class=\"front\"",
        "class=\"tail\"",
        "null: the same again",
        "slackwater run --allocator slackwater",
        "ENV LD_PRELOAD",
        "dirty_decay_ms=1000",
        "the generator fell behind",
        "few_repetitions",
        "rate = 20",
        "Leon Sorokin",
    ] {
        assert!(html.contains(part), "no '{part}'");
    }
    assert_eq!(html.matches("<svg").count(), 6 + 4 + 1, "a picture per arm, four fronts, one of tails");
    for wire in ["http://", "https://", "src=", "url(", "@import"] {
        let outside_code = html.replace("https://github.com/leeoniya/uPlot", "");
        let body = outside_code.split("<script>").next().unwrap();
        assert!(!body.contains(wire), "the page asks for something: {wire}");
    }
}

#[test]
fn the_policy_names_the_scripts_of_the_page() {
    let html = page(&telemetry());
    let mut scripts: Vec<&str> = html.split("<script>").skip(1).collect();
    scripts.iter_mut().for_each(|text| *text = text.split("</script>").next().unwrap());
    assert_eq!(scripts.len(), 2);
    for script in scripts {
        let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        std::io::Write::write_all(&mut sum.stdin.take().unwrap(), script.as_bytes()).unwrap();
        let hex = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
        let bytes: Vec<u8> =
            (0..32).map(|index| u8::from_str_radix(&hex[2 * index..2 * index + 2], 16).unwrap()).collect();
        let hash = base64::engine::general_purpose::STANDARD.encode(bytes);
        let begins = script.chars().take(60).collect::<String>();
        assert!(html.contains(&format!("'sha256-{hash}'")), "page.rs must name {hash} for {begins}");
    }
    let Some(chromium) = chromium() else { return };
    let foreign = "<script>document.body.dataset.foreign = 'ran'</script></body>";
    let dom = document_after_scripts(&chromium, &html.replace("</body>", foreign));
    assert!(dom.contains("<canvas"), "the browser refused the page's own scripts");
    assert!(!dom.contains("data-foreign"), "the browser ran a script that the policy does not name");
}

#[test]
fn scripts_sort_copy_and_draw() {
    let Some(chromium) = chromium() else { return };
    // Clicks twice on the third column: highest memory first.
    let click = "<script>addEventListener('load', () => setTimeout(() => { \
                 const head = document.querySelectorAll('.measures thead button')[1]; head.click(); head.click(); \
                 document.querySelector('#closer').scrollIntoView(); }, 200))</script></body>";
    let html = page(&telemetry());
    // The policy refuses scripts that are not the page's own: taken out, so that this one may click.
    let policy = html.find("<meta http-equiv").unwrap();
    let end = policy + html[policy..].find('>').unwrap() + 1;
    let html = format!("{}{}", &html[..policy], html[end..].replace("</body>", click));
    let dom = document_after_scripts(&chromium, &html);
    assert!(dom.contains("aria-sort=\"descending\""), "the table was not sorted");
    let table = &dom[dom.find("<table class=\"measures").unwrap()..];
    let first = |name: &str| table.find(&format!("<bdi>{name}</bdi>")).unwrap();
    assert!(first("jemalloc") < first("glibc") && first("glibc") < first("slackwater"));
    assert!(dom.contains("<button type=\"button\">copy</button>"), "nothing can be copied");
    assert!(dom.contains("<canvas"), "the chart was not drawn");
    assert!(dom.contains("data-series=\"6\""), "the chart does not have every arm");
}

#[test]
fn fault_32_hostile_names_are_shown_and_never_act() {
    let mut experiment = telemetry();
    experiment.name = EVIL.to_owned();
    experiment.plan = EVIL.to_owned();
    experiment.slackwater = EVIL.to_owned();
    experiment.surroundings.kernel = EVIL.to_owned();
    experiment.surroundings.glibc = Some(EVIL.to_owned());
    let arm = experiment.arms[4].name.clone();
    experiment.arms[4].name = EVIL.to_owned();
    experiment.arms[4].command.push(EVIL.to_owned());
    experiment.arms[4].environment.insert(EVIL.to_owned(), EVIL.to_owned());
    for trial in experiment.trials.iter_mut().filter(|trial| trial.arm == arm) {
        trial.arm = EVIL.to_owned();
        let process = &mut trial.in_force[0];
        (process.role, process.allocator) = (EVIL.to_owned(), EVIL.to_owned());
        process.settings.insert(EVIL.to_owned(), EVIL.to_owned());
    }
    experiment.voids[0].reason = EVIL.to_owned();
    experiment.voids[0].log = vec![EVIL.to_owned()];
    let comparison = experiment.comparison.as_mut().unwrap();
    comparison.arms[4].arm = EVIL.to_owned();
    comparison.warnings[0].kind = EVIL.to_owned();
    comparison.warnings[0].message = EVIL.to_owned();
    let recommended = comparison.recommended.as_mut().unwrap();
    (recommended.arm, recommended.objective) = (EVIL.to_owned(), EVIL.to_owned());
    recommended.reasons = vec![EVIL.to_owned()];
    let html = page(&experiment);
    keep("hostile.html", &html);
    assert!(!html.contains("<img"), "markup of a name came through");
    assert!(!html.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "a control came through");
    assert_eq!(html.matches("<script>").count(), 2, "a script of a name came through");
    let Some(chromium) = chromium() else { return };
    // Even were the policy not there.
    let dom = document_after_scripts(&chromium, &html.replace("Content-Security-Policy", "x-none"));
    assert!(!dom.contains("<title>owned") && !dom.contains("<img"), "a name acted");
    assert!(dom.contains("&lt;img src=x onerror="), "the name is not shown");
    assert!(dom.contains("<button type=\"button\">copy</button>"), "the page's own script did not run");
}

#[test]
fn a_large_experiment_is_thinned_and_says_so() {
    let names: Vec<String> = (0..20).map(|index| format!("arm number {index}")).collect();
    let arms: Vec<(&str, Option<&str>, Behaviour)> = names
        .iter()
        .zip(0..)
        .map(|(name, index)| {
            let step = f64::from(index);
            let behaviour = Behaviour {
                peak_mb: 700.0 - 20.0 * step,
                idle_mb: 600.0 - 25.0 * step,
                cpu_ms: 20.0 + 0.3 * step,
                p50_ms: 15.0 + 0.4 * step,
                faults: 200.0 + 20.0 * step,
            };
            (name.as_str(), None, behaviour)
        })
        .collect();
    let html = page(&experiment(&arms, Size { repetitions: 10, points: 2000 }));
    keep("large.html", &html);
    assert!(html.len() < 6_000_000, "{} bytes", html.len());
    assert!(html.contains("the lowest and the highest of each of 250 stretches"), "thinning is not said");
    assert!(html.contains("the lowest and the highest of each of 240 stretches"), "thinning is not said");
}

#[test]
fn live_memory_under_a_malloc_that_cannot_be_read_is_a_lower_bound() {
    let mut experiment = telemetry();
    let words = "its malloc cannot be read, so live is a lower bound";
    assert!(!page(&experiment).contains(words));
    for trial in experiment.trials.iter_mut().filter(|trial| trial.arm == "mimalloc") {
        for point in &mut trial.ledgers {
            let kept = point.ledger.remove("slack_trimmable").unwrap_or(0);
            point.ledger.insert("unexplained".to_owned(), kept);
        }
    }
    let html = page(&experiment);
    assert_eq!(html.matches(words).count(), 1);
    assert!(html.contains(">live ≥<") && html.contains("\"live_label\":\"live, at least\""));
}

#[test]
fn a_process_that_was_not_read_for_a_moment_is_named_and_the_moment_left_out() {
    let mut experiment = telemetry();
    let in_force = |pid, role: &str| InForce {
        pid,
        role: role.to_owned(),
        python: None,
        allocator: "slackwater 0.1.0".to_owned(),
        objects: None,
        settings: BTreeMap::new(),
        purging: None,
    };
    let n_before = page(&experiment).matches("class=\"live-dot\"").count();
    let (mut n_points, mut n_arms) = (0, 0);
    for trial in experiment.trials.iter_mut().filter(|trial| trial.arm == "slackwater") {
        trial.in_force = vec![in_force(1, "master"), in_force(2, "other"), in_force(3, "worker")];
        n_points = trial.ledgers.len();
        n_arms = 1;
        let point = &mut trial.ledgers[1];
        let kept = point.ledger.remove("slack_trimmable").unwrap_or(0);
        point.ledger.insert("unexplained".to_owned(), kept);
        point.unread.push(Unread { pid: 2, role: "other".to_owned() });
    }
    let html = page(&experiment);
    let words = format!(
        "live is left out at 1 of {n_points} moments, when the malloc of 1 helper process could not be read"
    );
    assert_eq!(html.matches(&words).count(), n_arms);
    assert!(!html.contains("lower bound") && !html.contains(">live ≥<"));
    assert_eq!(html.matches("class=\"live-dot\"").count(), n_before - 1);
}

#[test]
fn what_is_missing_is_said_and_never_zero() {
    let mut experiment = telemetry();
    for trial in &mut experiment.trials {
        trial.ledgers.clear();
        trial.in_force.clear();
        for round in &mut trial.rounds {
            if let Some(load) = &mut round.load {
                load.latency_us_hdr = "not base64".to_owned();
            }
        }
    }
    let html = page(&experiment);
    assert!(html.contains("Live memory was not read."));
    assert!(!html.contains("id=\"tails\""));
    for trial in &mut experiment.trials {
        for (index, point) in trial.series.iter_mut().enumerate() {
            point.at += index as f64 / 1e3;
        }
        trial.rounds.iter_mut().for_each(|round| round.load_from += 60.0);
    }
    assert!(page(&experiment).contains("long before the first request is left out"));
    experiment.comparison = None;
    experiment.trials.truncate(2);
    let html = page(&experiment);
    keep("begun.html", &html);
    assert!(html.contains("Nothing can be compared yet"));
    experiment.trials.clear();
    experiment.arms.clear();
    assert!(page(&experiment).contains("No trial of full value yet."));
}
