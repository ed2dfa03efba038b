//! The Python of this process: which one, and how its stacks are read.
//!
//! Invariant: no layout is guessed. What is not known is refused by name, and so is a known release that
//! does not look as it should when its first stacks are read.

mod chain;
#[cfg(feature = "checked")]
mod check;
mod code;
#[cfg(not(test))]
pub(crate) mod ends;
pub(crate) mod frames;
mod variable;
mod walk;

pub(crate) use chain::{Chain, Item, is_probing};
pub(crate) use frames::begins_call;
#[cfg(feature = "checked")]
pub(crate) use walk::check;
pub(crate) use walk::{Change, change, first_of};

use core::str::FromStr;

use slackwater_layout::cpython::{FrameLayout, PythonVersion, StateHome};

use crate::sys;

/// In [`crate::process::Process::python_state`]: the layout does not hold.
pub(crate) const REFUSED: u64 = u64::MAX;

/// The Python of this process.
#[derive(Clone, Copy)]
pub(crate) struct Python {
    pub(crate) layout: FrameLayout,
    words: frames::Words,
    /// Where a thread finds its state.
    pub(crate) state: ThreadState,
    /// Address of the type of code objects.
    pub(crate) code_type: u64,
}

/// Where a thread finds its state.
#[derive(Clone, Copy)]
pub(crate) enum ThreadState {
    /// Under a key, which is kept at this address behind an `int` that is 1.
    Key(u64),
    /// In a variable of its own, at this distance from the thread pointer.
    Variable(u64),
}

/// Finds the Python that is loaded with the program; why its stacks cannot be read otherwise. Asks the
/// loader: for the constructor only.
pub(crate) fn find() -> Result<Python, &'static str> {
    let runtime = sys::global_symbol(c"_PyRuntime").ok_or("no CPython is loaded with the program")?;
    let code_type = sys::global_symbol(c"PyCode_Type").ok_or("this CPython does not export PyCode_Type")?;
    let (runtime, code_type) = (runtime as u64, code_type as u64);
    let version = version().ok_or("this CPython does not say which release it is")?;
    let mut layout =
        FrameLayout::of(version).ok_or("frames of this release of CPython are not known; 3.8 to 3.15 are")?;
    if version.is_from(13) {
        let mut table = [0; FrameLayout::TABLE_BYTES / 8];
        for (idx, word) in table.iter_mut().enumerate() {
            let addr = runtime + idx as u64 * 8;
            *word = sys::read_u64_carefully(addr).ok_or("this CPython's table of offsets cannot be read")?;
        }
        if table[2] != 0 {
            return Err("this CPython is built without the global lock; its frames are not known");
        }
        if !layout.agrees(version.minor, &table) {
            return Err("this CPython's table of offsets differs from its release's");
        }
        layout = layout.of_build(&table);
    }
    let state = match layout.state {
        StateHome::Key(offset) => ThreadState::Key(runtime + offset),
        StateHome::Variable => ThreadState::Variable(variable::find().ok_or(
            "this CPython 3.15 is a shared library or was built otherwise than usual: where its threads keep \
             their states is not known",
        )?),
    };
    Ok(Python { layout, words: frames::Words::new(&layout), state, code_type })
}

fn version() -> Option<PythonVersion> {
    if let Some(symbol) = sys::global_symbol(c"Py_Version") {
        let symbol = symbol as u64;
        return PythonVersion::from_hex(
            sys::read_u64_carefully(symbol & !7).map(|word| (word >> ((symbol & 7) * 8)) as u32)?,
        );
    }
    let text = sys::python_version()?;
    let end = text.iter().position(|&byte| byte == b' ').unwrap_or(text.len());
    PythonVersion::from_str(core::str::from_utf8(text.get(..end)?).ok()?).ok()
}

/// The test's own process has no Python.
#[cfg(test)]
pub(crate) mod ends {
    pub(crate) const fn are_heard() -> bool {
        false
    }
}
