//! What the reader of a recording must know to read its numbers rightly.

use std::collections::{BTreeMap, BTreeSet};

use slackwater_base::{Bytes, Gap};
use slackwater_capture::Generation;
use slackwater_profile::Profile;

use super::words::summed;
use crate::visible;

/// A sentence for each: processes without stacks, and what is missing from the capture.
pub(crate) fn doubts(profile: &Profile, gaps: &[Gap]) -> Vec<String> {
    // A service may start many small programs: one sentence for each reason.
    let mut without: BTreeMap<&str, (u64, Vec<&str>)> = BTreeMap::new();
    for process in &profile.processes {
        if let Some(why) = &process.no_stacks {
            let (n, programs) = without.entry(why).or_default();
            *n = n.saturating_add(process.n_processes);
            programs.push(&process.program);
        }
    }
    let without = without.into_iter().map(|(why, (n, mut programs))| {
        programs.sort_unstable();
        programs.dedup();
        let names = visible(&programs.join(", ")).into_owned();
        format!("{n} of the processes have no stacks ({names}): {}", visible(why))
    });
    let missing =
        gaps.iter().map(|gap| format!("missing: {}: {}", visible(&gap.subject), visible(&gap.cause)));
    summed(profile).into_iter().chain(without).chain(missing).collect()
}

/// What each process held when its recording began, of which no stack is known.
pub(crate) fn before(profile: &Profile) -> Vec<String> {
    let present: BTreeSet<Generation> = profile.processes.iter().map(|process| process.generation).collect();
    let heirs = || profile.processes.iter().filter_map(|process| Some((process, process.before_of?)));
    let holders: BTreeSet<Generation> = heirs().map(|(_, holder)| holder).collect();
    let held = profile.processes.iter().filter(|process| process.live_before_bytes() > 0).map(|process| {
        let bytes = Bytes(process.live_before_bytes());
        let later = match holders.contains(&process.generation) {
            true => "; what it forked later began with what it still held of that",
            false => "",
        };
        let pid = process.pid;
        format!(
            "(before the recording) {bytes} live in process {pid} then, of which no stack is known{later}"
        )
    });
    // One that is looked at alone.
    let alone = heirs().filter(|(_, holder)| !present.contains(holder)).map(|(process, _)| {
        format!(
            "(before the recording) process {} was forked later, and began with what its parent still held from \
             then, of which no stack is known",
            process.pid
        )
    });
    held.chain(alone).collect()
}
