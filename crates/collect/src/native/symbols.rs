//! The names of one file's functions.
//!
//! Invariant: a name is given only to an address within its function, as the symbol tables have it.

use slackwater_remote::ElfFile;

/// How far a symbol without a size reaches at most: labels in assembler.
const UNSIZED_BYTES: u64 = 4096;

#[derive(Clone, Copy, Debug)]
struct Symbol {
    address: u64,
    bytes: u64,
    name: (u32, u32),
}

/// The functions of a file, by address.
#[derive(Debug)]
pub(crate) struct Symbols {
    sorted: Vec<Symbol>,
    names: Vec<u8>,
}

impl Symbols {
    /// Those that any of these files has.
    pub(crate) fn of<'a>(files: impl IntoIterator<Item = &'a ElfFile>) -> Self {
        let mut names = Vec::new();
        let mut sorted = Vec::new();
        for elf in files {
            elf.functions(|name, address, bytes| {
                let at = names.len() as u32;
                names.extend_from_slice(name);
                sorted.push(Symbol { address, bytes, name: (at, names.len() as u32) });
            });
        }
        let mut symbols = Self { sorted, names };
        symbols.sort();
        symbols
    }

    /// By address; of several names for one place the plainest comes last, where it is looked for first.
    fn sort(&mut self) {
        let names = std::mem::take(&mut self.names);
        let name = |symbol: &Symbol| &names[symbol.name.0 as usize..symbol.name.1 as usize];
        self.sorted.sort_by(|one, other| {
            let underscores = |name: &[u8]| name.iter().take_while(|&&byte| byte == b'_').count();
            let rank = |symbol: &Symbol| {
                let name = name(symbol);
                (symbol.address, symbol.bytes > 0, usize::MAX - underscores(name), usize::MAX - name.len())
            };
            rank(one).cmp(&rank(other)).then_with(|| name(other).cmp(name(one)))
        });
        self.names = names;
    }

    /// The name of the function at `address`.
    pub(crate) fn at(&self, address: u64) -> Option<String> {
        let after = self.sorted.partition_point(|symbol| symbol.address <= address);
        let symbol = self.sorted[..after].last()?;
        let end = match symbol.bytes {
            0 => {
                let next = self.sorted.get(after).map_or(u64::MAX, |next| next.address);
                next.min(symbol.address.saturating_add(UNSIZED_BYTES))
            }
            bytes => symbol.address.saturating_add(bytes),
        };
        let name = self.names.get(symbol.name.0 as usize..symbol.name.1 as usize)?;
        (address < end).then(|| String::from_utf8_lossy(name).into_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbols(list: &[(u64, u64, &str)]) -> Symbols {
        let mut names = Vec::new();
        let mut sorted = Vec::new();
        for &(address, bytes, name) in list {
            let at = names.len() as u32;
            names.extend_from_slice(name.as_bytes());
            sorted.push(Symbol { address, bytes, name: (at, names.len() as u32) });
        }
        let mut symbols = Symbols { sorted, names };
        symbols.sort();
        symbols
    }

    #[test]
    fn an_address_has_the_name_of_the_function_around_it() {
        let symbols = symbols(&[
            (0x2000, 0x10, "second"),
            (0x1000, 0x80, "__first"),
            (0x1000, 0x80, "first"),
            (0x1000, 0, "label"),
            (0x3000, 0, "start"),
        ]);
        let check = |address: u64, expected: Option<&str>| {
            assert_eq!(symbols.at(address).as_deref(), expected, "{address:#x}");
        };
        check(0xfff, None);
        check(0x1000, Some("first"));
        check(0x107f, Some("first"));
        check(0x1080, None);
        check(0x200f, Some("second"));
        check(0x2010, None);
        check(0x3fff, Some("start"));
        check(0x4000, None);
    }
}
