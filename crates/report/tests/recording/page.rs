//! What the page shows, by script and without.

use std::process::{Command, Stdio};

use base64::Engine;
use slackwater_report::allocations::Measure;
use slackwater_report::flamegraph;

use crate::browser::{chromium, document_after_scripts, document_at};
use crate::captures::{Recording, served, service};

fn page() -> String {
    let recording = service();
    flamegraph::page("it.slackwater", &recording.value, &recording.gaps, Measure::Peak)
}

/// A page for eyes: where `SLACKWATER_PAGES` names a folder, it is left there.
pub(crate) fn keep(name: &str, html: &str) {
    if let Some(folder) = std::env::var_os("SLACKWATER_PAGES") {
        std::fs::write(std::path::Path::new(&folder).join(name), html).unwrap();
    }
}

/// The names on the boxes, from left to right in each row.
pub(crate) fn boxes(dom: &str) -> Vec<&str> {
    let graph = &dom[dom.find("id=\"graph\"").unwrap()..];
    graph
        .split("aria-label=\"")
        .skip(2)
        .map(|one| one.split('"').next().unwrap())
        .take_while(|one| one.contains(" %"))
        .collect()
}

#[test]
fn the_table_reads_without_any_script() {
    let html = page();
    keep("flamegraph.html", &html);
    for part in [
        "live at the high-water mark, ",
        "2 processes",
        "burst",
        "json/decoder.py:355",
        "Lines that held most at the high-water mark",
    ] {
        assert!(html.contains(part), "no '{part}'");
    }
    for wire in ["http://", "https://", "src=", "url(", "@import"] {
        assert!(
            !html.split("<script>").next().unwrap().contains(wire),
            "the page asks for something: {wire}"
        );
    }
}

#[test]
fn the_policy_names_the_script_of_the_page() {
    let html = page();
    let script = html.split("<script>").nth(1).unwrap().split("</script>").next().unwrap();
    let mut sum = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    std::io::Write::write_all(&mut sum.stdin.take().unwrap(), script.as_bytes()).unwrap();
    let hex = String::from_utf8(sum.wait_with_output().unwrap().stdout).unwrap();
    let bytes: Vec<u8> =
        (0..32).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect();
    let hash = base64::engine::general_purpose::STANDARD.encode(bytes);
    assert!(html.contains(&format!("'sha256-{hash}'")), "flamegraph/page.rs must name {hash}");
    let Some(chromium) = chromium() else { return };
    let foreign = "<script>document.body.dataset.foreign = 'ran'</script></body>";
    let dom = document_after_scripts(&chromium, &html.replace("</body>", foreign));
    assert!(dom.contains("data-drawn"), "the browser refused the page's own script");
    assert!(!dom.contains("data-foreign"), "the browser ran a script that the policy does not name");
}

#[test]
fn what_is_chosen_is_drawn_and_adds_up() {
    let Some(chromium) = chromium() else { return };
    let html = page();
    let at = |fragment: &str| document_at(&chromium, &html, fragment);
    // The mark is reached with the ninth sample of the second: the first has given its burst back long ago.
    let recording = service();
    let total = |measure: Measure| measure.of(&recording.value.total()).bytes;
    let in_words = |bytes: f64| slackwater_base::Bytes(bytes.round() as u64).to_string();
    let peak = at("");
    let drawn = boxes(&peak);
    assert_eq!(drawn[0], format!("all, {}, 100.0 %", in_words(total(Measure::Peak))));
    assert!(drawn.iter().any(|name| name.starts_with("loads") && name.contains("80.0 MB")), "{drawn:?}");
    assert!(drawn.iter().any(|name| name.starts_with("(no Python running)")), "{drawn:?}");
    assert!(peak.contains("marked: the burst is over at 3.00 s"), "no mark");
    let leaks = at("measure=live");
    let drawn = boxes(&leaks);
    assert_eq!(drawn[0], format!("all, {}, 100.0 %", in_words(total(Measure::Live))));
    assert!(!drawn.iter().any(|name| name.starts_with("loads")), "{drawn:?}");
    assert!(drawn.iter().any(|name| name.starts_with("remember")), "{drawn:?}");
    let first = at("measure=live&process=0");
    assert_eq!(boxes(&first)[0], "all, 1.0 MB, 100.0 %");
    assert!(first.contains("(exact)") && leaks.contains("95 % between"));
    let split = at("measure=allocated&split=process");
    let drawn = boxes(&split);
    assert!(drawn.iter().any(|name| name.starts_with("gunicorn 101, 81.0 MB")), "{drawn:?}");
    let inverted = at("measure=allocated&inverted=on&process=0");
    let drawn = boxes(&inverted);
    assert!(drawn[1].starts_with("loads") && drawn.iter().any(|name| name.starts_with("burst")), "{drawn:?}");
    let searched = at("measure=allocated&process=0&search=BURST");
    assert!(searched.contains("80.0 MB, 98.8 % of all"), "what lies below a match is counted with it");
    assert!(searched.contains("box app match"), "no box stands out");
    let only = at("measure=allocated&search=BURST&only=on");
    let drawn = boxes(&only);
    assert_eq!(drawn[0], "all, 80.0 MB, 100.0 %");
    assert!(drawn[1].starts_with("burst") && drawn[2].starts_with("loads") && drawn.len() == 3, "{drawn:?}");
    assert!(only.contains("in and below what matches “BURST”"));
    let callers = at("measure=allocated&search=burst&only=on&inverted=on");
    let drawn = boxes(&callers);
    assert!(drawn[1].starts_with("loads") && drawn[2].starts_with("burst") && drawn.len() == 3, "{drawn:?}");
}

#[test]
fn requests_and_tasks_are_a_way_to_split() {
    let recording = served();
    let html = flamegraph::page("it", &recording.value, &recording.gaps, Measure::Peak);
    assert!(
        html.contains("value=\"endpoint\"") && !page().contains("value=\"endpoint\""),
        "offered to no purpose"
    );
    let unlabelled = recording.value.clone().without_endpoints();
    let without = flamegraph::page("it", &unlabelled, &recording.gaps, Measure::Peak);
    assert!(!without.contains("value=\"endpoint\"") && !without.contains("orders srv/shop.py (flask)"));
    let Some(chromium) = chromium() else { return };
    let dom = document_at(&chromium, &html, "split=endpoint");
    let drawn = boxes(&dom);
    for expected in [
        "orders srv/shop.py (flask), 3.0 MB",
        "items srv/shop.py (flask), 1.0 MB",
        "(flask, outside its endpoints), 500 kB",
        "(no request or task on the stack), 250 kB",
    ] {
        assert!(drawn.iter().any(|name| name.starts_with(expected)), "no {expected}: {drawn:?}");
    }
}

#[test]
fn a_part_of_the_time_can_be_chosen() {
    let Some(chromium) = chromium() else { return };
    // The policy refuses scripts that are not the page's own: taken out, so that this one may choose.
    let html = page();
    let policy = html.find("<meta http-equiv").unwrap();
    let end = policy + html[policy..].find('>').unwrap() + 1;
    let choose = "<script>addEventListener('load', () => setTimeout(() => { \
                  const [from] = document.querySelectorAll('#strip input'); from.value = 300; \
                  from.dispatchEvent(new Event('change')); }, 200))</script></body>";
    let html = format!("{}{}", &html[..policy], html[end..].replace("</body>", choose));
    let dom = document_at(&chromium, &html, "process=0");
    assert_eq!(boxes(&dom)[0], "all, 1.0 MB, 100.0 %", "the burst was over by then");
    let dom = document_at(&chromium, &html, "measure=allocated&process=0");
    assert_eq!(boxes(&dom)[0], "all, 1.0 MB, 100.0 %");
    let dom = document_at(&chromium, &html, "measure=live");
    assert!(dom.contains("in the chosen time"));
}

#[test]
fn a_recording_of_nothing_says_so() {
    let recording = Recording::new().read();
    let html = flamegraph::page("it", &recording.value, &recording.gaps, Measure::Live);
    assert!(html.contains("Nothing was allocated while this was recorded"));
    let Some(chromium) = chromium() else { return };
    assert!(document_after_scripts(&chromium, &html).contains("data-drawn"), "the script stopped");
}

#[test]
fn a_hundred_thousand_stacks_are_one_page() {
    let mut it = Recording::new();
    it.process("many", 0);
    let mut deep = 0;
    for depth in 0..30 {
        deep = it.call(deep, &format!("layer_{depth}"), "/srv/deep.py", depth + 1);
    }
    for number in 0..110_000 {
        let stack = it.call(deep, &format!("function_{number}"), "/srv/many.py", number);
        it.take(stack, 1000 + u64::from(number));
        if number % 100 == 0 {
            it.at(1.0 + f64::from(number) / 1000.0);
        }
    }
    let recording = it.read();
    let html = flamegraph::page("many", &recording.value, &recording.gaps, Measure::Peak);
    keep("flamegraph-many.html", &html);
    assert!(html.len() < 30_000_000, "{} bytes", html.len());
    let Some(chromium) = chromium() else { return };
    let dom = document_after_scripts(&chromium, &html);
    let total = slackwater_base::Bytes(recording.value.total().peak.bytes as u64);
    assert_eq!(boxes(&dom)[0], format!("all, {total}, 100.0 %"));
    assert!(dom.contains(" smaller, "), "what is too small to draw is not said");
}
