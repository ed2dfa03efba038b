//! The answer to a request, understood as its bytes come, in pieces of any size: head, then a body of known
//! length, in chunks, or up to the end of the connection.
//!
//! Invariant: what is kept of an answer is bounded, whatever a server sends.

use memchr::memmem;

use super::chunks::{BadChunk, Chunks};
use super::mix::Expected;
use super::search::Search;

/// A longer head is no answer; browsers and proxies give up earlier.
const HEAD_LIMIT: usize = 64 << 10;
/// More headers are no answer.
const HEADERS_LIMIT: usize = 128;
/// Of a body, for a message.
const EXCERPT_LIMIT: usize = 80;

/// An answer that is coming in.
#[derive(Debug, Default)]
pub(super) struct Answer {
    state: State,
    has_begun: bool,
    /// A head whose end has not come yet.
    head: Vec<u8>,
    status: u16,
    keeps_alive: bool,
    search: Search,
    excerpt: Vec<u8>,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
enum State {
    #[default]
    Head,
    Body {
        n_left: u64,
    },
    Chunked(Chunks),
    UntilClosed,
    Complete,
}

/// Why bytes are no answer.
#[derive(Clone, PartialEq, Eq, thiserror::Error, Debug)]
pub(super) enum Malformed {
    #[error("its head is no HTTP/1: {0}")]
    Head(#[source] httparse::Error),
    #[error("its head is longer than {HEAD_LIMIT} bytes")]
    LongHead,
    #[error("its length is no number")]
    Length,
    #[error("a chunk is malformed")]
    Chunk,
    #[error("it switches to another protocol")]
    Switch,
}

impl Answer {
    /// Ready for the next answer on the same connection; buffers are kept.
    pub(super) fn clear(&mut self) {
        self.state = State::Head;
        self.has_begun = false;
        self.head.clear();
        self.search.clear();
        self.excerpt.clear();
    }

    /// Takes the next bytes; true when the answer is complete.
    pub(super) fn take(&mut self, mut bytes: &[u8], expected: &Expected) -> Result<bool, Malformed> {
        self.has_begun |= !bytes.is_empty();
        while !bytes.is_empty() && self.state != State::Complete {
            let n_used = match self.state {
                State::Head => self.take_head(bytes, expected)?,
                State::Body { n_left } => {
                    let n_used = self.take_body(bytes, n_left, expected);
                    let n_left = n_left - n_used as u64;
                    self.state = if n_left == 0 { State::Complete } else { State::Body { n_left } };
                    n_used
                }
                State::Chunked(Chunks::Data { n_left }) => {
                    let n_used = self.take_body(bytes, n_left, expected);
                    let n_left = n_left - n_used as u64;
                    self.state = State::Chunked(match n_left {
                        0 => Chunks::AfterData,
                        n_left => Chunks::Data { n_left },
                    });
                    n_used
                }
                State::Chunked(chunks) => {
                    self.state = match chunks.after(bytes[0]).map_err(|BadChunk| Malformed::Chunk)? {
                        Chunks::End => State::Complete,
                        chunks => State::Chunked(chunks),
                    };
                    1
                }
                State::UntilClosed => self.take_body(bytes, u64::MAX, expected),
                State::Complete => 0,
            };
            bytes = &bytes[n_used..];
        }
        let is_complete = self.state == State::Complete;
        // Nothing else was asked for: what follows cannot be trusted to be an answer.
        self.keeps_alive &= !is_complete || bytes.is_empty();
        Ok(is_complete)
    }

    /// The server closed the connection; true when that ends a complete answer.
    pub(super) fn take_end(&mut self) -> bool {
        if self.state == State::UntilClosed {
            self.state = State::Complete;
        }
        self.keeps_alive = false;
        self.state == State::Complete
    }

    /// Whether any byte of it has come.
    pub(super) fn has_begun(&self) -> bool {
        self.has_begun
    }

    /// Whether the connection may be used again.
    pub(super) fn keeps_alive(&self) -> bool {
        self.keeps_alive
    }

    /// Whether a complete answer is the right one.
    pub(super) fn is_right(&self, expected: &Expected) -> bool {
        expected.allows(self.status) && (self.search.found() || expected.contains.is_none())
    }

    /// A complete answer in a line.
    pub(super) fn describe(&self) -> String {
        let body = String::from_utf8_lossy(&self.excerpt);
        let body: String = body.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        format!("status {}: {}", self.status, body.trim())
    }

    /// Takes bytes of the head, and when it is whole, what it says. Returns how many bytes belong to it.
    fn take_head(&mut self, bytes: &[u8], expected: &Expected) -> Result<usize, Malformed> {
        if self.head.is_empty() {
            if let Some(n_used) = self.parse_head(bytes, expected)? {
                return Ok(n_used);
            }
            if bytes.len() > HEAD_LIMIT {
                return Err(Malformed::LongHead);
            }
            self.head.extend_from_slice(bytes);
            return Ok(bytes.len());
        }
        let n_before = self.head.len();
        let n_taken = bytes.len().min(HEAD_LIMIT + 1 - n_before);
        self.head.extend_from_slice(&bytes[..n_taken]);
        // A head that drips is parsed once, when its empty line may have come, not at every drop.
        let fresh = &self.head[n_before.saturating_sub(3)..];
        if memmem::find(fresh, b"\n\r\n").is_some() || memmem::find(fresh, b"\n\n").is_some() {
            let head = std::mem::take(&mut self.head);
            if let Some(n_head) = self.parse_head(&head, expected)? {
                return Ok(n_head - n_before);
            }
            self.head = head;
        }
        if self.head.len() > HEAD_LIMIT {
            return Err(Malformed::LongHead);
        }
        Ok(n_taken)
    }

    /// Its length, when the head is whole.
    fn parse_head(&mut self, bytes: &[u8], expected: &Expected) -> Result<Option<usize>, Malformed> {
        let mut headers = [const { std::mem::MaybeUninit::uninit() }; HEADERS_LIMIT];
        let mut response = httparse::Response::new(&mut []);
        let parsed = httparse::ParserConfig::default().parse_response_with_uninit_headers(
            &mut response,
            bytes,
            &mut headers,
        );
        let n_head = match parsed.map_err(Malformed::Head)? {
            httparse::Status::Complete(n_head) => n_head,
            httparse::Status::Partial => return Ok(None),
        };
        self.status = response.code.unwrap_or_default();
        // HTTP/1.1 keeps connections unless it says otherwise, HTTP/1.0 the other way round.
        self.keeps_alive = response.version == Some(1);
        let (mut length, mut is_chunked) = (None, false);
        for header in response.headers.iter() {
            // Names differ in length, which saves most comparisons.
            match header.name.len() {
                10 if header.name.eq_ignore_ascii_case("connection") => {
                    if has_word(header.value, b"close") {
                        self.keeps_alive = false;
                    } else if has_word(header.value, b"keep-alive") {
                        self.keeps_alive = true;
                    }
                }
                14 if header.name.eq_ignore_ascii_case("content-length") => {
                    let stated =
                        std::str::from_utf8(header.value).ok().and_then(|text| text.trim().parse().ok());
                    let stated: u64 = stated.ok_or(Malformed::Length)?;
                    if length.replace(stated).is_some_and(|before| before != stated) {
                        return Err(Malformed::Length);
                    }
                }
                17 if header.name.eq_ignore_ascii_case("transfer-encoding") => {
                    is_chunked |= has_word(header.value, b"chunked");
                }
                _ => {}
            }
        }
        self.state = match (self.status, length) {
            (101, _) => return Err(Malformed::Switch),
            // The answer proper is still to come.
            (100..200, _) => State::Head,
            (204 | 304, _) => State::Complete,
            _ if expected.is_without_body => State::Complete,
            _ if is_chunked => State::Chunked(Chunks::BEGIN),
            (_, Some(0)) => State::Complete,
            (_, Some(n_left)) => State::Body { n_left },
            (_, None) => State::UntilClosed,
        };
        Ok(Some(n_head))
    }

    /// Looks at up to `n_left` bytes of the body, and keeps almost none.
    fn take_body(&mut self, bytes: &[u8], n_left: u64, expected: &Expected) -> usize {
        let n_used = usize::try_from(n_left).map_or(bytes.len(), |n_left| n_left.min(bytes.len()));
        let bytes = &bytes[..n_used];
        let n_wanted = EXCERPT_LIMIT - self.excerpt.len();
        self.excerpt.extend_from_slice(&bytes[..n_wanted.min(n_used)]);
        if let Some(finder) = &expected.contains {
            self.search.take(bytes, finder);
        }
        n_used
    }
}

/// Whether a header that lists words has this one.
fn has_word(value: &[u8], word: &[u8]) -> bool {
    value.split(|&byte| byte == b',').any(|one| one.trim_ascii().eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::super::mix::Mix;
    use super::*;
    use crate::plan::Request;

    fn expecting(method: &str) -> Mix {
        let request = Request {
            weight: 1.0,
            method: method.to_owned(),
            path: "/".to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            body_file: None,
            status: None,
            contains: Some("over the seam".to_owned()),
        };
        Mix::new(&[request], 1, 1).unwrap()
    }

    /// However the bytes are cut: whether they are right, and whether the connection may be used again.
    fn check(method: &str, bytes: &[u8], expected: Result<(bool, bool), Malformed>) {
        let mix = expecting(method);
        for n_piece in 1..=bytes.len() {
            let mut answer = Answer::default();
            let mut result = Ok(false);
            for piece in bytes.chunks(n_piece) {
                assert_eq!(result, Ok(false), "over too early, in pieces of {n_piece}");
                result = answer.take(piece, mix.expected(0));
                if result.is_err() {
                    break;
                }
            }
            let seen = result.map(|is_complete| {
                assert!(is_complete || answer.take_end(), "not over in pieces of {n_piece}");
                (answer.is_right(mix.expected(0)), answer.keeps_alive())
            });
            assert_eq!(seen, expected, "{} in pieces of {n_piece}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_same_answer() {
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
            1B ;x=\"y\"\r\nsome text before it, over t\r\n008\r\nhe seams\r\n0\r\nA: b\r\n\r\n";
        check("GET", chunked, Ok((true, true)));
        check("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\nover the seam", Ok((true, true)));
        check(
            "GET",
            b"HTTP/1.1 200 OK\nContent-Length: 13\nConnection: x, Close\n\nover the seam",
            Ok((true, false)),
        );
        check("GET", b"HTTP/1.0 200 OK\r\nContent-Length: 13\r\n\r\nover the seam", Ok((true, false)));
        check(
            "GET",
            b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 4\r\n\r\nover",
            Ok((false, true)),
        );
        check("GET", b"HTTP/1.1 200 OK\r\n\r\nover the seam", Ok((true, false)));
        check("GET", b"HTTP/1.1 103 Hints\r\nA: b\r\n\r\nHTTP/1.1 204 No\r\n\r\n", Ok((false, true)));
        check("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n", Ok((false, true)));
    }

    #[test]
    fn a_bad_chunk_is_one_in_pieces_of_any_size() {
        for chunk in [&b"g\r\n"[..], b"\r\n", b";x\r\n", b"11111111111111111\r\n", b"1\r\nab"] {
            let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            check("GET", &[head, chunk].concat(), Err(Malformed::Chunk));
        }
    }
}
