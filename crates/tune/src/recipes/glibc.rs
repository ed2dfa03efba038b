//! What is left to those who must stay on the C library's own malloc.

use super::draft::Draft;
use super::{Request, variables};
use crate::Allocator;

/// What glibc cannot be told, in a sentence.
const LIMITS: &str = "None of this is read again after the start. It lowers what glibc keeps; free memory between \
    blocks that are still used stays with the process until it is asked for. What asks for it, without a restart:";

/// The other spelling of the settings, and what else helps, where glibc is what was asked for.
pub(super) fn tunables(request: &Request, draft: &mut Draft) {
    if request.allocator != Allocator::Glibc {
        return;
    }
    let pairs: Vec<String> = variables(request).iter().filter_map(tunable).collect();
    draft.gap();
    draft.note("The same in one variable, as newer documents spell it (either, not both):");
    draft.example(&format!("GLIBC_TUNABLES={}", pairs.join(":")));
    draft.note(LIMITS);
    draft.example(&trim(request));
}

/// What trims for as long as the service runs.
pub(super) fn trim(request: &Request) -> String {
    let selector = request.selector();
    format!("slackwater trim {selector} --every 60s --above 50M")
}

/// `MALLOC_ARENA_MAX=1` as a tunable.
fn tunable(variable: &variables::Variable) -> Option<String> {
    let key = variable.name.strip_prefix("MALLOC_")?.trim_end_matches('_').to_lowercase();
    Some(format!("glibc.malloc.{key}={}", variable.value))
}
