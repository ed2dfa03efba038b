//! The rules: each a pure function of what is known of one process and of its supervisor.
//!
//! Invariant: a rule speaks only of what was seen. Where something could not be seen, it is silent.

mod bindings;
mod preload;
mod purging;
mod settings;
mod surroundings;
#[cfg(test)]
mod testing;

use super::{Mistake, Serving};

/// A process, and the one that watches over it.
#[derive(Clone, Copy)]
pub(crate) struct Case<'a> {
    pub(crate) process: &'a Serving,
    pub(crate) supervisor: Option<&'a Serving>,
}

type Rule = fn(&Case<'_>) -> Vec<Mistake>;

const RULES: [Rule; 12] = [
    preload::fates,
    preload::lost,
    preload::several,
    bindings::mixed,
    bindings::private,
    settings::prefixed,
    settings::idle,
    settings::wrong,
    purging::idle,
    surroundings::huge_pages,
    surroundings::objects,
    surroundings::limit,
];

/// Finds what is wrong in each process of a service.
pub fn judge(servings: &mut [Serving]) {
    let found: Vec<Vec<Mistake>> = servings
        .iter()
        .map(|process| {
            let supervisor = servings.iter().find(|other| other.pid == process.parent);
            let case = Case { process, supervisor };
            RULES.iter().flat_map(|rule| rule(&case)).collect()
        })
        .collect();
    for (serving, mistakes) in servings.iter_mut().zip(found) {
        serving.mistakes = mistakes;
    }
}
