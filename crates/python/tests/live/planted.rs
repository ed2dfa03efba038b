//! The planted program, asked for its statistics and then looked at from outside.

use std::fs;
use std::time::Instant;

use slackwater_procfs::Root;
use slackwater_remote::Live;
use slackwater_testkit::{Interpreter, Program, Target};

use crate::oracle::Statistics;

/// A running `planted/objects.py`.
pub(crate) struct Planted {
    target: Target,
    /// Whether all its memory is locked, hence resident.
    pub(crate) locked: bool,
}

impl Planted {
    /// Starts it under `interpreter`, with environment variables.
    pub(crate) fn start(interpreter: &Interpreter, variables: &[(&str, &str)]) -> Self {
        let source = include_str!("programs/objects.py");
        let mut program = Program::python(interpreter, "objects", source).unwrap();
        for (name, value) in variables {
            program = program.env(name, value);
        }
        let target = program.spawn().unwrap();
        let locked = target.greeting() == "1";
        Self { target, locked }
    }

    /// Plants 60,000 objects.
    pub(crate) fn plant(&mut self) {
        self.command("p");
    }

    /// Drops 99 of each 100.
    pub(crate) fn thin_out(&mut self) {
        self.command("t");
    }

    /// What the interpreter says about its own heap, which stays so until the next command.
    pub(crate) fn statistics(&mut self) -> Statistics {
        self.command("s");
        // What the last dump said after its total is still to be read.
        let mut line = String::new();
        while !line.starts_with("Small block") {
            line = self.target.answer("statistics").unwrap();
        }
        let mut dump = String::new();
        while !line.starts_with("Total ") {
            line = self.target.answer("the rest of the statistics").unwrap();
            dump.push_str(&line);
            dump.push('\n');
        }
        self.settle();
        Statistics::parse(&dump).unwrap()
    }

    /// Its memory.
    pub(crate) fn open(&self) -> Live {
        open(&self.target)
    }

    fn command(&mut self, command: &str) {
        self.target.send(command).unwrap();
    }

    /// Waits until the program has read the line to its end and blocks in `read(0, ...)`: only then
    /// has it stopped allocating.
    fn settle(&self) {
        let deadline = Instant::now() + Program::PATIENCE;
        let syscall = format!("/proc/{}/syscall", self.target.pid());
        while !fs::read_to_string(&syscall).unwrap().starts_with("0 0x0 ") {
            assert!(Instant::now() < deadline, "the planted program does not come to rest");
            std::thread::yield_now();
        }
    }
}

/// The memory of a target.
pub(crate) fn open(target: &Target) -> Live {
    Live::open(&Root::host(), target.pid()).unwrap()
}
