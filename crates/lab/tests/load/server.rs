//! Servers that do one thing, on a port of their own, for as long as the test runs.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

/// A listening server; its threads end with the process.
pub(crate) struct Server {
    pub(crate) port: u16,
    /// Connections that were accepted.
    pub(crate) n_connections: Arc<AtomicUsize>,
}

impl Server {
    /// Gives every connection to `serve`, on a thread of its own.
    pub(crate) fn start(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let n_connections = Arc::new(AtomicUsize::new(0));
        let (serve, count) = (Arc::new(serve), Arc::clone(&n_connections));
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serve = Arc::clone(&serve);
                count.fetch_add(1, Ordering::SeqCst);
                let _ = stream.set_nodelay(true);
                thread::spawn(move || serve(stream));
            }
        });
        Self { port, n_connections }
    }

    /// Answers each request on a connection with what `answer` makes of it, until the client closes.
    pub(crate) fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        Self::start(move |mut stream| {
            while let Some(request) = request(&mut stream) {
                if stream.write_all(&answer(&request)).is_err() {
                    break;
                }
            }
        })
    }

    pub(crate) fn n_connections(&self) -> usize {
        self.n_connections.load(Ordering::SeqCst)
    }
}

/// The next request with its body; `None` when the client is gone.
pub(crate) fn request(stream: &mut TcpStream) -> Option<String> {
    let (mut bytes, mut buffer, mut end) = (Vec::new(), [0; 65536], None);
    loop {
        if end.is_none()
            && let Some(n_head) = bytes.windows(4).position(|window| window == b"\r\n\r\n")
        {
            let head = String::from_utf8_lossy(&bytes[..n_head]);
            let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
            end = Some(n_head + 4 + length.map_or(0, |length| length.parse::<usize>().unwrap()));
        }
        if let Some(end) = end.filter(|&end| bytes.len() >= end) {
            assert_eq!(bytes.len(), end, "bytes of a request that nobody waited for");
            return Some(String::from_utf8(bytes).unwrap());
        }
        match stream.read(&mut buffer) {
            Ok(0) | Err(_) => return None,
            Ok(n_bytes) => bytes.extend_from_slice(&buffer[..n_bytes]),
        }
    }
}

/// A whole answer with this body.
pub(crate) fn ok(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}
