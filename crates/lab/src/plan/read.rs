//! `lab.toml` as a [`Plan`]: every key known, every value checked, every default filled in.
//!
//! Invariant: any bytes give a plan or an error that names a line; nothing panics. Files are opened for
//! the bodies of requests only, through the caller.

mod arms;
mod limits;
mod load;
mod matrix;
mod schedule;
mod service;
mod table;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};

use toml::de::DeTable;

use super::{Plan, PlanError};

pub use self::load::LEAST_STEP;

/// No plan is longer.
pub const MOST_BYTES: usize = 1 << 20;

/// The tables of a plan.
const KEYS: &[&str] = &["name", "service", "load", "schedule", "arm", "matrix", "limit"];

/// Reads a plan whose paths count from `folder`, and the bodies that it names.
pub fn read(text: &str, folder: &Path) -> Result<Plan, PlanError> {
    read_with(text, folder, &load::open_body)
}

/// The same, of the bytes of a file.
pub fn read_bytes(bytes: &[u8], folder: &Path) -> Result<Plan, PlanError> {
    match std::str::from_utf8(bytes) {
        Ok(text) => read(text, folder),
        Err(error) => Err(PlanError::NotText { line: table::line_of(bytes, error.valid_up_to()) }),
    }
}

/// Reads the plan that a result holds: what it was compared and limited by. Bodies stay empty, as their
/// files may be gone.
pub fn read_saved(text: &str) -> Result<Plan, PlanError> {
    read_with(text, Path::new("."), &|_| Ok(Vec::new()))
}

/// How the file of a body is read.
type OpenBody<'a> = &'a dyn Fn(&Path) -> io::Result<Vec<u8>>;

/// What parts of the file need to know beside themselves.
struct Around<'a> {
    folder: PathBuf,
    open_body: OpenBody<'a>,
}

fn read_with(text: &str, folder: &Path, open_body: OpenBody<'_>) -> Result<Plan, PlanError> {
    if text.len() > MOST_BYTES {
        return Err(PlanError::TooBig { length: text.len() });
    }
    let root = DeTable::parse(text).map_err(|error| PlanError::Syntax {
        line: table::line_of(text.as_bytes(), error.span().map_or(0, |span| span.start)),
        message: error.message().replace('\n', ", "),
    })?;
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let around =
        Around { folder: std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned()), open_body };
    let root = table::document(text, &root, KEYS)?;
    let name = match root.get("name") {
        Some(name) => name.filled("what the result is called")?.to_owned(),
        None => "experiment".to_owned(),
    };
    let load = load::read(&root, &around)?;
    let mut service = service::read(&root, &around, &load)?;
    let arms = arms::read(&root, &around)?;
    service::commands(&root, &mut service, &arms, &load)?;
    let schedule = schedule::read(&root, &load, &arms, &service)?;
    let limits = limits::read(&root, &arms, &load)?;
    Ok(Plan { name, service, arms, load, schedule, limits })
}
