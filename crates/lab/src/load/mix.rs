//! Requests by weight: request n as bytes, and what its answer has to be.
//!
//! Invariant: request n follows from the seed and n alone, so that every arm is asked the same in the same
//! order, however fast it answers and whatever was given up before.

use std::io::Write;

use memchr::memmem::Finder;

use super::error::RequestError;
use super::template::Template;
use crate::plan::Request;

/// Spreads request numbers over the seeds of the generator: 2^64 divided by the golden ratio.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

/// The kinds of requests of a load.
#[derive(Debug)]
pub(super) struct Mix {
    kinds: Vec<Kind>,
    seed: u64,
    /// Kept to be used again.
    body: Vec<u8>,
}

#[derive(Debug)]
struct Kind {
    /// The weights up to this one, added up.
    weight_up_to: f64,
    method: String,
    path: Template,
    /// From the version to the last header, without Content-Length.
    headers: Vec<u8>,
    body: Template,
    says_length: bool,
    expected: Expected,
}

/// What makes an answer right.
#[derive(Debug)]
pub(super) struct Expected {
    /// 200 to 399 when absent.
    status: Option<u16>,
    /// What the body contains.
    pub(super) contains: Option<Finder<'static>>,
    /// HEAD: the answer says the length of a body that does not come.
    pub(super) is_without_body: bool,
}

impl Expected {
    /// Whether the status is right.
    pub(super) fn allows(&self, status: u16) -> bool {
        self.status.map_or((200..400).contains(&status), |expected| expected == status)
    }
}

impl Mix {
    /// Requests for the service at `127.0.0.1:port`.
    pub(super) fn new(requests: &[Request], port: u16, seed: u64) -> Result<Self, RequestError> {
        let mut kinds: Vec<Kind> = Vec::with_capacity(requests.len());
        for request in requests {
            let before = kinds.last().map_or(0.0, |kind| kind.weight_up_to);
            kinds.push(Kind::new(request, port, before)?);
        }
        if kinds.is_empty() {
            return Err(RequestError::None);
        }
        Ok(Self { kinds, seed, body: Vec::new() })
    }

    /// Replaces `into` by request `n`, and says of which kind it is.
    pub(super) fn write(&mut self, n: u64, into: &mut Vec<u8>) -> usize {
        let mut random = fastrand::Rng::with_seed(self.seed ^ n.wrapping_mul(SPREAD));
        let total = self.kinds.last().map_or(0.0, |kind| kind.weight_up_to);
        let drawn = random.f64() * total;
        let idx = self.kinds.partition_point(|kind| kind.weight_up_to <= drawn).min(self.kinds.len() - 1);
        let kind = &self.kinds[idx];
        into.clear();
        into.extend_from_slice(kind.method.as_bytes());
        into.push(b' ');
        kind.path.write(n, &mut random, into);
        into.extend_from_slice(&kind.headers);
        self.body.clear();
        kind.body.write(n, &mut random, &mut self.body);
        if kind.says_length {
            // Writing to a vector does not fail.
            let _ = write!(into, "Content-Length: {}\r\n", self.body.len());
        }
        into.extend_from_slice(b"\r\n");
        into.extend_from_slice(&self.body);
        idx
    }

    /// What the answer to a request of this kind has to be.
    pub(super) fn expected(&self, kind_idx: usize) -> &Expected {
        &self.kinds[kind_idx].expected
    }
}

impl Kind {
    fn new(request: &Request, port: u16, weight_before: f64) -> Result<Self, RequestError> {
        let path = || request.path.clone();
        if !(request.weight > 0.0 && request.weight.is_finite()) {
            return Err(RequestError::Weight { path: path(), weight: request.weight.to_string() });
        }
        if request.method.is_empty() || !request.method.bytes().all(is_token) {
            return Err(RequestError::Method { path: path(), method: request.method.clone() });
        }
        if !request.path.starts_with('/') || !request.path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(RequestError::Path { path: path() });
        }
        let no_variable = |variable| RequestError::Variable { path: path(), variable };
        let body = Template::of_body(&request.body).map_err(no_variable)?;
        Ok(Self {
            weight_up_to: weight_before + request.weight,
            method: request.method.clone(),
            path: Template::of_path(&request.path).map_err(no_variable)?,
            headers: headers(request, port)?,
            // RFC 9110, 8.6: a method that means something by its body says its length even when that is 0.
            says_length: !body.is_empty() || matches!(request.method.as_str(), "POST" | "PUT" | "PATCH"),
            body,
            expected: Expected {
                status: request.status,
                contains: request
                    .contains
                    .as_ref()
                    .filter(|text| !text.is_empty())
                    .map(|text| Finder::new(text.as_bytes()).into_owned()),
                is_without_body: request.method == "HEAD",
            },
        })
    }
}

/// The version and the headers of a request. A Host of its own is left to it: services tell sites apart by
/// that.
fn headers(request: &Request, port: u16) -> Result<Vec<u8>, RequestError> {
    let mut written = b" HTTP/1.1\r\n".to_vec();
    if !request.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        written.extend_from_slice(format!("Host: 127.0.0.1:{port}\r\n").as_bytes());
    }
    for (name, value) in &request.headers {
        let error = |own: bool| {
            let (path, name) = (request.path.clone(), name.clone());
            if own { RequestError::OwnHeader { path, name } } else { RequestError::Header { path, name } }
        };
        // Expect is left out because nobody here waits for a 100.
        if ["content-length", "transfer-encoding", "expect"].iter().any(|own| name.eq_ignore_ascii_case(own))
        {
            return Err(error(true));
        }
        if name.is_empty()
            || !name.bytes().all(is_token)
            || value.bytes().any(|b| matches!(b, b'\r' | b'\n' | 0))
        {
            return Err(error(false));
        }
        written.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    Ok(written)
}

/// RFC 9110, 5.6.2.
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn get(path: &str, weight: f64) -> Request {
        Request {
            weight,
            method: "GET".to_owned(),
            path: path.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            body_file: None,
            status: None,
            contains: None,
        }
    }

    fn first(request: Request) -> Result<String, RequestError> {
        let mut bytes = Vec::new();
        Mix::new(&[request], 8000, 1)?.write(0, &mut bytes);
        Ok(String::from_utf8(bytes).unwrap())
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_in_any_order() {
        let requests = [get("/a/{random:0..1000000}", 3.0), get("/b/{n}/{random:0..9}", 1.0)];
        let sequence = |seed, order: &mut dyn Iterator<Item = u64>| {
            let mut mix = Mix::new(&requests, 8000, seed).unwrap();
            let mut written: Vec<(u64, Vec<u8>)> = order
                .map(|n| {
                    let mut bytes = Vec::new();
                    mix.write(n, &mut bytes);
                    (n, bytes)
                })
                .collect();
            written.sort();
            written
        };
        let once = sequence(7, &mut (0..500));
        assert_eq!(once, sequence(7, &mut (0..500).rev()));
        assert_ne!(once, sequence(8, &mut (0..500)));
    }

    #[test]
    fn weights_are_kept() {
        let mut mix = Mix::new(&[get("/a", 3.0), get("/b", 0.5), get("/c", 0.5)], 8000, 1).unwrap();
        let mut counts = [0_u32; 3];
        for n in 0..40_000 {
            counts[mix.write(n, &mut Vec::new())] += 1;
        }
        // Six standard deviations of a fair draw.
        assert!(counts[0].abs_diff(30_000) < 520, "{counts:?}");
        assert!(counts[1].abs_diff(5_000) < 400, "{counts:?}");
    }

    #[test]
    fn a_request_is_written_as_rfc_9112_says() {
        assert_eq!(first(get("/x?y=1", 1.0)).unwrap(), "GET /x?y=1 HTTP/1.1\r\nHost: 127.0.0.1:8000\r\n\r\n");
        let post = Request {
            method: "POST".to_owned(),
            headers: vec![("host".to_owned(), "example.org".to_owned())],
            body: b"[{n}]".to_vec(),
            ..get("/x", 1.0)
        };
        assert_eq!(
            first(post).unwrap(),
            "POST /x HTTP/1.1\r\nhost: example.org\r\nContent-Length: 3\r\n\r\n[0]"
        );
        let empty = Request { method: "PUT".to_owned(), ..get("/x", 1.0) };
        assert!(first(empty).unwrap().contains("\r\nContent-Length: 0\r\n\r\n"));
    }

    #[test]
    fn what_cannot_be_sent_is_refused() {
        let with_header = |name: &str, value: &str| Request {
            headers: vec![(name.to_owned(), value.to_owned())],
            ..get("/", 1.0)
        };
        for (request, said) in [
            (get("/", 0.0), "weight"),
            (get("/", f64::NAN), "weight"),
            (get("x", 1.0), "slash"),
            (get("/a b", 1.0), "spaces"),
            (get("/\r\nEvil: 1", 1.0), "control"),
            (get("/{m}", 1.0), "{m} is no variable"),
            (Request { method: "GE T".to_owned(), ..get("/", 1.0) }, "method"),
            (with_header("A", "b\r\nc: d"), "not one that can be sent"),
            (with_header("", "b"), "not one that can be sent"),
            (with_header("content-length", "3"), "leave it out"),
            (with_header("Expect", "100-continue"), "leave it out"),
        ] {
            let message = first(request).unwrap_err().to_string();
            assert!(message.contains(said), "{message:?} without {said:?}");
        }
        assert_eq!(Mix::new(&[], 1, 1).unwrap_err(), RequestError::None);
    }
}
