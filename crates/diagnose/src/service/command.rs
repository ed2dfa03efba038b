//! What a process runs, told from its arguments: the program, the app, and its place in a known
//! server.
//!
//! Invariant: of argv, only the program's name, the script's or module's name and the app's name
//! ever leave this file. Values of other arguments may be secrets.

use std::fmt;

/// What a process runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Command {
    /// The server or program: `gunicorn`, `uvicorn`, `app.py`, `python3`, `ffmpeg`.
    pub program: String,
    /// What it serves: `app:app`, a celery project.
    pub app: Option<String>,
    /// How it was started.
    pub form: Form,
    /// Whether a Python interpreter runs it, or a server that is known to embed one.
    pub python: bool,
}

/// How a process was started, as far as its arguments say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// A program or script of its own.
    Plain,
    /// It has renamed itself and says that it is the master.
    TitledMaster,
    /// It has renamed itself and says that it is a worker.
    TitledWorker,
    /// A child that multiprocessing spawned.
    Spawned,
    /// The process that forks children for multiprocessing.
    ForkServer,
    /// multiprocessing's resource tracker.
    Tracker,
}

impl Command {
    /// Reads the arguments of a process.
    pub fn of(comm: &str, exe: Option<&str>, argv: &[String]) -> Self {
        let first = argv.first().map_or("", String::as_str);
        if let Some(titled) = titled(first) {
            return titled;
        }
        let python = exe.map_or_else(|| is_python(file_name(first)), |exe| is_python(file_name(exe)));
        if !python {
            let program = if first.is_empty() { comm } else { file_name(first) };
            let program = safe(program.split(' ').next().unwrap_or(program));
            let python = program == "uwsgi";
            return Self { program, app: None, form: Form::Plain, python };
        }
        // A renamed process: its title may be anything, so only the kernel's name for it is kept.
        if !is_python(file_name(first)) && !first.starts_with('/') && first.contains([' ', ':', '[']) {
            let program = safe(comm.split([' ', ':']).next().unwrap_or(comm));
            return Self { program, app: None, form: Form::Plain, python };
        }
        interpreter(argv)
    }
}

impl Command {
    /// Whether more than an interpreter is named: a prompt's children are not its workers.
    pub fn runs_a_program(&self) -> bool {
        !self.python || !is_python(&self.program)
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.program)?;
        match self.form {
            Form::Tracker => f.write_str(" resource tracker")?,
            Form::ForkServer => f.write_str(" fork server")?,
            Form::Spawned => f.write_str(" spawned child")?,
            _ => {}
        }
        self.app.as_ref().map_or(Ok(()), |app| write!(f, " {app}"))
    }
}

/// The titles that known servers give themselves.
fn titled(title: &str) -> Option<Command> {
    let command = |program: &str, app: Option<&str>, form| {
        let app = app.map(|app| app.trim_matches(['[', ']'])).filter(|app| is_app(app)).map(str::to_owned);
        Some(Command { program: program.to_owned(), app, form, python: true })
    };
    if let Some(rest) = title.strip_prefix("gunicorn: ") {
        let (word, app) = rest.split_once(' ').unwrap_or((rest, ""));
        return match word {
            "master" => command("gunicorn", Some(app), Form::TitledMaster),
            "worker" => command("gunicorn", Some(app), Form::TitledWorker),
            _ => command("gunicorn", None, Form::Plain),
        };
    }
    if title.starts_with("[celeryd: ") {
        let form = if title.contains(":MainProcess]") { Form::TitledMaster } else { Form::TitledWorker };
        return command("celery", None, form);
    }
    let rest = title.strip_prefix("uWSGI ")?;
    match rest.split(' ').next() {
        Some("master") => command("uwsgi", None, Form::TitledMaster),
        Some("worker") => command("uwsgi", None, Form::TitledWorker),
        _ => command("uwsgi", None, Form::Plain),
    }
}

/// Reads the command line of a Python interpreter.
fn interpreter(argv: &[String]) -> Command {
    let name = argv.first().map_or("python", |first| file_name(first));
    let plain = |program: &str, rest: &[String]| {
        let program = safe(program);
        let app = app_of(&program, rest);
        Command { program, app, form: Form::Plain, python: true }
    };
    // A console script whose interpreter does not show, as when the server is embedded.
    if !is_python(name) {
        return plain(name, argv.get(1..).unwrap_or_default());
    }
    let mut index = 1;
    while let Some(argument) = argv.get(index) {
        let rest = argv.get(index + 1..).unwrap_or_default();
        let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) else {
            return plain(file_name(argument), rest);
        };
        index += 1;
        if letters.starts_with('-') {
            // The only long option with a separate value.
            index += usize::from(letters == "-check-hash-based-pycs");
            continue;
        }
        // Letters may be joined; the first one that takes a value takes the rest, or the next word.
        let Some(at) = letters.find(['c', 'm', 'W', 'X']) else { continue };
        let (letter, joined) = letters.split_at(at).1.split_at(1);
        let value = if joined.is_empty() { rest.first().map_or("", String::as_str) } else { joined };
        let after = if joined.is_empty() { rest.get(1..).unwrap_or_default() } else { rest };
        match letter {
            "m" => return plain(value, after),
            "c" => return code(name, value),
            _ => index += usize::from(joined.is_empty()),
        }
    }
    Command { program: safe(name), app: None, form: Form::Plain, python: true }
}

/// `python -c CODE`. The code is never shown; multiprocessing's own is recognised.
fn code(interpreter: &str, code: &str) -> Command {
    let form = if code.starts_with("from multiprocessing.resource_tracker import main")
        || code.starts_with("from multiprocessing.semaphore_tracker import main")
    {
        Form::Tracker
    } else if code.starts_with("from multiprocessing.spawn import spawn_main") {
        Form::Spawned
    } else if code.starts_with("from multiprocessing.forkserver import main") {
        Form::ForkServer
    } else {
        Form::Plain
    };
    let program = if form == Form::Plain { format!("{} -c", safe(interpreter)) } else { safe(interpreter) };
    Command { program, app: None, form, python: true }
}

/// Options of servers that take no value, so that an app may follow them.
const FLAGS: [&str; 9] = [
    "--reload",
    "--preload",
    "--daemon",
    "-D",
    "--factory",
    "--no-access-log",
    "--proxy-headers",
    "-R",
    "--",
];

/// The app in a known server's arguments: where only an app can stand, and shaped like one.
fn app_of(program: &str, arguments: &[String]) -> Option<String> {
    match program {
        "celery" => {
            let at = arguments.iter().position(|argument| argument == "-A" || argument == "--app")?;
            arguments.get(at + 1).filter(|app| is_app(app)).cloned()
        }
        "gunicorn" | "uvicorn" | "hypercorn" | "daphne" | "granian" => {
            let mut before = "";
            for argument in arguments {
                let positional = !before.starts_with('-') || before.contains('=') || FLAGS.contains(&before);
                if positional && is_app(argument) && (argument.contains(':') || before.is_empty()) {
                    return Some(argument.clone());
                }
                before = argument;
            }
            None
        }
        _ => None,
    }
}

/// `module.sub:attribute`, `module:factory()`, or a dotted module alone.
fn is_app(text: &str) -> bool {
    let dotted = |part: &str| {
        part.split('.').all(|name| {
            !name.starts_with(|c: char| c.is_ascii_digit())
                && !name.is_empty()
                && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        })
    };
    let (module, attribute) = text.split_once(':').unwrap_or((text, "app"));
    text.len() <= 100 && dotted(module) && dotted(attribute.strip_suffix("()").unwrap_or(attribute))
}

/// Whether a file of this name is a Python interpreter.
fn is_python(name: &str) -> bool {
    let rest = name.strip_prefix("python").or_else(|| name.strip_prefix("pypy"));
    rest.is_some_and(|rest| rest.chars().all(|c| c.is_ascii_digit() || ".tdm-bg".contains(c)))
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// At most 64 characters, none of which moves a terminal's cursor or turns its writing direction.
fn safe(name: &str) -> String {
    let plain = |c: char| {
        !c.is_control()
            && !matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    name.chars().take(64).map(|c| if plain(c) { c } else { '\u{fffd}' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(line: &str) -> String {
        let argv: Vec<String> = line.split('|').map(str::to_owned).collect();
        Command::of("comm", Some("/usr/bin/python3.11"), &argv).to_string()
    }

    #[test]
    fn shows_the_program_and_its_app() {
        let check = |line: &str, expected: &str| assert_eq!(shown(line), expected, "{line}");
        check("/v/bin/python3|/v/bin/gunicorn|-w|4|-b|0.0.0.0:80|shop.wsgi:app", "gunicorn shop.wsgi:app");
        check("/v/bin/python3|/v/bin/gunicorn|--preload|shop:create()|-w|4", "gunicorn shop:create()");
        check("python|-m|uvicorn|app:asgi|--workers|2", "uvicorn app:asgi");
        check("python3|-X|dev|-Wignore|-um|uvicorn|app:asgi", "uvicorn app:asgi");
        check("python3.11|/srv/app.py|--verbose", "app.py");
        check("/v/bin/python|/v/bin/celery|-A|proj|worker|-l|info", "celery proj");
        check("gunicorn: worker [shop:app]", "gunicorn shop:app");
        check("[celeryd: celery@host:ForkPoolWorker-1]", "celery");
        check("python3|-Ic|import os", "python3 -c");
        check("python3", "python3");
        check(
            "python3|-c|from multiprocessing.spawn import spawn_main; spawn_main(pipe_handle=7)",
            "python3 spawned child",
        );
    }

    #[test]
    fn never_shows_the_values_of_other_arguments() {
        for line in [
            "python|app.py|--token|hunter2",
            "python|app.py|hunter2",
            "python|-c|password='hunter2'",
            "python|-m|gunicorn|--auth|root:hunter2|app:app",
            "python|-m|gunicorn|-e|KEY=hunter2|app:app",
            "python|-m|uvicorn|--ssl-keyfile-password|hunter2|app:app",
            "python|-m|gunicorn|-b|0.0.0.0:80|hunter2",
            "python|-X|hunter2|app.py",
            "python|--check-hash-based-pycs|hunter2|app.py",
            "job runner: token hunter2",
            "gunicorn: worker [hunter2 /secret]",
            "/usr/bin/python3|-mapp|hunter2",
        ] {
            assert!(!shown(line).contains("hunter2"), "{line}: {}", shown(line));
        }
    }

    #[test]
    fn hostile_names_cannot_write_on_the_terminal() {
        assert!(!shown("python|\u{1b}[2J\u{202e}evil.py").contains(['\u{1b}', '\u{202e}']));
        assert!(shown(&format!("python|{}", "x".repeat(5000))).len() < 100);
    }
}
