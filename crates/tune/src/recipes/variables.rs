//! The environment of a recipe: each variable with its value and the reasons for it.

use super::Request;
use super::service::HugePages;
use crate::Allocator;
use crate::environment::LD_PRELOAD;
use crate::presets::{PYTHONMALLOC, Pymalloc, presets, pymalloc};
use crate::settings::{self, Home};

/// One environment variable. No value needs quoting in any syntax.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Variable {
    pub(super) name: String,
    pub(super) value: String,
    pub(super) reasons: Vec<String>,
}

/// What the environment of the service must hold, in order.
pub(super) fn variables(request: &Request) -> Vec<Variable> {
    let mut variables = Vec::new();
    if let Some(library) = request.preload() {
        variables.push(Variable {
            name: LD_PRELOAD.to_owned(),
            value: library.to_owned(),
            reasons: preload_reasons(request.allocator),
        });
    }
    for (key, value, why) in chosen(request) {
        match settings::find(request.allocator, key).map(|setting| setting.home) {
            Some(Home::Conf) => add_option(&mut variables, request.allocator.variable(), key, value, why),
            Some(Home::Variable(name) | Home::Tunable { variable: Some(name) }) => {
                variables.push(variable(name, value, why));
            }
            Some(Home::Tunable { variable: None }) | None => {}
        }
    }
    if !request.service.is_free_threaded && pymalloc(request.allocator) == Some(Pymalloc::Off) {
        variables.push(variable(PYTHONMALLOC, Pymalloc::Off.value(), WHY_NO_PYMALLOC));
    }
    variables
}

const WHY_NO_PYMALLOC: &str = "Python's small objects go to this allocator too. In arenas of its own, Python keeps a \
    whole one as long as a single object lives in it.";

fn preload_reasons(allocator: Allocator) -> Vec<String> {
    let reasons: &[&str] = match allocator {
        Allocator::Slackwater => &[
            "malloc of every process of the service, from its first instruction. The settings are built in, and \
                MALLOC_CONF wins over them. A governor in each process, forked ones too, gives memory back when it \
                goes idle, holds too much, or nears its limit.",
        ],
        Allocator::Jemalloc => &["malloc of every process of the service, from its first instruction."],
        Allocator::Mimalloc => &[
            "malloc of every process of the service. Fast, but for speed only: it gives memory back when the \
                thread that freed it allocates again, so an idle process keeps its peak, whatever it is told.",
            "MIMALLOC_PURGE_DELAY=0 gives back at every free, at a high price. What helps instead: slackwater trim.",
        ],
        Allocator::Tcmalloc => &[
            "malloc of every process of the service. Fast, but for speed only: as it comes it gives little back, \
                and nothing while the process is idle.",
            "TCMALLOC_AGGRESSIVE_DECOMMIT=1 gives back at every free: RSS falls at once, and where much is \
                allocated that costs several times the processor time.",
        ],
        Allocator::Glibc => &[],
    };
    reasons.iter().map(|&reason| reason.to_owned()).collect()
}

/// The presets, and what the machine calls for besides.
fn chosen(request: &Request) -> Vec<(&'static str, &'static str, &'static str)> {
    let mut chosen: Vec<_> =
        presets(request.allocator).iter().map(|preset| (preset.key, preset.value, preset.why)).collect();
    if request.allocator == Allocator::Jemalloc && request.huge_pages == HugePages::Always {
        chosen.push((
            "thp",
            "never",
            "this machine hands out huge pages unasked; they fill up again what was given back",
        ));
    }
    chosen
}

fn variable(name: &str, value: &str, why: &str) -> Variable {
    Variable { name: name.to_owned(), value: value.to_owned(), reasons: vec![sentence(why)] }
}

/// `key:value` in the one variable that holds the options, with a line of reason each.
fn add_option(variables: &mut Vec<Variable>, name: &str, key: &str, value: &str, why: &str) {
    let reason = format!("- {key}:{value}: {why}");
    match variables.iter_mut().find(|variable| variable.name == name) {
        Some(list) => {
            list.value.push_str(&format!(",{key}:{value}"));
            list.reasons.push(reason);
        }
        None => variables.push(Variable {
            name: name.to_owned(),
            value: format!("{key}:{value}"),
            reasons: vec!["Each setting and its reason:".to_owned(), reason],
        }),
    }
}

/// A reason as a sentence of its own.
fn sentence(why: &str) -> String {
    let mut letters = why.chars();
    let mut text: String = letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect();
    if !text.ends_with('.') {
        text.push('.');
    }
    text
}
