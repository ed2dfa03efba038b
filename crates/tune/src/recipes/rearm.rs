//! What makes up for jemalloc's lost thread: a small Python module that starts it again in a process that
//! was forked, and how servers are told to call it.
//!
//! Invariant: the module does nothing where jemalloc is not in force, and raises nothing: a service must
//! start with or without it.

use super::File;
use super::draft::{Draft, Syntax};

/// The module's name, without its suffix.
pub(super) const MODULE: &str = "jemalloc_rearm";

/// Why it is needed.
pub(super) const WHY: &str = "jemalloc gives memory back by a background thread, and a fork does not copy threads: \
    jemalloc switches background_thread off in the child, for good and without a word. In a forked worker that \
    idles nothing is then given back.";

const CODE: &str = r#"
import ctypes


def rearm(*_args, **_kwargs):
    """Call this in a process that was just forked. Says whether the thread runs now."""
    mallctl = getattr(ctypes.CDLL(None), "mallctl", None)
    if mallctl is None:  # this process does not run on jemalloc
        return False
    mallctl.argtypes = [ctypes.c_char_p, *[ctypes.c_void_p] * 3, ctypes.c_size_t]
    on = ctypes.c_bool(True)
    return mallctl(b"background_thread", None, None, ctypes.byref(on), ctypes.sizeof(on)) == 0
"#;

/// The module, to be put beside the application.
pub(super) fn module() -> File {
    let mut draft =
        Draft::new(format!("{MODULE}.py"), Syntax::Python, "put it where the application's own modules are.");
    draft.note(WHY);
    draft.note(
        "One call of jemalloc's own mallctl switches it on again. Where a program forks workers by itself:",
    );
    draft.example(&format!("os.register_at_fork(after_in_child={MODULE}.rearm)"));
    for line in CODE.lines() {
        draft.line(line);
    }
    draft.file()
}
