//! The release a C library states in its read-only data: `GNU C Library (...) release version 2.36.`

use slackwater_base::Range;
use slackwater_memory::{FileId, Memory};

use crate::GlibcVersion;

const NAME: &[u8] = b"GNU C Library";
const MARK: &[u8] = b"version ";
/// Longest banner looked at; distributions put their package version into it.
const MAX_BANNER_BYTES: usize = 256;
/// Bytes read at a time.
const STEP_BYTES: u64 = 256 << 10;
/// Most bytes of one map that are searched.
const MAX_MAP_BYTES: u64 = 16 << 20;

/// The release that `file` states. A static executable usually has no banner.
pub(super) fn stated_release(memory: &dyn Memory, file: FileId) -> Option<GlibcVersion> {
    let maps = memory.mappings().iter().filter(|mapping| mapping.file() == Some(file));
    maps.filter(|mapping| mapping.access.read && !mapping.access.write)
        .find_map(|mapping| search(memory, mapping.range))
}

fn search(memory: &dyn Memory, range: Range) -> Option<GlibcVersion> {
    let end = range.end.min(range.start + MAX_MAP_BYTES);
    let mut bytes = Vec::new();
    let mut from = range.start;
    while from < end {
        let len = end.offset_from(from).min(STEP_BYTES + MAX_BANNER_BYTES as u64);
        bytes.resize(len as usize, 0);
        if memory.read(from, &mut bytes).is_ok()
            && let Some(version) = find(&bytes)
        {
            return Some(version);
        }
        from = from + STEP_BYTES;
    }
    None
}

/// The release in the first banner of `bytes`.
fn find(bytes: &[u8]) -> Option<GlibcVersion> {
    let mut rest = bytes;
    while let Some(start) = position(rest, NAME) {
        rest = &rest[start + NAME.len()..];
        let line = &rest[..rest.len().min(MAX_BANNER_BYTES)];
        let line = line.split(|&byte| byte == b'\n' || byte == 0).next().unwrap_or(line);
        if let Some(version) = position(line, MARK).and_then(|mark| parse(&line[mark + MARK.len()..])) {
            return Some(version);
        }
    }
    None
}

fn position(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let first = *wanted.first()?;
    let mut from = 0;
    while let Some(offset) = bytes.get(from..)?.iter().position(|&byte| byte == first) {
        from += offset;
        if bytes[from..].starts_with(wanted) {
            return Some(from);
        }
        from += 1;
    }
    None
}

/// `2.36.`, or `2.42.9000` for the development tree of the release after.
fn parse(text: &[u8]) -> Option<GlibcVersion> {
    let mut numbers = text.split(|&byte| byte == b'.').map(|part| {
        let digits = part.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(part.len());
        std::str::from_utf8(&part[..digits]).ok()?.parse::<u16>().ok()
    });
    let major = numbers.next()??;
    let minor = numbers.next()??;
    let is_development = numbers.next().flatten().is_some_and(|patch| patch >= 9000);
    Some(GlibcVersion { major, minor: minor.checked_add(u16::from(is_development))? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_banners_of_distributions() {
        let check = |text: &str, expected: Option<(u16, u16)>| {
            let found = find(text.as_bytes()).map(|version| (version.major, version.minor));
            assert_eq!(found, expected, "{text}");
        };
        check(
            "xxGNU C Library (Debian GLIBC 2.36-9+deb12u14) stable release version 2.36.\nCop",
            Some((2, 36)),
        );
        check("GNU C Library (GNU libc) development release version 2.42.9000.\n", Some((2, 43)));
        check("GNU C Library stable release version 2.17, by Roland McGrath et al.\n", Some((2, 17)));
        check("GNU C Library manual\0GNU C Library (Gentoo) stable release version 2.41.", Some((2, 41)));
        check("GNU C Library\nversion 9.9", None);
        check("GGNU C Librar", None);
        check("GNU C Library version 99999999.1", None);
    }
}
