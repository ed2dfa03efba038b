//! Fields of a line of /proc, as bytes: names in it may be any bytes but NUL.

use std::borrow::Cow;

/// The next field up to a space or tab, and what follows it without leading blanks.
pub(crate) fn next(line: &[u8]) -> (&[u8], &[u8]) {
    let line = line.trim_ascii_start();
    let end = line.iter().position(|byte| matches!(byte, b' ' | b'\t')).unwrap_or(line.len());
    let (field, rest) = line.split_at(end);
    (field, rest.trim_ascii_start())
}

/// A number in base 10.
pub(crate) fn decimal(field: &[u8]) -> Option<u64> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// A number in base 16, without prefix.
pub(crate) fn hex(field: &[u8]) -> Option<u64> {
    if field.is_empty() || field[0] == b'+' {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(field).ok()?, 16).ok()
}

/// `key: value` split at the first colon, the value trimmed.
pub(crate) fn key_value(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    Some((&line[..colon], line[colon + 1..].trim_ascii()))
}

/// `1234 kB` in bytes.
pub(crate) fn kilobytes(value: &[u8]) -> Option<u64> {
    decimal(next(value).0)?.checked_mul(1024)
}

/// A name as the kernel's `mangle_path` writes it, with its `\ooo` escapes undone.
///
/// A literal `\012` in a file's name looks the same as an escaped line feed: whoever opens the file
/// must check its identity anyway.
pub(crate) fn unescape(name: &[u8]) -> Cow<'_, [u8]> {
    if !name.contains(&b'\\') {
        return Cow::Borrowed(name);
    }
    let mut plain = Vec::with_capacity(name.len());
    let mut rest = name;
    while let Some((&byte, tail)) = rest.split_first() {
        match tail {
            [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', after @ ..] if byte == b'\\' => {
                plain.push((a - b'0') << 6 | (b - b'0') << 3 | (c - b'0'));
                rest = after;
            }
            _ => {
                plain.push(byte);
                rest = tail;
            }
        }
    }
    Cow::Owned(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_and_stray_backslashes_stay() {
        let check = |name: &[u8], plain: &[u8]| assert_eq!(&*unescape(name), plain);
        check(b"/a b", b"/a b");
        check(b"/a\\012b", b"/a\nb");
        check(b"/a\\040\\377", b"/a \xff");
        check(b"/a\\", b"/a\\");
        check(b"/a\\01", b"/a\\01");
        check(b"/a\\999", b"/a\\999");
    }
}
