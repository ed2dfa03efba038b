//! The scores as Markdown, for the terminal and for docs/corpus.md.

use std::fmt::Write as _;

use slackwater_diagnose::Kind;

use super::score::Scores;

/// The table, what was wrong, and what was not run.
pub(super) fn markdown(scores: &Scores) -> String {
    let mut text = String::from(
        "| kind | true of | hits | false alarms | misses | precision | recall |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    // In the order in which the tool names the kinds.
    for kind in Kind::ALL {
        if let Some(tally) = scores.kinds.get(kind.key()) {
            let _ = writeln!(
                text,
                "| {kind} | {} | {} | {} | {} | {} | {} |",
                tally.hits + tally.misses,
                tally.hits,
                tally.false_alarms,
                tally.misses,
                percent(tally.precision()),
                percent(tally.recall()),
            );
        }
    }
    let _ = write!(text, "\n{} of {} verdicts are right.\n", scores.n_right_verdicts, scores.n_services);
    list(&mut text, "Wrong answers", &scores.wrong);
    list(&mut text, "Not run", &scores.skipped);
    text
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.0} %", share * 100.0))
}

fn list(text: &mut String, title: &str, entries: &[(String, String)]) {
    if !entries.is_empty() {
        let _ = write!(text, "\n{title}:\n\n");
        for (name, why) in entries {
            let _ = writeln!(text, "- `{name}`: {why}");
        }
    }
}

/// docs/corpus.md.
pub(super) fn document(scores: &Scores, python: &str, table: &str) -> String {
    format!(
        "<!-- Made by `cargo xtask corpus --publish`. -->\n# How often the verdict is right\n\n\
        {} small services whose memory does a known thing ([tests/corpus](../tests/corpus)), each started\n\
        and asked about as a user would: `slackwater diagnose --json --pid N`, with `--for` where growth is\n\
        the question. Python {python}, one run, no retries; repeat it with `cargo xtask corpus`.\n\n{table}",
        scores.n_services
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::corpus::score::Tally;

    #[test]
    fn the_table_shows_what_was_counted() {
        let mut scores = Scores { n_services: 4, n_right_verdicts: 3, ..Scores::default() };
        scores.kinds.insert("steady".to_owned(), Tally { hits: 2, false_alarms: 1, misses: 0 });
        scores.kinds.insert("pinned".to_owned(), Tally { hits: 0, false_alarms: 0, misses: 1 });
        scores.wrong.push(("holes".to_owned(), "does not say pinned".to_owned()));
        let text = markdown(&scores);
        assert!(text.contains("| steady | 2 | 2 | 1 | 0 | 67 % | 100 % |"), "{text}");
        assert!(text.contains("| pinned | 1 | 0 | 0 | 1 | - | 0 % |"), "{text}");
        assert!(text.contains("3 of 4 verdicts are right"));
        assert!(text.contains("Wrong answers:\n\n- `holes`: does not say pinned\n"));
        assert!(!text.contains("Not run"));
    }
}
