//! Answers held against labels.
//!
//! Invariant: pure. An answer of `heap-growth` is right where Python's or native memory grows: it says
//! the same without telling the two apart, and counts as a hit of that kind.

use std::collections::{BTreeMap, BTreeSet};

use slackwater_diagnose::{Code, Kind};

use super::labels::Service;

const HEAP: &str = Kind::HeapGrowth.key();
/// What `heap-growth` does not tell apart.
const HEAP_PARTS: [&str; 2] = [Kind::PythonGrowth.key(), Kind::NativeGrowth.key()];

/// What the tool said of one service.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(super) struct Answer {
    /// The verdict's kind.
    pub(super) verdict: String,
    /// Each finding's code and kind.
    pub(super) findings: Vec<(String, String)>,
}

impl Answer {
    /// The kinds of the findings that decide.
    fn said(&self) -> BTreeSet<&str> {
        let decides = |code: &str| Code::ALL.iter().any(|known| known.key() == code && known.decides());
        self.findings.iter().filter(|(code, _)| decides(code)).map(|(_, kind)| kind.as_str()).collect()
    }
}

/// How often one kind was said rightly and wrongly.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Tally {
    /// Said, and true.
    pub(super) hits: usize,
    /// Said, and not true.
    pub(super) false_alarms: usize,
    /// True, and not said.
    pub(super) misses: usize,
}

impl Tally {
    /// Of what was said, the share that is true.
    pub(super) fn precision(self) -> Option<f64> {
        share(self.hits, self.hits + self.false_alarms)
    }

    /// Of what is true, the share that was said.
    pub(super) fn recall(self) -> Option<f64> {
        share(self.hits, self.hits + self.misses)
    }
}

fn share(part: usize, whole: usize) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// The scores of a whole run.
#[derive(Clone, Default, Debug)]
pub(super) struct Scores {
    /// By kind.
    pub(super) kinds: BTreeMap<String, Tally>,
    /// Services that were asked about.
    pub(super) n_services: usize,
    /// Those whose verdict was right.
    pub(super) n_right_verdicts: usize,
    /// What was wrong, by service.
    pub(super) wrong: Vec<(String, String)>,
    /// What was not run, and why.
    pub(super) skipped: Vec<(String, String)>,
    /// One line about the last service.
    pub(super) last: String,
}

impl Scores {
    /// Counts one answer, or the failure to give one.
    pub(super) fn add(&mut self, service: &Service, answer: Result<Answer, String>) {
        self.n_services += 1;
        let mut faults = Vec::new();
        let answer = answer.unwrap_or_else(|error| {
            faults.push(error);
            Answer::default()
        });
        let said = answer.said();
        for kind in &service.kinds {
            let tally = self.kinds.entry(kind.clone()).or_default();
            if is_covered(kind, |word| said.contains(word)) {
                tally.hits += 1;
            } else {
                tally.misses += 1;
                faults.push(format!("does not say {kind}"));
            }
        }
        let is_true = |word: &str| service.kinds.contains(word) || service.allowed.contains(word);
        for &kind in &said {
            if !(is_true(kind) || kind == HEAP && HEAP_PARTS.into_iter().any(is_true)) {
                self.kinds.entry(kind.to_owned()).or_default().false_alarms += 1;
                faults.push(format!("says {kind}"));
            }
        }
        let mut acceptable =
            service.verdict.iter().chain(service.kinds.iter().filter(|_| service.verdict.is_none()));
        if acceptable.any(|kind| is_covered(kind, |word| answer.verdict == word)) {
            self.n_right_verdicts += 1;
        } else {
            faults.push(format!("the verdict is {}", answer.verdict));
        }
        for code in &service.codes {
            if answer.findings.iter().all(|(found, _)| found != code) {
                faults.push(format!("lacks {code}"));
            }
        }
        if faults.is_empty() {
            self.last = format!("right    {}: {}", service.name, answer.verdict);
        } else {
            let faults = faults.join(", ");
            self.last = format!("WRONG    {}: {faults}", service.name);
            self.wrong.push((service.name.clone(), faults));
        }
    }

    /// Notes that a service was not run.
    pub(super) fn skip(&mut self, service: &Service, reason: String) {
        self.last = format!("skipped  {}: {reason}", service.name);
        self.skipped.push((service.name.clone(), reason));
    }

    /// Whether nothing was run.
    pub(super) const fn is_empty(&self) -> bool {
        self.n_services == 0
    }
}

/// Whether `kind` was said, by its own name or as `heap-growth`.
fn is_covered(kind: &str, is_said: impl Fn(&str) -> bool) -> bool {
    is_said(kind) || HEAP_PARTS.contains(&kind) && is_said(HEAP)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(kinds: &[&str], verdict: Option<&str>) -> Service {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Service {
            name: "it".to_owned(),
            script: "it.py".to_owned(),
            kinds: words(kinds),
            verdict: verdict.map(str::to_owned),
            allowed: words(&["pinned"]),
            codes: BTreeSet::new(),
            watch_seconds: 0,
            min_python: "3.8".to_owned(),
            env: BTreeMap::new(),
            needs: None,
        }
    }

    fn answer(verdict: &str, findings: &[(&str, &str)]) -> Answer {
        let findings = findings.iter().map(|(code, kind)| ((*code).to_owned(), (*kind).to_owned())).collect();
        Answer { verdict: verdict.to_owned(), findings }
    }

    /// Hits, false alarms and misses of `kind`, right verdicts, and the faults named.
    fn check(
        service: &Service,
        answer: &Answer,
        kind: &str,
        expected: (usize, usize, usize, usize),
        faults: &str,
    ) {
        let mut scores = Scores::default();
        scores.add(service, Ok(answer.clone()));
        let tally = scores.kinds.get(kind).copied().unwrap_or_default();
        let found = (tally.hits, tally.false_alarms, tally.misses, scores.n_right_verdicts);
        assert_eq!(found, expected, "{scores:?}");
        assert_eq!(scores.wrong.first().map_or("", |(_, faults)| faults.as_str()), faults);
    }

    #[test]
    fn hits_false_alarms_and_misses() {
        let retention = service(&["retention"], None);
        check(&retention, &answer("retention", &[("SW101", "retention")]), "retention", (1, 0, 0, 1), "");
        let faults = "does not say retention, says steady, the verdict is steady";
        check(&retention, &answer("steady", &[("SW100", "steady")]), "retention", (0, 0, 1, 0), faults);
        check(&retention, &answer("steady", &[("SW100", "steady")]), "steady", (0, 1, 0, 0), faults);
    }

    #[test]
    fn what_is_allowed_is_neither_right_nor_wrong() {
        let said = answer("retention", &[("SW101", "retention"), ("SW102", "pinned")]);
        check(&service(&["retention"], None), &said, "pinned", (0, 0, 0, 1), "");
    }

    #[test]
    fn circumstances_do_not_count() {
        let said = answer("retention", &[("SW101", "retention"), ("SW124", "steady")]);
        check(&service(&["retention"], None), &said, "steady", (0, 0, 0, 1), "");
    }

    #[test]
    fn the_growth_of_the_heap_covers_its_parts() {
        let said = answer("heap-growth", &[("SW112", "heap-growth")]);
        check(&service(&["native-growth"], Some("native-growth")), &said, "native-growth", (1, 0, 0, 1), "");
        check(&service(&["native-growth"], None), &said, "heap-growth", (0, 0, 0, 1), "");
        let faults = "does not say steady, says heap-growth, the verdict is heap-growth";
        check(&service(&["steady"], None), &said, "heap-growth", (0, 1, 0, 0), faults);
        let said = answer("python-growth", &[("SW110", "python-growth")]);
        let faults = "does not say native-growth, says python-growth, the verdict is python-growth";
        check(&service(&["native-growth"], None), &said, "native-growth", (0, 0, 1, 0), faults);
    }

    #[test]
    fn of_a_mixture_the_named_kind_is_the_verdict() {
        let mixture = service(&["retention", "mapped-growth"], Some("mapped-growth"));
        let said = answer("retention", &[("SW101", "retention"), ("SW113", "mapped-growth")]);
        check(&mixture, &said, "mapped-growth", (1, 0, 0, 0), "the verdict is retention");
    }

    #[test]
    fn a_failure_is_a_miss() {
        let mut scores = Scores::default();
        scores.add(&service(&["retention"], None), Err("it died".to_owned()));
        assert_eq!(scores.kinds["retention"].misses, 1);
        assert_eq!(scores.n_right_verdicts, 0);
        assert!(scores.last.contains("it died"));
        assert_eq!(scores.kinds["retention"].precision(), None);
        assert_eq!(scores.kinds["retention"].recall(), Some(0.0));
    }
}
