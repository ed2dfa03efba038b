//! How to put an allocator under a service for good: for each place where a service is configured, the
//! files and lines that do it, each with its reason in the file's own comments.
//!
//! Invariant: settings and their reasons come from [`crate::presets`] alone, so that what is advised is what
//! `run` sets. A word that came from a running service stands in a line only if every syntax here takes
//! it for one plain word; otherwise a placeholder does.

mod celery;
mod compose;
mod docker;
mod draft;
mod glibc;
mod gunicorn;
mod kubernetes;
mod overview;
mod rearm;
mod service;
mod shell;
mod system_wide;
mod systemd;
mod uvicorn;
mod variables;

pub use draft::Syntax;
pub use overview::overview;
pub use service::{HugePages, Server, Service, of_cgroup};

use slackwater_base::words;

use crate::{Allocator, Distribution};
use variables::{Variable, variables};

words! {
    /// Where a service is configured.
    Place {
        /// A line in an image's recipe.
        Docker = "docker",
        /// The command line of one container.
        DockerRun = "docker-run",
        /// A file beside compose.yaml.
        Compose = "compose",
        /// A drop-in beside a unit.
        Systemd = "systemd",
        /// A patch of a deployment.
        Kubernetes = "kubernetes",
        /// gunicorn's command line and configuration.
        Gunicorn = "gunicorn",
        /// uvicorn's command line.
        Uvicorn = "uvicorn",
        /// celery's command line and the project's module.
        Celery = "celery",
        /// A shell or a start script.
        Shell = "shell",
        /// Every program of the machine.
        SystemWide = "system-wide",
    }
}

impl Place {
    /// What the recipe changes, in a few words.
    pub const fn about(self) -> &'static str {
        match self {
            Self::Docker => "lines for a Dockerfile",
            Self::DockerRun => "one container, the image left as it is",
            Self::Compose => "an override beside compose.yaml",
            Self::Systemd => "a drop-in for one unit",
            Self::Kubernetes => "a patch for one deployment, the image left as it is",
            Self::Gunicorn => "command line and, where workers need it, a hook",
            Self::Uvicorn => "command line",
            Self::Celery => "command line and, where workers need it, a signal handler",
            Self::Shell => "one command, or one start script",
            Self::SystemWide => "every program of a machine or an image, with its warnings",
        }
    }
}

/// What is to be advised.
#[derive(Clone, Debug)]
pub struct Request {
    /// Where the service is configured.
    pub place: Place,
    /// What it is to run on.
    pub allocator: Allocator,
    /// Where it runs.
    pub distribution: Distribution,
    /// How the machine hands out huge pages.
    pub huge_pages: HugePages,
    /// Where `libslackwater_alloc.so` lies on this machine, if it is known.
    pub library: Option<String>,
    /// What is known of the service.
    pub service: Service,
}

impl Request {
    /// When nothing is known of the machine and the service.
    pub fn new(place: Place, allocator: Allocator, distribution: Distribution) -> Self {
        Self {
            place,
            allocator,
            distribution,
            huge_pages: HugePages::OnRequest,
            library: None,
            service: Service::default(),
        }
    }
}

/// The advice.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// What to write, run or add, the first one first.
    pub files: Vec<File>,
    /// What to know besides about this service and this machine.
    pub notes: Vec<String>,
}

/// One file of a recipe. Its text begins with a comment that names it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct File {
    /// Its name, with folders where they matter.
    pub name: String,
    /// What it is written in.
    pub syntax: Syntax,
    /// Its whole text.
    pub text: String,
}

/// Why there is no such recipe.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecipeError {
    /// The C library there is musl.
    #[error("{allocator} needs glibc, and the C library of {distribution} is musl")]
    NeedsGlibc {
        /// What was asked for.
        allocator: Allocator,
        /// Where.
        distribution: Distribution,
    },
}

impl RecipeError {
    /// What to try.
    pub const fn hint(&self) -> &'static str {
        match self {
            Self::NeedsGlibc { .. } => {
                "build the image from a -slim one (Debian) instead, or take Alpine's own: --allocator jemalloc"
            }
        }
    }
}

/// Where our library is put on a machine or in an image: `slackwater` in ../../bin finds it there.
pub const INSTALLED: &str = "/usr/local/lib/slackwater/libslackwater_alloc.so";

/// The recipe for a place.
///
/// # Errors
/// When the allocator does not run there.
pub fn recipe(request: &Request) -> Result<Recipe, RecipeError> {
    request.require_libc()?;
    let mut files = match request.place {
        Place::Docker => docker::image(request),
        Place::DockerRun => docker::container(request),
        Place::Compose => compose::files(request),
        Place::Systemd => systemd::files(request),
        Place::Kubernetes => kubernetes::files(request),
        Place::Gunicorn => gunicorn::files(request),
        Place::Uvicorn => uvicorn::files(request),
        Place::Celery => celery::files(request),
        Place::Shell => shell::files(request),
        Place::SystemWide => system_wide::files(request),
    };
    // Where the service is known, what its server needs besides comes along.
    if !matches!(request.place, Place::Gunicorn | Place::Uvicorn | Place::Celery) {
        match request.service.server {
            Some(Server::Gunicorn) => files.extend(gunicorn::hook(request)),
            Some(Server::Celery) => files.extend(celery::hook(request)),
            Some(Server::Uvicorn) | None => {}
        }
    }
    Ok(Recipe { files, notes: request.service.notes(request) })
}

impl Request {
    const fn require_libc(&self) -> Result<(), RecipeError> {
        let is_for_glibc = matches!(self.allocator, Allocator::Slackwater | Allocator::Glibc);
        if is_for_glibc && matches!(self.distribution, Distribution::Alpine) {
            let (allocator, distribution) = (self.allocator, self.distribution);
            return Err(RecipeError::NeedsGlibc { allocator, distribution });
        }
        Ok(())
    }

    /// The path that is preloaded; `None` for the C library's own malloc.
    fn preload(&self) -> Option<&'static str> {
        match self.allocator {
            Allocator::Slackwater => Some(INSTALLED),
            Allocator::Glibc => None,
            other => other.package(self.distribution).map(|package| package.library),
        }
    }

    /// The command that installs the library on the machine itself, as root.
    fn install(&self) -> Option<String> {
        match self.allocator {
            Allocator::Slackwater => {
                let found = self.library.as_deref().unwrap_or("target/release/libslackwater_alloc.so");
                (found != INSTALLED).then(|| format!("install -D -m 0644 {found} {INSTALLED}"))
            }
            other => other.package(self.distribution).map(|package| self.distribution.install(package)),
        }
    }

    /// The server that the advice is for, by the service itself or by the place.
    const fn server(&self) -> Option<Server> {
        match self.place {
            Place::Gunicorn => Some(Server::Gunicorn),
            Place::Uvicorn => Some(Server::Uvicorn),
            Place::Celery => Some(Server::Celery),
            _ => self.service.server,
        }
    }

    /// Whether workers that were forked must start jemalloc's thread again.
    const fn needs_rearming(&self) -> bool {
        matches!(self.allocator, Allocator::Jemalloc)
    }
}
