//! A running target program: spoken to line by line, killed and reaped on drop with all its children.
//!
//! Invariant: no call blocks longer than the program's patience, and dropping a target leaves no
//! process of its group behind. It also dies with the thread that started it.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use slackwater_base::Pid;

use crate::error::TestkitError;
use crate::sys;

/// A started program.
#[derive(Debug)]
pub struct Target {
    child: Child,
    /// Whether the kernel may have given its number to a stranger by now.
    reaped: bool,
    commands: Option<ChildStdin>,
    answers: Receiver<String>,
    said: File,
    name: String,
    greeting: String,
    patience: Duration,
}

impl Target {
    pub(crate) fn start(
        mut command: Command,
        name: String,
        patience: Duration,
    ) -> Result<Self, TestkitError> {
        let fail = |source| TestkitError::Start { program: name.clone(), source };
        let said = tempfile::tempfile().map_err(fail)?;
        let said_too = said.try_clone().map_err(fail)?;
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(said_too).process_group(0);
        sys::die_with_parent(&mut command);
        let mut child = command.spawn().map_err(fail)?;

        let commands = child.stdin.take();
        let (line_sender, answers) = channel();
        if let Some(stdout) = child.stdout.take() {
            // Ends at end of file, which the death of the process group brings about.
            std::thread::spawn(move || {
                for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                    if line_sender.send(line).is_err() {
                        break;
                    }
                }
            });
        }
        let mut target =
            Self { child, reaped: false, commands, answers, said, name, greeting: String::new(), patience };
        loop {
            let line = target.answer("ready")?;
            if let Some(rest) = line.strip_prefix("ready") {
                target.greeting = rest.trim().to_owned();
                return Ok(target);
            }
        }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        // The kernel's ids are positive and far below i32::MAX (PID_MAX_LIMIT is 4 Mi).
        Pid(self.child.id() as i32)
    }

    /// What it said after `ready`.
    pub fn greeting(&self) -> &str {
        &self.greeting
    }

    /// The greeting's words as numbers, decimal or with `0x`; words of other kinds are left out.
    pub fn greeting_numbers(&self) -> Vec<u64> {
        numbers(&self.greeting)
    }

    /// Sends a command and returns its answer.
    pub fn ask(&mut self, command: &str) -> Result<String, TestkitError> {
        self.send(command)?;
        self.answer(&format!("answer to '{command}'"))
    }

    /// As [`Target::ask`], for an answer that consists of numbers.
    pub fn ask_numbers(&mut self, command: &str) -> Result<Vec<u64>, TestkitError> {
        Ok(numbers(&self.ask(command)?))
    }

    /// Sends a command without waiting for its answer; fetch that with [`Target::answer`].
    pub fn send(&mut self, command: &str) -> Result<(), TestkitError> {
        let sent = match &mut self.commands {
            Some(pipe) => pipe.write_all(format!("{command}\n").as_bytes()),
            None => Ok(()),
        };
        sent.map_err(|_| self.ended(&format!("the chance to send '{command}'")))
    }

    /// The next line it writes. `waiting_for` is used in the error only.
    pub fn answer(&mut self, waiting_for: &str) -> Result<String, TestkitError> {
        match self.answers.recv_timeout(self.patience) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Disconnected) => Err(self.ended(waiting_for)),
            Err(RecvTimeoutError::Timeout) => Err(self.silent(waiting_for)),
        }
    }

    /// Sends it a signal such as `libc::SIGSTOP`.
    pub fn signal(&self, number: i32) {
        if !self.reaped {
            sys::signal(self.pid().0, number);
        }
    }

    /// Closes its standard input, on which it should end by itself, and waits for that.
    pub fn finish(mut self) -> Result<ExitStatus, TestkitError> {
        self.commands = None;
        if !sys::exits_within(self.pid().0, self.patience) {
            return Err(self.silent("end"));
        }
        self.end().map_err(|source| TestkitError::Start { program: self.name.clone(), source })
    }

    /// Kills it and its children, and waits until it is gone.
    pub fn kill(mut self) {
        let _ = self.end();
    }

    /// Everything it wrote to standard error so far.
    pub fn said(&self) -> String {
        // At an offset of our own: the file's is where the program writes next.
        let read = || {
            let mut said = vec![0; self.said.metadata()?.len() as usize];
            self.said.read_exact_at(&mut said, 0)?;
            Ok::<_, std::io::Error>(said)
        };
        match read() {
            Ok(said) => String::from_utf8_lossy(&said).into_owned(),
            Err(error) => format!("(its standard error cannot be read: {error})"),
        }
    }

    fn silent(&self, waiting_for: &str) -> TestkitError {
        TestkitError::Silent {
            program: self.name.clone(),
            waiting_for: waiting_for.to_owned(),
            patience: self.patience,
            said: self.said(),
        }
    }

    fn ended(&mut self, waiting_for: &str) -> TestkitError {
        // It closed its output, so it is about to exit; its own status says more than our SIGKILL.
        sys::exits_within(self.pid().0, Duration::from_secs(1));
        let status = self.end().map_or_else(|error| error.to_string(), |status| status.to_string());
        TestkitError::Ended {
            program: self.name.clone(),
            status,
            waiting_for: waiting_for.to_owned(),
            said: self.said(),
        }
    }

    /// Ends the whole group. It is killed before its leader is reaped: until then the number is ours.
    fn end(&mut self) -> std::io::Result<ExitStatus> {
        if !self.reaped {
            sys::kill_group(self.pid().0);
            self.reaped = true;
        }
        self.child.wait()
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        let _ = self.end();
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split_whitespace()
        .filter_map(|word| match word.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => word.parse().ok(),
        })
        .collect()
}
