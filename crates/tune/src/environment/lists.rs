//! Variables that hold several settings: `MALLOC_CONF` and `GLIBC_TUNABLES`.

/// A list of `key value` pairs, in order. What is no pair is kept as it is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct List {
    entries: Vec<String>,
    syntax: Syntax,
}

/// How a list is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Syntax {
    /// `key:value,key:value`
    Conf,
    /// `key=value:key=value`
    Tunables,
}

impl Syntax {
    const fn between_entries(self) -> char {
        match self {
            Self::Conf => ',',
            Self::Tunables => ':',
        }
    }

    const fn after_key(self) -> char {
        match self {
            Self::Conf => ':',
            Self::Tunables => '=',
        }
    }
}

impl List {
    pub(super) fn parse(text: &str, syntax: Syntax) -> Self {
        let entries = text.split(syntax.between_entries()).filter(|entry| !entry.is_empty());
        Self { entries: entries.map(str::to_owned).collect(), syntax }
    }

    /// The keys, as written.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.split(self.syntax.after_key()).next().unwrap_or(entry))
    }

    /// The value that counts, which is the last.
    pub(super) fn value(&self, key: &str) -> Option<&str> {
        self.entries.iter().rev().find_map(|entry| match entry.split_once(self.syntax.after_key()) {
            Some((found, value)) if found == key => Some(value),
            _ => None,
        })
    }

    /// Takes every entry of `key` out.
    pub(super) fn remove(&mut self, key: &str) {
        let separator = self.syntax.after_key();
        self.entries.retain(|entry| entry.split(separator).next() != Some(key));
    }

    /// Adds an entry at the end, in place of all others of its key.
    pub(super) fn set(&mut self, key: &str, value: &str) {
        self.remove(key);
        self.entries.push(format!("{key}{}{value}", self.syntax.after_key()));
    }

    /// The text of the variable; `None` when nothing is left.
    pub(super) fn text(&self) -> Option<String> {
        let separator = String::from(self.syntax.between_entries());
        (!self.entries.is_empty()).then(|| self.entries.join(&separator))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_keeps_what_it_is_not_asked_to_change() {
        let mut list = List::parse("narenas:4,odd,thp:never,narenas:2,", Syntax::Conf);
        assert_eq!(list.value("narenas"), Some("2"));
        assert_eq!(list.value("odd"), None);
        assert_eq!(list.keys().collect::<Vec<_>>(), ["narenas", "odd", "thp", "narenas"]);
        list.set("narenas", "1");
        assert_eq!(list.text().as_deref(), Some("odd,thp:never,narenas:1"));
    }

    #[test]
    fn an_emptied_list_is_no_variable() {
        let mut list = List::parse("glibc.malloc.arena_max=2", Syntax::Tunables);
        assert_eq!(list.value("glibc.malloc.arena_max"), Some("2"));
        list.remove("glibc.malloc.arena_max");
        assert_eq!(list.text(), None);
    }
}
