//! `lab init`: a plan to begin with, every line explained, from a command or from a running service.
//!
//! Invariant: what is written is read by [`crate::plan::read`]; no value of a variable is written unless
//! its name says that it is about Python, the server or malloc.

mod port;
#[cfg(test)]
mod tests;
mod variables;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::PathBuf;

use slackwater_tune::Allocator;

pub use self::port::{Placed, place_port};
pub use self::variables::{Variables, sort_variables};

use crate::plan::literal::{command, environment, quoted};

/// What is known of a service before it is measured.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Facts {
    /// Program and arguments, as typed or as they run.
    pub command: Vec<String>,
    /// Where it runs; the plan's folder when absent.
    pub directory: Option<PathBuf>,
    /// Its variables, where it runs already; nothing for a command that is typed.
    pub environment: BTreeMap<String, String>,
    /// The processors that this machine lets us use.
    pub cpus: Vec<usize>,
    /// The allocators whose libraries were found here.
    pub allocators: Vec<Allocator>,
}

/// The text of a `lab.toml` for this service.
pub fn text(facts: &Facts) -> String {
    let mut variables = sort_variables(&facts.environment);
    let mut placed = place_port(&facts.command);
    if let Some(own) = variables.service.get_mut("GUNICORN_CMD_ARGS")
        && let Some(words) = shlex::split(own)
    {
        let in_variable = port::place_in_arguments("gunicorn", &words);
        if in_variable.is_listening {
            *own = shlex::try_join(in_variable.command.iter().map(String::as_str)).unwrap_or_default();
            // Arguments win over the variable: what was added there for want of a bind goes.
            if placed.is_added {
                placed.command.truncate(placed.command.len() - 2);
            }
            placed.is_listening = true;
        }
    }
    let mut out = String::new();
    header(&mut out, facts);
    service(&mut out, facts, &placed, &variables);
    load(&mut out, placed.is_listening);
    schedule(&mut out, facts, placed.is_listening);
    arms(&mut out, facts, &variables);
    limits(&mut out);
    out
}

fn header(out: &mut String, facts: &Facts) {
    let directory = facts.directory.as_ref().and_then(|path| path.file_name());
    let name = directory.map(|name| name.to_string_lossy().into_owned());
    let name = name.filter(|name| !name.trim().is_empty()).unwrap_or_else(|| "service".to_owned());
    out.push_str("# What `slackwater lab run lab.toml` does.\n\n");
    let _ = writeln!(out, "name = {}\n", quoted(&name));
}

fn service(out: &mut String, facts: &Facts, placed: &Placed, variables: &Variables) {
    out.push_str("[service]\n");
    if placed.is_listening {
        out.push_str("# {port} becomes a free port at each start.\n");
    }
    let _ = writeln!(out, "command = {}", command(&placed.command));
    for removed in &placed.removed {
        let _ = writeln!(out, "# Left out, as it does not go with being measured: {}", one_line(removed));
    }
    match &facts.directory {
        Some(directory) => {
            let _ = writeln!(out, "directory = {}", quoted(&directory.to_string_lossy()));
        }
        None => out.push_str("directory = \".\"                # counted from this file\n"),
    }
    if !variables.service.is_empty() {
        let _ = writeln!(out, "environment = {}", environment(&variables.service));
    }
    if !variables.hidden.is_empty() {
        out.push_str(
            "# It runs with more variables, whose values may be secrets and are not written here. Every arm\n\
             # has the variables of the shell that runs the experiment; set there what it needs of:\n",
        );
        for names in variables.hidden.chunks(6) {
            let _ = writeln!(
                out,
                "#   {}",
                names.iter().map(|name| one_line(name)).collect::<Vec<_>>().join(" ")
            );
        }
    }
    if placed.is_listening {
        out.push_str(
            "ready = { tcp = true }         # or { http = \"/health\" }, { log = \"Listening at\" }\n",
        );
    }
    out.push_str("ready_within = \"60s\"\nstop_within = \"10s\"\n");
    out.push_str("# memory_limit = \"2GiB\"        # a control group of its own\n");
    if let Some((of_service, _)) = split(&facts.cpus) {
        let _ = writeln!(out, "cpus = {of_service:?}                     # the generator has its own, below");
    }
    out.push('\n');
}

fn load(out: &mut String, is_listening: bool) {
    if !is_listening {
        out.push_str(
            "# No option of this command says where to listen, so it is taken for a script that does its work\n\
             # and ends. For a service, put {port} into the command and write instead:\n\
             #   [load]\n#   model = \"open\"\n#   rate = 20\n#   duration = \"30s\"\n#   [[load.request]]\n\
             #   path = \"/\"\n[load]\nmodel = \"work\"\n\n",
        );
        return;
    }
    out.push_str(
        "[load]\n\
         model = \"open\"                 # requests come at a rate, whether the service keeps up or not\n\
         rate = 20                      # a second; well below what it can do, or latency is that of a queue\n\
         # steps = [{ rate = 10, for = \"20s\" }, { rate = 40, for = \"10s\" }]   # instead of rate and duration\n\
         duration = \"30s\"\n\
         connections = 64\n\
         timeout = \"30s\"\n\n\
         # What is asked: edit this, and add one for each kind of request that matters.\n\
         [[load.request]]\n\
         path = \"/\"                     # {n} counts up, {random:0..100} is a seeded number\n\
         # weight = 3\n\
         # method = \"POST\"\n\
         # headers = { Accept = \"application/json\" }\n\
         # body = \"{}\"                  # or body_file = \"query.json\"\n\
         # expect = { status = 200, contains = \"mean\" }\n\n",
    );
}

fn schedule(out: &mut String, facts: &Facts, is_listening: bool) {
    out.push_str(
        "[schedule]\n\
         repetitions = 5                # 5 tell 30 % surely, 5 % where trials stray by 1 %; 3 are the least\n",
    );
    if is_listening {
        out.push_str(
            "rounds = 2                     # load and idle, twice on the same processes\n\
             warm_up = \"5s\"\n\
             idle = \"12s\"                   # longer than the slowest allocator takes to give back\n",
        );
        if let Some((_, of_load)) = split(&facts.cpus) {
            let _ = writeln!(out, "load_cpus = [{of_load}]");
        }
    }
    out.push('\n');
}

/// The processors of the service, and that of the generator, where there are two.
fn split(cpus: &[usize]) -> Option<(&[usize], usize)> {
    let (last, rest) = cpus.split_last()?;
    (!rest.is_empty()).then_some((rest, *last))
}

fn arms(out: &mut String, facts: &Facts, variables: &Variables) {
    out.push_str(
        "# The first arm is what the others are compared with; it is run once more under another name, to see\n\
         # what comparing a thing with itself shows.\n[[arm]]\n",
    );
    if variables.malloc.is_empty() {
        out.push_str("name = \"glibc\"                  # started as it is\n");
    } else {
        out.push_str("name = \"as it runs\"             # with the malloc that it has today\n");
        let _ = writeln!(out, "environment = {}", environment(&variables.malloc));
    }
    out.push_str("\n[[arm]]\nname = \"slackwater\"\nallocator = \"slackwater\"\n\n");
    let jemalloc = "[[arm]]\nname = \"jemalloc\"\nallocator = \"jemalloc\"\n";
    if facts.allocators.contains(&Allocator::Jemalloc) {
        out.push_str(jemalloc);
    } else {
        out.push_str(
            "# jemalloc is not installed here; Debian and Ubuntu have it in the package libjemalloc2.\n",
        );
        for line in jemalloc.lines() {
            let _ = writeln!(out, "# {line}");
        }
    }
    out.push_str(
        "# bare = true                  # without Slackwater's settings\n\
         # set = { narenas = 1, dirty_decay_ms = 1000 }\n\
         # pymalloc = \"keep\"\n\n",
    );
}

fn limits(out: &mut String) {
    out.push_str(
        "# For `slackwater lab check`, which ends with 1 when one is crossed.\n\
         # [[limit]]\n# measure = \"idle_rss\"\n# arm = \"slackwater\"\n# at_most = \"200MB\"           # or ratio = 0.5, to the first arm\n",
    );
}

/// A text for a comment.
fn one_line(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).collect()
}
