//! What surrounds the data of a body that comes in chunks (RFC 9112, 7.1), byte by byte.
//!
//! ```text
//! 1a; extension CR LF   26 bytes of data   CR LF   ...   0 CR LF   trailers   CR LF
//! ```

/// What one length may carry besides digits, and what may follow the last chunk, in bytes.
const AROUND_LIMIT: usize = 16 << 10;

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Chunks {
    /// In the digits of a length.
    Length { n_bytes: u64, n_digits: usize },
    /// After the digits, up to the end of the line.
    AfterLength { n_bytes: u64, n_passed: usize },
    /// In data.
    Data { n_left: u64 },
    /// Between data and the next length.
    AfterData,
    /// After the last chunk.
    Trailers { n_in_line: usize, n_passed: usize },
    /// All of it has come.
    End,
}

/// These are no chunks.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct BadChunk;

impl Chunks {
    /// Before the first byte.
    pub(super) const BEGIN: Self = Self::Length { n_bytes: 0, n_digits: 0 };

    /// Where the byte after `byte` is, which is not one of data.
    pub(super) fn after(self, byte: u8) -> Result<Self, BadChunk> {
        match (self, byte) {
            // Sixteen digits fill 64 bits.
            (Self::Length { n_bytes, n_digits: n_digits @ ..16 }, _) if byte.is_ascii_hexdigit() => {
                let digit = char::from(byte).to_digit(16).map_or(0, u64::from);
                Ok(Self::Length { n_bytes: n_bytes << 4 | digit, n_digits: n_digits + 1 })
            }
            (Self::Length { n_bytes, n_digits: 1.. }, b'\r' | b'\n' | b';' | b' ' | b'\t') => {
                Self::AfterLength { n_bytes, n_passed: 0 }.after(byte)
            }
            (Self::AfterLength { n_bytes: 0, .. }, b'\n') => Ok(Self::Trailers { n_in_line: 0, n_passed: 0 }),
            (Self::AfterLength { n_bytes, .. }, b'\n') => Ok(Self::Data { n_left: n_bytes }),
            (Self::AfterLength { n_bytes, n_passed: n_passed @ ..AROUND_LIMIT }, _) => {
                Ok(Self::AfterLength { n_bytes, n_passed: n_passed + 1 })
            }
            (Self::AfterData, b'\r') => Ok(self),
            (Self::AfterData, b'\n') => Ok(Self::BEGIN),
            (Self::Trailers { n_in_line: 0, .. }, b'\n') => Ok(Self::End),
            (Self::Trailers { n_passed, .. }, b'\n') => Ok(Self::Trailers { n_in_line: 0, n_passed }),
            (Self::Trailers { .. }, b'\r') => Ok(self),
            (Self::Trailers { n_in_line, n_passed: n_passed @ ..AROUND_LIMIT }, _) => {
                Ok(Self::Trailers { n_in_line: n_in_line + 1, n_passed: n_passed + 1 })
            }
            _ => Err(BadChunk),
        }
    }
}
