//! What keeps a load from being sent. What the service does wrong is never an error: it is counted.

use std::io;

/// The generator could not do its part.
#[derive(thiserror::Error, Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// A request cannot be sent.
    #[error("request {0}")]
    Request(#[from] RequestError),
    /// This load is not sent by us.
    #[error("this load is sent by another program, or by none")]
    NotHttp,
    /// No such processors, or none of them allowed.
    #[error("the load generator cannot run on the processors {cpus:?}: name some of `nproc` in load_cpus")]
    Pin {
        /// Those that were asked for.
        cpus: Vec<usize>,
        /// Why not.
        source: io::Error,
    },
    /// epoll or its timer.
    #[error("cannot wait for answers")]
    Wait(#[source] io::Error),
    /// No socket: mostly a limit on open files.
    #[error(
        "cannot open a connection beside the {n_open} of the load: ask for fewer `connections`, or a higher \
         `ulimit -n`"
    )]
    Socket {
        /// Connections that are open.
        n_open: usize,
        /// Why not.
        source: io::Error,
    },
    /// All local ports wait for old connections to be forgotten.
    #[error(
        "no local port is left for another connection: the service closes each one, so lower the rate or let \
         it keep connections alive"
    )]
    Ports(#[source] io::Error),
    /// Latencies cannot be kept.
    #[error("cannot make a histogram")]
    Histogram(#[source] hdrhistogram::CreationError),
    /// Latencies cannot be written.
    #[error("cannot write the histogram of latencies")]
    Serialize(#[source] hdrhistogram::serialization::V2SerializeError),
    /// It was asked to stop.
    #[error("the load was stopped before its end")]
    Cancelled,
}

/// Why a request cannot be sent as it is written.
#[derive(Clone, PartialEq, Eq, thiserror::Error, Debug)]
#[non_exhaustive]
pub enum RequestError {
    /// There is nothing to send.
    #[error("is missing: a load over HTTP needs one at least")]
    None,
    /// A weight that is no share of anything.
    #[error("{path:?} has the weight {weight}: it needs one above 0")]
    Weight {
        /// Which request.
        path: String,
        /// Its weight.
        weight: String,
    },
    /// Not a word.
    #[error("{path:?} has the method {method:?}: it needs a word such as GET")]
    Method {
        /// Which request.
        path: String,
        /// Its method.
        method: String,
    },
    /// A path that no server would read as one.
    #[error(
        "{path:?} has to begin with a slash, and to be without spaces and control characters (write them as \
         %20 and the like)"
    )]
    Path {
        /// Which request.
        path: String,
    },
    /// Neither of the two variables.
    #[error(
        "{path:?}: {{{variable}}} is no variable; there are {{n}} and {{random:A..B}}, with whole numbers and A \
         below B"
    )]
    Variable {
        /// Which request.
        path: String,
        /// What stands between the braces.
        variable: String,
    },
    /// A header that would break the request apart.
    #[error("{path:?}: header {name:?} is not one that can be sent")]
    Header {
        /// Which request.
        path: String,
        /// The header.
        name: String,
    },
    /// Said by the generator itself.
    #[error("{path:?}: header {name:?} is set by the load generator: leave it out")]
    OwnHeader {
        /// Which request.
        path: String,
        /// The header.
        name: String,
    },
}
