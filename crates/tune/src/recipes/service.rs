//! What is known of the service that the advice is for, so that it can be fitted.

use slackwater_base::{Bytes, words};

use super::{Place, Request};
use crate::Allocator;

words! {
    /// A server whose workers are known.
    Server {
        /// Forks its workers.
        Gunicorn = "gunicorn",
        /// Spawns its workers: each is a program of its own.
        Uvicorn = "uvicorn",
        /// Forks its pool.
        Celery = "celery",
    }
}

words! {
    /// How the kernel hands out transparent huge pages.
    HugePages {
        /// To every program, asked or not: holes in them are filled again.
        Always = "always",
        /// Only to those that ask, or to none.
        OnRequest = "madvise",
    }
}

/// What is known of the service. Nothing need be.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Service {
    /// Its server.
    pub server: Option<Server>,
    /// What the server is told to serve: `app:app`, a celery project.
    pub app: Option<String>,
    /// The systemd unit that starts it, with its suffix.
    pub unit: Option<String>,
    /// The limit of its control group.
    pub limit_bytes: Option<u64>,
    /// Its Python: major, minor, micro.
    pub python: Option<(u8, u8, u8)>,
    /// Its Python has no lock around the interpreter, and no pymalloc either.
    pub is_free_threaded: bool,
}

impl Service {
    /// The app, where it is a plain word.
    pub(super) fn app(&self) -> Option<&str> {
        self.app.as_deref().filter(|app| is_plain(app))
    }

    /// The unit's name with its suffix, where it is a plain word.
    pub(super) fn unit(&self) -> &str {
        self.unit.as_deref().filter(|unit| is_plain(unit)).unwrap_or("web.service")
    }

    /// What starts the server, as its user would type it.
    pub(super) fn command(&self, server: Server) -> String {
        let app = self.app();
        match server {
            Server::Gunicorn => format!("gunicorn {}", app.unwrap_or("app:app")),
            Server::Uvicorn => format!("uvicorn --workers 2 {}", app.unwrap_or("app:app")),
            Server::Celery => format!("celery --app {} worker", app.unwrap_or("app")),
        }
    }

    /// What to know besides.
    pub(super) fn notes(&self, request: &Request) -> Vec<String> {
        let mut notes = Vec::new();
        if let Some((3, 14, micro @ 0..=4)) = self.python {
            notes.push(format!(
                "Python 3.14.{micro} collects garbage incrementally and holds on to more than any allocator could \
                give back: go to 3.14.5 or later first"
            ));
        }
        if self.is_free_threaded {
            notes.push(
                "this Python is free-threaded and brings an allocator of its own for its objects: PYTHONMALLOC is \
                left alone, and only what native code allocates is changed"
                    .to_owned(),
            );
        }
        if let Some(limit) = self.limit_bytes {
            let tail = match request.allocator {
                Allocator::Slackwater => "the governor keeps away from it by itself",
                _ => "this allocator does not know of it: leave it room for a burst",
            };
            notes.push(format!("the service may use {}: {tail}", Bytes(limit)));
        }
        if request.huge_pages == HugePages::Always && !knows_huge_pages(request.allocator) {
            notes.push(
                "this machine gives transparent huge pages to every program (`always`), which fill up again what \
                is given back: echo madvise > /sys/kernel/mm/transparent_hugepage/enabled"
                    .to_owned(),
            );
        }
        notes
    }
}

/// Where a service in the control group `path` is configured, and its systemd unit, as far as the group's
/// name tells.
pub fn of_cgroup(path: &str) -> (Option<Place>, Option<String>) {
    let parts = || path.split('/').filter(|part| !part.is_empty());
    let begins = |words: &[&str]| parts().any(|part| words.iter().any(|word| part.starts_with(word)));
    if begins(&["kubepods"]) {
        return (Some(Place::Kubernetes), None);
    }
    if begins(&["docker-", "libpod-"]) || parts().next() == Some("docker") {
        return (Some(Place::Docker), None);
    }
    // A user's session is a unit as well, but not one that starts a service.
    if parts().next() != Some("system.slice") {
        return (None, None);
    }
    match parts().find(|part| part.ends_with(".service")) {
        Some(unit) => (Some(Place::Systemd), Some(unit.to_owned())),
        None => (None, None),
    }
}

/// Whether the allocator can be told, or finds out, to stay away from huge pages.
const fn knows_huge_pages(allocator: Allocator) -> bool {
    matches!(allocator, Allocator::Slackwater | Allocator::Jemalloc)
}

/// A word that means the same in a shell, a unit, YAML and a Dockerfile.
fn is_plain(word: &str) -> bool {
    let is_start = |c: char| c.is_ascii_alphanumeric() || c == '_';
    word.starts_with(is_start)
        && word.len() <= 200
        && !word.ends_with(':')
        && word.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | ':' | '-' | '@'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_control_group_tells_where_a_service_is_configured() {
        let of = |path: &str| of_cgroup(path);
        let unit = |name: &str| (Some(Place::Systemd), Some(name.to_owned()));
        assert_eq!(of("/system.slice/shop.service"), unit("shop.service"));
        assert_eq!(of("/system.slice/system-shop.slice/shop@1.service/workers"), unit("shop@1.service"));
        assert_eq!(of("/system.slice/docker-0a1b.scope"), (Some(Place::Docker), None));
        assert_eq!(of("/docker/0a1b"), (Some(Place::Docker), None));
        assert_eq!(
            of("/kubepods.slice/kubepods-burstable.slice/cri-0a.scope"),
            (Some(Place::Kubernetes), None)
        );
        assert_eq!(of("/user.slice/user-0.slice/user@0.service/app.slice"), (None, None));
        assert_eq!(of("/"), (None, None));
    }

    #[test]
    fn only_plain_words_of_a_service_reach_a_line() {
        let app = |app: &str| Service { app: Some(app.to_owned()), ..Service::default() };
        assert_eq!(app("shop.wsgi:app").command(Server::Gunicorn), "gunicorn shop.wsgi:app");
        for hostile in ["a;reboot", "$(reboot)", "-c", "a b", "a\nb", "", "a:", "a'", "é:app"] {
            assert_eq!(app(hostile).command(Server::Gunicorn), "gunicorn app:app", "{hostile:?}");
        }
        let unit = Service { unit: Some("../../x.service".to_owned()), ..Service::default() };
        assert_eq!(unit.unit(), "web.service");
    }
}
