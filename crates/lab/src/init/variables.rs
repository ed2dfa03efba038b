//! The variables of a running service: what may be written down, and what may be a secret.

use std::collections::BTreeMap;

/// Variables, by where they go.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Variables {
    /// What decides how the service runs, in every arm.
    pub service: BTreeMap<String, String>,
    /// What decides its malloc: of the arm that it runs as today.
    pub malloc: BTreeMap<String, String>,
    /// The names of all others.
    pub hidden: Vec<String>,
}

const MALLOC: &[&str] = &[
    "MALLOC_",
    "LD_PRELOAD",
    "GLIBC_TUNABLES",
    "MIMALLOC_",
    "TCMALLOC_",
    "SLACKWATER_",
    "PYTHONMALLOC",
    "_RJEM_MALLOC_CONF",
];
const SERVICE: &[&str] = &["PYTHON", "GUNICORN_", "UVICORN_", "WEB_CONCURRENCY", "VIRTUAL_ENV"];
/// What a shell gives to everything says nothing about a service.
const OF_EVERY_SHELL: &[&str] = &[
    "_",
    "COLORTERM",
    "EDITOR",
    "HISTCONTROL",
    "HISTSIZE",
    "HOME",
    "HOSTNAME",
    "LANG",
    "LESSCLOSE",
    "LESSOPEN",
    "LOGNAME",
    "LS_COLORS",
    "MAIL",
    "OLDPWD",
    "PATH",
    "PS1",
    "PWD",
    "SHELL",
    "SHLVL",
    "TERM",
    "TMPDIR",
    "USER",
];
/// A name that says so is a secret whatever it begins with.
const SECRET: &[&str] = &["SECRET", "PASSW", "TOKEN", "KEY", "CREDENTIAL"];

/// Sorts the variables of a service.
pub fn sort_variables(environment: &BTreeMap<String, String>) -> Variables {
    let mut sorted = Variables::default();
    for (name, value) in environment {
        let begins = |words: &[&str]| words.iter().any(|word| name.starts_with(word));
        let is_secret = SECRET.iter().any(|word| name.to_uppercase().contains(word));
        // What no plan can hold cannot be set either.
        let is_sound = !name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0');
        if begins(MALLOC) && !is_secret && is_sound {
            sorted.malloc.insert(name.clone(), value.clone());
        } else if begins(SERVICE) && !is_secret && is_sound {
            sorted.service.insert(name.clone(), value.clone());
        } else if !OF_EVERY_SHELL.contains(&name.as_str()) && !name.starts_with("LC_") && is_sound {
            sorted.hidden.push(name.clone());
        }
    }
    sorted
}
