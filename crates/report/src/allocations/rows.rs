//! The rows of a table of stacks: sorted, merged by line or not, the small ones together.

use std::collections::HashMap;

use slackwater_profile::{Frame, Profile, StackId, Usage};

/// What rows are sorted by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Measure {
    /// All that was handed out.
    Allocated,
    /// What was not given back.
    Live,
}

/// One stack, or several with the same innermost line.
#[derive(Clone, PartialEq, Debug)]
pub struct Row {
    /// The stack; of several, the one with most bytes.
    pub stack: StackId,
    /// How many stacks there are in it.
    pub n_stacks: usize,
    /// What they asked for.
    pub usage: Usage,
}

impl Row {
    /// The bytes that it is sorted by.
    #[must_use]
    pub const fn bytes(&self, measure: Measure) -> f64 {
        match measure {
            Measure::Allocated => self.usage.allocated.bytes,
            Measure::Live => self.usage.live.bytes,
        }
    }
}

/// All rows, the largest first: one for each stack, or one for each innermost line.
#[must_use]
pub fn rows(profile: &Profile, measure: Measure, whole_stacks: bool) -> Vec<Row> {
    let of_stack = profile.by_stack();
    let mut rows: Vec<Row> = Vec::new();
    let mut places: HashMap<Option<&Frame>, usize> = HashMap::new();
    let mut largest: Vec<f64> = Vec::new();
    for (&stack, usage) in &of_stack {
        let row = Row { stack, n_stacks: 1, usage: *usage };
        let bytes = row.bytes(measure);
        let place = if whole_stacks { None } else { places.get(&innermost(profile, stack)).copied() };
        match place {
            Some(place) => {
                let merged = &mut rows[place];
                merged.n_stacks += 1;
                merged.usage.allocated.add(&usage.allocated);
                merged.usage.live.add(&usage.live);
                if bytes > largest[place] {
                    largest[place] = bytes;
                    merged.stack = stack;
                }
            }
            None => {
                places.insert(innermost(profile, stack), rows.len());
                largest.push(bytes);
                rows.push(row);
            }
        }
    }
    rows.retain(|row| row.bytes(measure) >= 1.0);
    rows.sort_by(|a, b| b.bytes(measure).total_cmp(&a.bytes(measure)));
    rows
}

fn innermost(profile: &Profile, stack: StackId) -> Option<&Frame> {
    profile.stacks.frames(stack).next()
}
