//! Collapsed stacks: a line for each, `process;caller;callee bytes`, as flamegraph.pl reads them.

use std::collections::BTreeMap;

use slackwater_profile::Profile;

use super::{NO_PYTHON, frame_name, process_name};
use crate::allocations::Measure;

/// Every stack of every process, with its bytes.
#[must_use]
pub fn collapsed(profile: &Profile, measure: Measure) -> String {
    let mut lines: BTreeMap<String, f64> = BTreeMap::new();
    for process in &profile.processes {
        for part in &process.parts {
            let mut names: Vec<String> =
                profile.stacks.frames(part.stack).map(|frame| word(&frame_name(frame))).collect();
            if names.is_empty() {
                names.push(NO_PYTHON.to_owned());
            }
            names.push(word(&process_name(process)));
            names.reverse();
            *lines.entry(names.join(";")).or_default() += measure.of(&part.usage).bytes;
        }
    }
    let lines = lines.into_iter().filter(|(_, bytes)| *bytes >= 0.5);
    lines.map(|(stack, bytes)| format!("{stack} {bytes:.0}\n")).collect()
}

/// A name that cannot be taken for two.
fn word(name: &str) -> String {
    name.replace(';', ",")
}
