//! Names that would act, if they could: in the page, in every table, and in every document.

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use slackwater_base::{Gap, Partial};
use slackwater_capture::{Ending, Record};
use slackwater_profile::Profile;
use slackwater_report::allocations::{
    Grouping, Measure, Question, Unit, by_stack, by_stack_json, statistics, statistics_json,
};
use slackwater_report::export::{ExportError, collapsed, pprof, speedscope};
use slackwater_report::live::{Standing, View, screen};
use slackwater_report::{Style, flamegraph, json};

use crate::browser::{chromium, document_at};
use crate::captures::Recording;
use crate::page::{boxes, keep};

const ENDPOINT: &str = "/srv/lib/python3.11/site-packages/flask/app.py";

/// A name with markup that asks `port` of this machine for a picture, and with what acts on terminals.
fn evil(port: u16) -> String {
    format!(
        "<img src=http://127.0.0.1:{port}/x onerror=\"document.title='owned'\">\u{202e}\u{1b}]0;x\u{7}\u{9b}31m\
         '{{{{7*7}}}}</script>--></title><script>document.title='owned'</script>\n=cmd\t\u{2028}\u{200b}\u{e0041}"
    )
}

/// A server that hangs up: its port, and how often somebody came.
fn listening() -> (u16, impl Fn() -> usize) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let n_came = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&n_came);
    std::thread::spawn(move || {
        for caller in listener.incoming() {
            counted.fetch_add(usize::from(caller.is_ok()), Ordering::SeqCst);
        }
    });
    (port, move || n_came.load(Ordering::SeqCst))
}

/// A recording in which whatever has a name has this one.
fn recording(evil: &str) -> Partial<Profile> {
    let mut it = Recording::new();
    it.process(evil, 0);
    it.put(&Record::Thread { tid: 101, name: evil.into() });
    it.put(&Record::NoStacks(evil.into()));
    let dispatch = it.call(0, "Flask.dispatch_request", ENDPOINT, 1);
    let stack = it.call(dispatch, evil, evil, 3);
    let stack = it.call(stack, evil, &format!("/srv/{evil}"), 4);
    it.take(stack, 5_000_000);
    let other = it.call(0, evil, evil, 3);
    it.take(other, 2_000_000);
    it.put(&Record::Resident(9_000_000));
    it.put(&Record::Ended(Ending::Outlived));
    it.mark(2.0, evil);
    let mut recording = it.read();
    recording.gaps.push(Gap::new(evil, evil));
    recording
}

#[test]
fn fault_32_names_are_shown_in_the_page_and_never_act() {
    let (port, n_asked) = listening();
    let evil = evil(port);
    let recording = recording(&evil);
    let html = flamegraph::page(&evil, &recording.value, &recording.gaps, Measure::Peak);
    keep("flamegraph-hostile.html", &html);
    assert!(!html.contains("<img"), "markup of a name came through");
    assert!(!html.chars().any(|c| c.is_control() && c != '\n' || c == '\u{202e}'), "a control came through");
    assert_eq!(html.matches("</script>").count(), 2, "a script of a name came through");
    let Some(chromium) = chromium() else { return };
    // Even were the policy not there.
    let bare = html.replace("Content-Security-Policy", "x-none");
    let split = ["thread", "process", "endpoint"]
        .map(|split| document_at(&chromium, &bare, &format!("split={split}")));
    for dom in &split {
        assert!(dom.contains("data-drawn"), "the script stopped");
        assert!(!dom.contains("<title>owned") && !dom.contains("<img"), "a name acted");
        let shown = boxes(dom).iter().any(|name| name.contains("&lt;img") || name.contains("<img src="));
        assert!(shown, "{:?}", boxes(dom));
    }
    let searched = document_at(&chromium, &bare, "search=%3Cimg&inverted=on");
    assert!(
        searched.contains("match") && !searched.contains("<img"),
        "a name acted when it was searched for"
    );
    assert_eq!(n_asked(), 0, "the page asked for something");
    // That it would have been heard.
    let picture = format!("<img src=http://127.0.0.1:{port}/x></body>");
    document_at(&chromium, &bare.replace("</body>", &picture), "");
    let n_before = n_asked();
    assert!(n_before > 0, "a request is not seen by this test");
    document_at(&chromium, &html.replace("</body>", &picture), "");
    assert_eq!(n_asked(), n_before, "the policy let a request through");
}

#[test]
fn fault_33_names_cannot_act_on_terminals() {
    let evil = evil(9);
    let Partial { value: profile, gaps } = recording(&evil);
    let mut texts = Vec::new();
    for unit in [Unit::Line, Unit::Stack, Unit::Endpoint] {
        for by_process in [false, true] {
            let grouping = Grouping { unit, by_process };
            let question = Question { measure: Measure::Live, grouping, limit: 20 };
            texts.push(by_stack(&profile, &gaps, &question, Style::Plain));
            texts.push(json::line(&by_stack_json(&profile, &gaps, &question)));
            let view = View { measure: Measure::Live, grouping, is_paused: false };
            let lines = screen(&evil, &profile, Standing::Growing, &view, (2000, 60), Style::Plain);
            assert_eq!(lines.len(), 60);
            texts.push(lines.join("\n"));
        }
    }
    texts.push(statistics(&profile, &gaps, Style::Plain));
    texts.push(json::line(&statistics_json(&profile, &gaps)));
    texts.push(collapsed(&profile, Measure::Live).unwrap());
    texts.push(speedscope(&evil, &profile, Measure::Live).unwrap());
    for text in &texts {
        assert!(text.contains("onerror"), "no name in {text}");
        let acting = text.chars().find(|&c| {
            c.is_control() && c != '\n' || matches!(c, '\u{200b}'..='\u{202e}' | '\u{e0000}'..='\u{e007f}')
        });
        assert_eq!(acting, None, "in {text:?}");
    }
    // Programs get the name as it is.
    let document: serde_json::Value = serde_json::from_str(&texts[1]).unwrap();
    assert_eq!(document["stacks"][0]["frames"][0]["function"], evil.as_str());
}

/// Lines, each called by the one before, and a block from each stack for which that is so.
fn chains(n_chains: u32, deep: u32, name: &str, has_block: impl Fn(u32) -> bool) -> Partial<Profile> {
    let mut it = Recording::new();
    it.process("bomb", 0);
    for line in 1..=deep.max(n_chains) {
        it.put(&Record::Location { id: line, line, function: name.into(), file: "it.py".into() });
    }
    for chain in 0..n_chains {
        for depth in 1..=deep {
            let id = chain * deep + depth;
            let (parent, location) = if depth == 1 { (0, chain + 1) } else { (id - 1, depth) };
            it.put(&Record::Stack { id, parent, location });
            if has_block(depth) {
                it.take(id, 100);
            }
        }
    }
    it.read()
}

#[test]
fn fault_30_documents_larger_than_viewers_open_are_refused() {
    // A capture of some kilobytes: a name, and stacks that together have forty million lines.
    let bomb = chains(1, 9000, &"x".repeat(500), |_| true);
    let is_refused = |outcome: Result<(), ExportError>| matches!(outcome, Err(ExportError::TooLarge));
    assert!(is_refused(collapsed(&bomb.value, Measure::Live).map(drop)));
    assert!(is_refused(speedscope("it", &bomb.value, Measure::Live).map(drop)));
    assert!(is_refused(pprof(&bomb.value, &bomb.gaps).map(drop)));
    // The page has each line once.
    let page = flamegraph::page("it", &bomb.value, &bomb.gaps, Measure::Live);
    assert!(page.len() < 4_000_000, "{} bytes", page.len());
    // A tenth of it is a document.
    let large = chains(1, 900, "x", |_| true);
    assert_eq!(collapsed(&large.value, Measure::Live).unwrap().lines().count(), 900);
    assert!(speedscope("it", &large.value, Measure::Live).unwrap().len() < 8 * 900 * 900);
    pprof(&large.value, &large.gaps).unwrap();
}

#[test]
fn fault_30_a_page_has_room_for_so_many_lines_of_stacks_and_says_so() {
    const NO_ROOM: &str = "(stacks for which this page has no room)";
    let bomb = chains(450, 5000, "f", |depth| depth == 5000);
    let page = flamegraph::page("it", &bomb.value, &bomb.gaps, Measure::Live);
    // Among what stacks may have served, it always is.
    assert_eq!(page.matches(NO_ROOM).count(), 2);
    assert!(page.len() < 64_000_000, "{} bytes", page.len());
    let page = flamegraph::page("it", &chains(3, 5000, "f", |_| true).value, &[], Measure::Live);
    assert_eq!(page.matches(NO_ROOM).count(), 1);
}
