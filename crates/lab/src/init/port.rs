//! Where a command says which port to listen on: `{port}` is put there.

/// A command that listens where it is told, if that could be told.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placed {
    /// Program and arguments, with `{port}`.
    pub command: Vec<String>,
    /// Whether `{port}` is in it.
    pub is_listening: bool,
    /// Whether an option was added, as it had none: the last two words.
    pub is_added: bool,
    /// What was left out.
    pub removed: Vec<String>,
}

/// A server, and how it is told where to listen.
struct Server {
    /// The program's name, or the module behind `-m`.
    name: &'static str,
    /// Options that take an address with a port, or a socket.
    address: &'static [&'static str],
    /// Options that take a port alone.
    port: &'static [&'static str],
    /// Options that do not go with being measured, and whether a value follows.
    unfit: &'static [(&'static str, bool)],
}

const SERVERS: &[Server] = &[
    Server {
        name: "gunicorn",
        address: &["--bind", "-b"],
        port: &[],
        unfit: &[("--daemon", false), ("-D", false), ("--reload", false), ("--pid", true), ("-p", true)],
    },
    Server {
        name: "uvicorn",
        address: &[],
        port: &["--port"],
        unfit: &[("--reload", false), ("--uds", true), ("--fd", true)],
    },
    Server {
        name: "hypercorn",
        address: &["--bind", "-b"],
        port: &[],
        unfit: &[("--daemon", false), ("--reload", false), ("--pid", true), ("-p", true)],
    },
    Server { name: "granian", address: &[], port: &["--port"], unfit: &[("--reload", false)] },
    Server { name: "waitress-serve", address: &["--listen"], port: &["--port"], unfit: &[] },
    Server { name: "daphne", address: &[], port: &["--port", "-p"], unfit: &[] },
    Server { name: "flask", address: &[], port: &["--port", "-p"], unfit: &[("--reload", false)] },
];

/// Puts `{port}` where `command` says which port to listen on; a server that is known and says nothing
/// is told.
pub fn place_port(command: &[String]) -> Placed {
    let known = SERVERS.iter().find_map(|server| {
        let at = command.iter().take(4).position(|word| is_called(word, server.name))?;
        Some((server.name, at))
    });
    let Some((name, at)) = known.filter(|_| !has_port(command)) else {
        return Placed {
            command: command.to_vec(),
            is_listening: has_port(command),
            is_added: false,
            removed: Vec::new(),
        };
    };
    let mut placed = place_in_arguments(name, &command[at + 1..]);
    placed.command.splice(0..0, command[..=at].iter().cloned());
    if !placed.is_listening {
        let server = SERVERS.iter().find(|server| server.name == name);
        let address = server.and_then(|server| server.address.first());
        let added = match address {
            Some(option) => [(*option).to_owned(), "127.0.0.1:{port}".to_owned()],
            None => ["--port".to_owned(), "{port}".to_owned()],
        };
        placed.command.extend(added);
        (placed.is_listening, placed.is_added) = (true, true);
    }
    placed
}

/// The same in the arguments of the server called `name`; nothing is added.
pub(super) fn place_in_arguments(name: &str, arguments: &[String]) -> Placed {
    let mut placed =
        Placed { command: Vec::new(), is_listening: false, is_added: false, removed: Vec::new() };
    let Some(server) = SERVERS.iter().find(|server| server.name == name) else {
        placed.command = arguments.to_vec();
        return placed;
    };
    let mut words = arguments.iter().peekable();
    while let Some(word) = words.next() {
        let told = [(server.address, "127.0.0.1:{port}"), (server.port, "{port}")];
        let taken = told.into_iter().find_map(|(options, value)| {
            options.iter().find_map(|option| Some((*option, attached(word, option)?, value)))
        });
        if let Some((option, form, value)) = taken {
            if matches!(form, Form::Apart) {
                words.next();
            }
            // It may listen at several places; one is asked.
            if !placed.is_listening {
                match form {
                    Form::Apart => placed.command.extend([option.to_owned(), value.to_owned()]),
                    Form::Equals => placed.command.push(format!("{option}={value}")),
                    Form::Joined => placed.command.push(format!("{option}{value}")),
                }
                placed.is_listening = true;
            }
            continue;
        }
        let unfit = server.unfit.iter().find(|(option, _)| {
            word == option || word.strip_prefix(option).is_some_and(|rest| rest.starts_with('='))
        });
        match unfit {
            Some((option, has_value)) => {
                placed.removed.push((*option).to_owned());
                if *has_value && word == option {
                    words.next();
                }
            }
            None => placed.command.push(word.clone()),
        }
    }
    placed
}

/// How an option has its value.
enum Form {
    /// In the next word.
    Apart,
    /// `--port=1`.
    Equals,
    /// `-b:8000`.
    Joined,
}

fn attached(word: &str, option: &str) -> Option<Form> {
    let rest = word.strip_prefix(option)?;
    match rest.as_bytes().first() {
        None => Some(Form::Apart),
        Some(b'=') => Some(Form::Equals),
        Some(_) if option.starts_with("--") => None,
        Some(_) => Some(Form::Joined),
    }
}

fn is_called(word: &str, name: &str) -> bool {
    word.rsplit('/').next() == Some(name)
}

fn has_port(command: &[String]) -> bool {
    command.iter().any(|word| word.contains("{port}"))
}
