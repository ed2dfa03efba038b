//! Every environment variable that the program reads, in one place.

use std::env::var_os;
use std::path::PathBuf;

/// <https://no-color.org>: set and not empty, no colour.
pub(crate) fn no_color() -> bool {
    var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

/// <https://bixense.com/clicolors>: set and not `0`, colour even when the output is no terminal.
pub(crate) fn force_color() -> bool {
    var_os("CLICOLOR_FORCE").is_some_and(|value| value != "0")
}

/// A terminal that cannot show colour.
pub(crate) fn dumb_terminal() -> bool {
    var_os("TERM").is_some_and(|value| value == "dumb")
}

/// `SLACKWATER_LIBRARY`: the path of `libslackwater_alloc.so`, where it is neither beside the program
/// nor in `../lib/slackwater`.
pub(crate) fn library() -> Option<PathBuf> {
    var_os("SLACKWATER_LIBRARY").filter(|path| !path.is_empty()).map(PathBuf::from)
}

/// `SLACKWATER_AGENT`: the path of `libslackwater_agent.so`, likewise.
pub(crate) fn agent() -> Option<PathBuf> {
    var_os("SLACKWATER_AGENT").filter(|path| !path.is_empty()).map(PathBuf::from)
}
