//! A service as a trial needs it: started on a free port, ready, with its last words at hand.

mod log;
mod ready;

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::keeper::Order;
use crate::plan::{Arm, Service};

pub(crate) use log::Log;
pub(crate) use ready::{NotReady, background, wait};

/// How long a connection to this machine itself may take.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);

/// A port on which nothing listens now. Somebody may take it before the service does, which then says so.
pub(crate) fn free_port() -> io::Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

/// A connection to a port of this machine.
pub(crate) fn connect(port: u16) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&SocketAddr::from((Ipv4Addr::LOCALHOST, port)), CONNECT_WITHIN)?;
    // Where nobody listens, one attempt in some ten thousand comes from the very port and meets itself.
    if stream.local_addr()? == stream.peer_addr()? {
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    Ok(stream)
}

/// What starts `service` under `arm` on `port`; `run` are the words that start a command on an allocator.
pub(crate) fn order(service: &Service, arm: &Arm, run: &[String], port: u16) -> Order {
    let command = command(service, arm, run);
    Order {
        command: command.iter().map(|word| with_port(word, port)).collect(),
        directory: service.directory.clone(),
        environment: environment(service, arm)
            .into_iter()
            .map(|(name, value)| (name, with_port(&value, port)))
            .collect(),
        cpus: service.cpus.clone(),
        memory_limit_bytes: service.memory_limit_bytes,
        stop_within: service.stop_within,
    }
}

/// The whole command line of an arm, `{port}` left as it is.
pub(crate) fn command(service: &Service, arm: &Arm, run: &[String]) -> Vec<String> {
    let command = arm.command.as_ref().unwrap_or(&service.command);
    let Some(allocator) = &arm.allocator else { return command.clone() };
    let mut words = run.to_vec();
    words.extend(["--allocator".to_owned(), allocator.choice.clone()]);
    if allocator.bare {
        words.push("--bare".to_owned());
    }
    words.extend(allocator.settings.iter().flat_map(|setting| ["--set".to_owned(), setting.clone()]));
    words.extend(allocator.pymalloc.iter().flat_map(|word| ["--pymalloc".to_owned(), word.clone()]));
    words.push("--".to_owned());
    words.extend(command.iter().cloned());
    words
}

/// The variables that the plan gives an arm; its own go before those of the service.
pub(crate) fn environment(service: &Service, arm: &Arm) -> BTreeMap<String, String> {
    let both = service.environment.iter().chain(&arm.environment);
    both.map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn with_port(word: &str, port: u16) -> String {
    word.replace("{port}", &port.to_string())
}
