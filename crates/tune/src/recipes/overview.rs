//! The page without a place: the best line for this machine, and where else to look.

use super::service::Server;
use super::{INSTALLED, Place, Request};
use crate::{Allocator, Distribution};

/// The page.
pub fn overview(request: &Request) -> String {
    let server = request.service.server.unwrap_or(Server::Gunicorn);
    let command = request.service.command(server);
    let mut text = String::from("the best line for this machine\n");
    if request.distribution == Distribution::Alpine {
        text.push_str("  libslackwater_alloc.so needs glibc, and this is Alpine, whose C library is musl.\n");
        text.push_str("  With Alpine's own jemalloc:  slackwater advise docker --distro alpine\n");
    } else {
        text.push_str(&format!("  slackwater run -- {command}\n"));
        text.push_str(&format!("  or without slackwater at hand:  LD_PRELOAD={INSTALLED} {command}\n"));
    }
    text.push_str("\nwhere is the service configured?\n");
    for &place in Place::ALL {
        text.push_str(&format!("  slackwater advise {place:<12} {}\n", place.about()));
    }
    text.push_str("\non what else can it run?\n");
    for &allocator in Allocator::ALL {
        text.push_str(&format!("  --allocator {allocator:<12} {}\n", about(allocator)));
    }
    text.push_str(
        "\nwith --pid or --name the advice is fitted to a running service: its server, app, unit, Python and limit\n",
    );
    text
}

/// What to expect of an allocator, in a line.
const fn about(allocator: Allocator) -> &'static str {
    match allocator {
        Allocator::Slackwater => "ours: tuned, safe across forks, gives back when idle. The default",
        Allocator::Jemalloc => "as distributions ship it, with what makes up for its thread lost at a fork",
        Allocator::Mimalloc => "fast; keeps its peak while idle",
        Allocator::Tcmalloc => "fast; keeps its peak while idle",
        Allocator::Glibc => "for those who must stay: the best settings, and a trim now and then",
    }
}
