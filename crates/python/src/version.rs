//! Which release of CPython an image holds.
//!
//! 3.11 and later export `Py_Version`. Before, the text of `sys.version` tells: every interpreter
//! formats it into a static buffer while it starts.

use slackwater_base::Addr;
use slackwater_layout::cpython::PythonVersion;
use slackwater_memory::{Memory, MemoryError, MemoryExt, Symbols};

use crate::image::PythonImage;
use crate::scan::find_word;

/// Bytes of the text that are looked at: version, branch and date, compiler.
const TEXT_BYTES: usize = 64;

/// The release of the Python in `image`, if it tells.
pub(crate) fn find<M: Memory + ?Sized, S: Symbols + ?Sized>(
    memory: &M,
    symbols: &S,
    image: &PythonImage,
) -> Result<Option<PythonVersion>, MemoryError> {
    if let Some(symbol) = symbols.symbol(image.file, "Py_Version")
        && let Some(version) = memory.read_u32(symbol.start).ok().and_then(PythonVersion::from_hex)
    {
        return Ok(Some(version));
    }
    find_word(memory, &image.data, |_, addr, word| {
        let [major, dot, minor, ..] = word.to_le_bytes();
        let is_version = (b'2'..=b'4').contains(&major) && dot == b'.' && minor.is_ascii_digit();
        if is_version { read_text(memory, addr) } else { None }
    })
}

/// The version at the start of `3.9.18 (main, May  9 2026, 07:33:49) [GCC 12.2.0]`.
fn read_text<M: Memory + ?Sized>(memory: &M, addr: Addr) -> Option<PythonVersion> {
    let mut bytes = [0; TEXT_BYTES];
    memory.read(addr, &mut bytes).ok()?;
    let text = bytes.split(|&byte| byte == 0).next()?;
    let text = std::str::from_utf8(text).ok()?;
    let (version, rest) = text.split_once(" (")?;
    if version.len() > 16 || !rest.contains(',') {
        return None;
    }
    version.parse().ok()
}

/// The minor release that a file name like `libpython3.9.so.1.0` or `python3.11` names.
pub(crate) fn minor_in_name(name: &str) -> Option<u8> {
    let (_, rest) = name.split_once("python3.")?;
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..end].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::minor_in_name;

    #[test]
    fn file_names_tell_the_minor_release() {
        assert_eq!(minor_in_name("libpython3.9.so.1.0"), Some(9));
        assert_eq!(minor_in_name("python3.11d"), Some(11));
        assert_eq!(minor_in_name("python3"), None);
        assert_eq!(minor_in_name("uwsgi"), None);
    }
}
