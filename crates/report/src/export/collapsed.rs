//! Collapsed stacks: a line for each, `process;caller;callee bytes`, as flamegraph.pl reads them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use slackwater_profile::Profile;

use super::{ExportError, NO_PYTHON, Room, frame_name, process_name};
use crate::allocations::Measure;

/// Every stack of every process, with its bytes.
///
/// # Errors
/// When that is too much.
pub fn collapsed(profile: &Profile, measure: Measure) -> Result<String, ExportError> {
    let mut room = Room::default();
    let mut lines: BTreeMap<String, f64> = BTreeMap::new();
    for process in &profile.processes {
        for part in &process.parts {
            let mut names = Vec::new();
            let mut n_bytes = 0;
            for frame in profile.stacks.frames(part.stack) {
                let name = word(&frame_name(frame));
                n_bytes += name.len() + 1;
                room.take(name.len() + 1)?;
                names.push(name);
            }
            if names.is_empty() {
                names.push(NO_PYTHON.to_owned());
            }
            names.push(word(&process_name(process)));
            names.reverse();
            let bytes = measure.of(&part.usage).bytes;
            match lines.entry(names.join(";")) {
                Entry::Vacant(line) => _ = line.insert(bytes),
                Entry::Occupied(line) => {
                    *line.into_mut() += bytes;
                    room.give_back(n_bytes);
                }
            }
        }
    }
    let lines = lines.into_iter().filter(|(_, bytes)| *bytes >= 0.5);
    Ok(lines.map(|(stack, bytes)| format!("{stack} {bytes:.0}\n")).collect())
}

/// A name that cannot be taken for two.
fn word(name: &str) -> String {
    name.replace(';', ",")
}
