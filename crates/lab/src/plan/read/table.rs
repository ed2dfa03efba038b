//! Tables and values of the file that is being read: each knows its line and its name.
//!
//! Invariant: a key that is not in a table's list never gets past [`Value::table`].

use std::collections::BTreeMap;
use std::time::Duration;

use slackwater_base::{Bytes, parse_duration};
use slackwater_tune::nearest;
use toml::Spanned;
use toml::de::{DeString, DeTable, DeValue};

use crate::plan::PlanError;

type Parsed<T> = Result<T, PlanError>;

/// The keys of one table, all of them known.
pub(super) struct Table<'t> {
    /// How messages call it: `[service]`.
    pub(super) place: String,
    /// Where it begins.
    pub(super) line: usize,
    values: Vec<Value<'t>>,
}

/// One value, with its name.
#[derive(Clone)]
pub(super) struct Value<'t> {
    /// The key with the tables around it, as messages say it: `service.ready.http`.
    pub(super) path: String,
    /// The key alone.
    pub(super) key: String,
    /// Its line, from 1.
    pub(super) line: usize,
    text: &'t str,
    value: &'t DeValue<'t>,
}

/// The whole file.
pub(super) fn document<'t>(
    text: &'t str,
    root: &'t Spanned<DeTable<'t>>,
    keys: &'static [&'static str],
) -> Parsed<Table<'t>> {
    known(entries(text, "", root.get_ref()), "the plan".to_owned(), 1, keys)
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &[u8], at: usize) -> usize {
    1 + text[..at.min(text.len())].iter().filter(|&&byte| byte == b'\n').count()
}

/// The values of a table in the order in which they were written.
fn entries<'t>(text: &'t str, path: &str, table: &'t DeTable<'t>) -> Vec<Value<'t>> {
    let mut entries: Vec<(&Spanned<DeString>, &Spanned<DeValue>)> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    let named = |(key, value): (&'t Spanned<DeString>, &'t Spanned<DeValue>)| {
        let key_text = key.get_ref().to_string();
        let path = if path.is_empty() { key_text.clone() } else { format!("{path}.{key_text}") };
        let line = line_of(text.as_bytes(), key.span().start);
        Value { path, key: key_text, line, text, value: value.get_ref() }
    };
    entries.into_iter().map(named).collect()
}

fn known<'t>(
    values: Vec<Value<'t>>,
    place: String,
    line: usize,
    keys: &'static [&'static str],
) -> Parsed<Table<'t>> {
    match values.iter().find(|value| !keys.contains(&value.key.as_str())) {
        None => Ok(Table { place, line, values }),
        Some(wrong) => Err(PlanError::UnknownKey {
            line: wrong.line,
            place,
            key: shown(&wrong.key),
            nearest: nearest(&wrong.key, keys.iter().copied()),
            keys,
        }),
    }
}

/// A text of the file in a message: whole if it is short, on one line, without control characters.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let short: String = text.chars().take(MOST).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST).is_some() { format!("{short}...") } else { short }
}

impl<'t> Table<'t> {
    /// The value of `key`, if it is there.
    pub(super) fn get(&self, key: &'static str) -> Option<Value<'t>> {
        self.values.iter().find(|value| value.key == key).cloned()
    }

    /// The value of `key`, which has to be there.
    pub(super) fn need(&self, key: &'static str, accepted: &'static str) -> Parsed<Value<'t>> {
        self.get(key).ok_or_else(|| PlanError::Missing {
            line: self.line,
            place: self.place.clone(),
            key,
            accepted,
        })
    }

    /// Its values, in the order of the file.
    pub(super) fn values(&self) -> &[Value<'t>] {
        &self.values
    }
}

impl<'t> Value<'t> {
    /// The refusal of this value.
    pub(super) fn refuse(&self, accepted: impl Into<String>) -> PlanError {
        let found = match self.value {
            DeValue::String(text) => format!("'{}'", shown(text)),
            DeValue::Integer(number) => shown(&number.to_string()),
            DeValue::Float(number) => shown(number.as_str()),
            DeValue::Boolean(on) => on.to_string(),
            DeValue::Datetime(_) => "a date".to_owned(),
            DeValue::Array(array) if array.is_empty() => "an empty list".to_owned(),
            DeValue::Array(_) => "a list".to_owned(),
            DeValue::Table(_) => "a table".to_owned(),
        };
        PlanError::Value { line: self.line, key: shown(&self.path), found, accepted: accepted.into() }
    }

    /// What contradicts something else.
    pub(super) fn conflict(&self, what: impl Into<String>, hint: impl Into<String>) -> PlanError {
        PlanError::Conflict { line: self.line, what: what.into(), hint: hint.into() }
    }

    /// A table with these keys and no others.
    pub(super) fn table(&self, keys: &'static [&'static str]) -> Parsed<Table<'t>> {
        let values = self.open("a table")?;
        known(values, self.place(), self.line, keys)
    }

    /// A table whose keys are names of the user's own.
    pub(super) fn open(&self, accepted: &str) -> Parsed<Vec<Value<'t>>> {
        match self.value {
            DeValue::Table(table) => Ok(entries(self.text, &self.path, table)),
            _ => Err(self.refuse(accepted)),
        }
    }

    fn place(&self) -> String {
        format!("[{}]", shown(&self.path))
    }

    /// A list, each of whose values has the name of the list.
    pub(super) fn list(&self, accepted: &str) -> Parsed<Vec<Value<'t>>> {
        let DeValue::Array(array) = self.value else { return Err(self.refuse(accepted)) };
        let item = |item: &'t Spanned<DeValue<'t>>| Value {
            line: line_of(self.text.as_bytes(), item.span().start),
            value: item.get_ref(),
            ..self.clone()
        };
        Ok(array.iter().map(item).collect())
    }

    /// A list of at least one.
    pub(super) fn filled_list(&self, accepted: &str) -> Parsed<Vec<Value<'t>>> {
        let list = self.list(accepted)?;
        if list.is_empty() { Err(self.refuse(accepted)) } else { Ok(list) }
    }

    /// The text of a string without NUL, which no program and no environment takes.
    pub(super) fn string(&self, accepted: &str) -> Parsed<&'t str> {
        match self.value {
            DeValue::String(text) if !text.contains('\0') => Ok(text),
            _ => Err(self.refuse(accepted)),
        }
    }

    /// Whether it is a string.
    pub(super) fn is_string(&self) -> bool {
        self.value.is_str()
    }

    /// A string with something in it.
    pub(super) fn filled(&self, accepted: &str) -> Parsed<&'t str> {
        let text = self.string(accepted)?;
        if text.trim().is_empty() { Err(self.refuse(accepted)) } else { Ok(text) }
    }

    /// `true` or `false`.
    pub(super) fn switch(&self) -> Parsed<bool> {
        self.value.as_bool().ok_or_else(|| self.refuse("true or false"))
    }

    /// One of a set of words.
    pub(super) fn one_of<T: Copy>(&self, all: &[T], key: impl Fn(T) -> &'static str) -> Parsed<T> {
        let keys = || all.iter().map(|&one| key(one));
        let accepted = || format!("one of {}", keys().collect::<Vec<_>>().join(", "));
        let typed = self.string(&accepted())?;
        all.iter().copied().find(|&one| key(one) == typed).ok_or_else(|| match nearest(typed, keys()) {
            Some(nearest) => self.refuse(format!("{}: did you mean {nearest}?", accepted())),
            None => self.refuse(accepted()),
        })
    }

    /// A whole number in a range.
    pub(super) fn whole(&self, least: u64, most: u64) -> Parsed<u64> {
        let number = match self.value {
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        number.filter(|number| (least..=most).contains(number)).ok_or_else(|| {
            self.refuse(if most == u64::MAX {
                format!("a whole number, {least} or more")
            } else {
                format!("a whole number from {least} to {most}")
            })
        })
    }

    /// A whole number in a range, as a count.
    pub(super) fn count(&self, least: usize, most: usize) -> Parsed<usize> {
        self.whole(least as u64, most as u64).map(|number| number as usize)
    }

    /// A number above zero, at most `most`.
    pub(super) fn above_zero(&self, most: f64) -> Parsed<f64> {
        let text = match self.value {
            DeValue::Integer(number) if number.radix() == 10 => number.as_str(),
            DeValue::Float(number) => number.as_str(),
            _ => "",
        };
        let number = text.parse::<f64>().ok().filter(|&number| number > 0.0 && number <= most);
        number.ok_or_else(|| self.refuse(format!("a number above zero, at most {most}")))
    }

    /// A time from `least` on, a day at the most.
    pub(super) fn duration(&self, least: Duration) -> Parsed<Duration> {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        let accepted = || match least.as_millis() {
            0 => "a time such as \"500ms\", \"30s\" or \"2m\", in quotes, at most \"24h\"".to_owned(),
            least => format!("a time such as \"30s\" or \"2m\", in quotes, from \"{least}ms\" to \"24h\""),
        };
        let read = match self.value {
            DeValue::String(text) => parse_duration(text).ok(),
            _ => None,
        };
        read.filter(|time| (least..=DAY).contains(time)).ok_or_else(|| self.refuse(accepted()))
    }

    /// A number of bytes from `least` on.
    pub(super) fn bytes(&self, least: u64) -> Parsed<u64> {
        let read = match self.value {
            DeValue::String(text) => text.parse::<Bytes>().ok().map(|bytes| bytes.0),
            DeValue::Integer(number) => u64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        read.filter(|&bytes| bytes >= least).ok_or_else(|| {
            self.refuse(format!("a size such as \"200MB\" or \"2GiB\", {least} bytes or more"))
        })
    }

    /// A string, number or switch, as a variable or a setting is written.
    pub(super) fn written(&self) -> Parsed<String> {
        const ACCEPTED: &str = "a text, a number, true or false";
        match self.value {
            DeValue::String(_) => self.string(ACCEPTED).map(str::to_owned),
            DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
            DeValue::Float(number) => Ok(number.as_str().to_owned()),
            DeValue::Boolean(on) => Ok(on.to_string()),
            _ => Err(self.refuse(ACCEPTED)),
        }
    }

    /// A command: words as a shell splits them, or a list of words.
    pub(super) fn command(&self) -> Parsed<Vec<String>> {
        const ACCEPTED: &str = "a command: a text that is split as a shell would, or a list of texts";
        let words = if self.is_string() {
            shlex::split(self.string(ACCEPTED)?).ok_or_else(|| {
                self.refuse(format!("{ACCEPTED}; here a quotation mark or a backslash is left open"))
            })?
        } else {
            let word = |item: &Value| item.string(ACCEPTED).map(str::to_owned);
            self.list(ACCEPTED)?.iter().map(word).collect::<Parsed<_>>()?
        };
        match words.first() {
            Some(program) if !program.is_empty() => Ok(words),
            _ => Err(self.refuse(ACCEPTED)),
        }
    }

    /// Variables and their values.
    pub(super) fn environment(&self) -> Parsed<BTreeMap<String, String>> {
        let variables = self.open("a table of variables, such as { LOG_LEVEL = \"warning\" }")?;
        variables.iter().map(|value| Ok((value.variable()?, value.written()?))).collect()
    }

    /// Its key, as the name of a variable.
    pub(super) fn variable(&self) -> Parsed<String> {
        if self.key.is_empty() || self.key.contains(['=', '\0']) {
            return Err(self.conflict(
                format!("'{}' cannot be the name of a variable", shown(&self.key)),
                "a variable has a name without =",
            ));
        }
        Ok(self.key.clone())
    }

    /// Numbers of processors, each once.
    pub(super) fn cpus(&self) -> Parsed<Vec<usize>> {
        const ACCEPTED: &str = "a list of processors by number, such as [0, 1], each once";
        let mut cpus = Vec::new();
        for item in self.filled_list(ACCEPTED)? {
            let cpu = item.count(0, 4095)?;
            if cpus.contains(&cpu) {
                return Err(item.refuse(ACCEPTED));
            }
            cpus.push(cpu);
        }
        Ok(cpus)
    }
}
