//! What our library takes beside jemalloc's options.

use super::{Home, Kind, Setting};

const fn own(key: &'static str, variable: &'static str, kind: Kind, about: &'static str) -> Setting {
    Setting { key, home: Home::Variable(variable), kind, about, since: None, everyday: true }
}

pub(super) const OPTIONS: &[Setting] = &[
    own(
        "governor",
        "SLACKWATER_GOVERNOR",
        Kind::OneOf(&["on", "off"]),
        "give memory back when the process goes idle, holds too much unused, or nears its limit; on also where \
         no Python runs",
    ),
    own(
        "inherit",
        "SLACKWATER_INHERIT",
        Kind::OneOf(&["python", "all"]),
        "which children start under the library too: those that run Python, or all",
    ),
];
