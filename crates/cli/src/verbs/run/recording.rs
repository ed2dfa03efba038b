//! `run --record`: a recorder beside the service, begun before it.
//!
//! ```text
//! run ── starts ─▶ recorder --detach ── starts ─▶ recorder      then `run` becomes the service
//! ```
//!
//! The one in the middle ends at once, so the recorder is no child of the service: a service that waits
//! for its children does not wait for it. It is in a session of its own, so a terminal's signals pass by.
//!
//! Invariant: the recorder has the capture and the shared memory before the service begins, and when it
//! dies the service goes on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command as Child, Stdio};

use slackwater_report::visible;
use slackwater_tune::environment::LD_PRELOAD;

use super::command::Command;
use crate::args::RunArgs;
use crate::exit::{Exit, Failure};
use crate::printer::Printer;
use crate::verbs::{output, record, recorder};

/// A recording that waits for its service.
pub(super) struct Recording {
    agent: PathBuf,
    session: OsString,
}

impl Recording {
    /// Begins one, into `file` or a name made of the command's.
    pub(super) fn begin(
        args: &RunArgs,
        file: Option<&Path>,
        command: &Command,
        printer: &Printer,
    ) -> Result<Self, Failure> {
        let agent = record::agent()?;
        let (capture, path) =
            create(&file.map_or_else(|| record::named_after(&command.file), PathBuf::from))?;
        let program = std::env::current_exe().map_err(|error| {
            Failure::new(Exit::Bug, "cannot tell where slackwater itself is").caused_by(&error)
        })?;
        let own = std::process::id().to_string();
        let mut starter = Child::new(program);
        starter.args([recorder::VERB, "--detach", "--service", &own, "--capture"]).arg(&path);
        starter.args(args.files.words());
        if args.python_allocators {
            starter.arg("--python-allocators");
        }
        if printer.is_quiet() {
            starter.arg("--quiet");
        }
        let failed =
            |error: &std::io::Error| Failure::new(Exit::Bug, "cannot start a recorder").caused_by(error);
        let mut starter = starter
            .stdin(Stdio::from(capture))
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| failed(&error))?;
        let mut session = String::new();
        if let Some(said) = starter.stdout.take() {
            BufReader::new(said).read_line(&mut session).map_err(|error| failed(&error))?;
        }
        starter.wait().map_err(|error| failed(&error))?;
        if !session.ends_with('\n') {
            return Err(Failure::new(Exit::Denied, "the recording could not be begun")
                .hint("the lines above say why; without --record the service starts as usual"));
        }
        let shown = path.display().to_string();
        printer.note(&format!("slackwater: recording into {}", visible(&shown)));
        Ok(Self { agent, session: session.trim_end().into() })
    }

    /// Adds to `variables` what makes the service recorded: the agent in front of the allocator.
    pub(super) fn join(&self, variables: &mut BTreeMap<String, Option<OsString>>) {
        let others = match variables.get(LD_PRELOAD) {
            Some(composed) => composed.clone(),
            None => std::env::var_os(LD_PRELOAD),
        };
        let preload = record::preload(&self.agent, others.as_deref());
        variables.insert(LD_PRELOAD.to_owned(), Some(preload));
        variables.insert(record::RECORD.to_owned(), Some(self.session.clone()));
    }
}

/// A capture of this name, or with the first number that is free: a service that is restarted must not
/// fail because it has been recorded before.
fn create(path: &Path) -> Result<(std::fs::File, PathBuf), Failure> {
    let free = record::numbered(path, record::free(path, 1));
    Ok((output::capture(&free, false)?, std::path::absolute(&free).unwrap_or(free)))
}
