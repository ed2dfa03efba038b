//! The allocators that a service can be started on: where distributions keep them, what their packages
//! are called, and by which environment variable they take settings.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use slackwater_base::words;

use crate::nearest::nearest;

words! {
    /// An allocator that is known by name.
    Allocator {
        /// Ours: jemalloc, tuned, safe across forks and governed.
        Slackwater = "slackwater",
        /// jemalloc as distributions build it.
        Jemalloc = "jemalloc",
        /// Microsoft's mimalloc.
        Mimalloc = "mimalloc",
        /// The tcmalloc of gperftools. Google's newer one is not built as a library to preload.
        Tcmalloc = "tcmalloc",
        /// The C library's own malloc: nothing is preloaded.
        Glibc = "glibc",
    }
}

words! {
    /// A family of Linux distributions, by where it keeps libraries and how it calls packages.
    Distribution {
        /// Debian.
        Debian = "debian",
        /// Ubuntu.
        Ubuntu = "ubuntu",
        /// RHEL, CentOS Stream, Rocky, Alma, Fedora; the packages come from EPEL.
        Rhel = "rhel",
        /// Alpine, whose C library is musl.
        Alpine = "alpine",
    }
}

/// What a service shall run on: an allocator by its name, or a library by its path.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// By name; its library is to be found.
    Known(Allocator),
    /// By path, which has a slash in it.
    Library(PathBuf),
}

/// Why a word chooses nothing.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("there is no allocator '{word}'; {}", match nearest {
    Some(nearest) => format!("did you mean {nearest}?"),
    None => "a library is named by a path with a slash".to_owned(),
})]
pub struct ChoiceError {
    word: String,
    nearest: Option<&'static str>,
}

impl Choice {
    /// What `word` chooses.
    pub fn of(word: &OsStr) -> Result<Self, ChoiceError> {
        if let Some(&allocator) = Allocator::ALL.iter().find(|allocator| word == allocator.key()) {
            return Ok(Self::Known(allocator));
        }
        if word.as_bytes().contains(&b'/') {
            return Ok(Self::Library(word.into()));
        }
        let word = word.to_string_lossy().into_owned();
        let nearest = nearest(&word, Allocator::ALL.iter().map(|allocator| allocator.key()));
        Err(ChoiceError { word, nearest })
    }

    /// The allocator, as far as its name or its library's tells.
    pub fn allocator(&self) -> Option<Allocator> {
        match self {
            Self::Known(allocator) => Some(*allocator),
            Self::Library(path) => allocator_of_library(path.as_os_str().as_bytes()),
        }
    }
}

/// How one distribution ships an allocator.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Package {
    /// The package's name.
    pub name: &'static str,
    /// The library's path once the package is installed.
    pub library: &'static str,
}

impl Allocator {
    /// The file names of its library, the best first. Empty for [`Allocator::Glibc`].
    pub const fn libraries(self) -> &'static [&'static str] {
        match self {
            Self::Slackwater => &["libslackwater_alloc.so"],
            Self::Jemalloc => &["libjemalloc.so.2", "libjemalloc.so.1", "libjemalloc.so"],
            Self::Mimalloc => {
                &["libmimalloc.so.3", "libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so"]
            }
            // The minimal build lacks the heap profiler, which a service must not pay for.
            Self::Tcmalloc => &["libtcmalloc_minimal.so.4", "libtcmalloc_minimal.so", "libtcmalloc.so.4"],
            Self::Glibc => &[],
        }
    }

    /// The variable that holds its options. mimalloc and tcmalloc take one variable per option, whose
    /// common beginning this is.
    pub const fn variable(self) -> &'static str {
        match self {
            Self::Slackwater | Self::Jemalloc => "MALLOC_CONF",
            Self::Mimalloc => "MIMALLOC_",
            Self::Tcmalloc => "TCMALLOC_",
            Self::Glibc => "GLIBC_TUNABLES",
        }
    }

    /// How `distribution` ships it; `None` when it does not, or when nothing needs to be installed.
    pub fn package(self, distribution: Distribution) -> Option<Package> {
        let package = |name, library| Some(Package { name, library });
        match (self, distribution) {
            (Self::Slackwater | Self::Glibc, _) => None,
            (Self::Jemalloc, Distribution::Debian | Distribution::Ubuntu) => {
                package("libjemalloc2", "/usr/lib/x86_64-linux-gnu/libjemalloc.so.2")
            }
            (Self::Jemalloc, Distribution::Rhel) => package("jemalloc", "/usr/lib64/libjemalloc.so.2"),
            (Self::Jemalloc, Distribution::Alpine) => package("jemalloc", "/usr/lib/libjemalloc.so.2"),
            (Self::Mimalloc, Distribution::Debian | Distribution::Ubuntu) => {
                package("libmimalloc2.0", "/usr/lib/x86_64-linux-gnu/libmimalloc.so.2")
            }
            (Self::Mimalloc, Distribution::Rhel) => package("mimalloc", "/usr/lib64/libmimalloc.so.2"),
            (Self::Mimalloc, Distribution::Alpine) => package("mimalloc2", "/usr/lib/libmimalloc.so.2"),
            (Self::Tcmalloc, Distribution::Debian | Distribution::Ubuntu) => {
                package("libtcmalloc-minimal4", "/usr/lib/x86_64-linux-gnu/libtcmalloc_minimal.so.4")
            }
            (Self::Tcmalloc, Distribution::Rhel) => {
                package("gperftools-libs", "/usr/lib64/libtcmalloc_minimal.so.4")
            }
            (Self::Tcmalloc, Distribution::Alpine) => {
                package("gperftools", "/usr/lib/libtcmalloc_minimal.so.4")
            }
        }
    }
}

impl Distribution {
    /// The command that installs `package`, as root.
    pub fn install(self, package: Package) -> String {
        let name = package.name;
        match self {
            Self::Debian | Self::Ubuntu => format!("apt-get install -y --no-install-recommends {name}"),
            Self::Rhel => format!("dnf install -y epel-release && dnf install -y {name}"),
            Self::Alpine => format!("apk add --no-cache {name}"),
        }
    }

    /// The distribution that calls itself `id` in /etc/os-release, or says that it is like it.
    pub fn of_os_release(text: &str) -> Option<Self> {
        let value = |key: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
            Some(line.trim().trim_matches(['"', '\'']))
        };
        let by_word = |word: &str| match word {
            "debian" => Some(Self::Debian),
            "ubuntu" => Some(Self::Ubuntu),
            "rhel" | "centos" | "fedora" | "rocky" | "almalinux" | "amzn" => Some(Self::Rhel),
            "alpine" => Some(Self::Alpine),
            _ => None,
        };
        let like = || value("ID_LIKE")?.split_whitespace().find_map(by_word);
        value("ID").and_then(by_word).or_else(like)
    }
}

/// Folders in which distributions keep shared libraries, in the order in which they are searched.
pub const LIBRARY_FOLDERS: &[&str] = &[
    "/usr/lib/x86_64-linux-gnu",
    "/lib/x86_64-linux-gnu",
    "/usr/lib64",
    "/lib64",
    "/usr/local/lib",
    "/usr/local/lib64",
    "/usr/lib",
    "/lib",
];

/// The allocator whose library `path` names, by its file name alone: `libjemalloc-1f2e.so.2` from a
/// wheel too, and `libtcmalloc_and_profiler.so.4`.
pub fn allocator_of_library(path: &[u8]) -> Option<Allocator> {
    let name = path.rsplit(|&byte| byte == b'/').next()?;
    let named = |stem: &[u8]| {
        name.strip_prefix(stem).is_some_and(|rest| rest.first().is_some_and(|&byte| b".-_".contains(&byte)))
    };
    [
        (&b"libslackwater_alloc"[..], Allocator::Slackwater),
        (b"libjemalloc", Allocator::Jemalloc),
        (b"libmimalloc", Allocator::Mimalloc),
        (b"libtcmalloc", Allocator::Tcmalloc),
    ]
    .into_iter()
    .find_map(|(stem, allocator)| named(stem).then_some(allocator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_file_names() {
        let of = |path: &str| allocator_of_library(path.as_bytes());
        for &allocator in Allocator::ALL {
            for name in allocator.libraries() {
                assert_eq!(of(&format!("/usr/lib/{name}")), Some(allocator), "{name}");
            }
            for &distribution in Distribution::ALL {
                if let Some(package) = allocator.package(distribution) {
                    assert_eq!(of(package.library), Some(allocator), "{}", package.library);
                }
            }
        }
        assert_eq!(of("/venv/pyarrow.libs/libjemalloc-1f2e3d.so.2"), Some(Allocator::Jemalloc));
        assert_eq!(of("libtcmalloc_and_profiler.so.4"), Some(Allocator::Tcmalloc));
        assert_eq!(of("/opt/libjemallocator.so"), None);
        assert_eq!(of("/opt/libjemalloc/notes"), None);
        assert_eq!(of(""), None);
    }

    #[test]
    fn a_choice_is_a_name_or_a_path() {
        let of = |word: &str| Choice::of(OsStr::new(word)).map_err(|error| error.to_string());
        assert_eq!(of("jemalloc"), Ok(Choice::Known(Allocator::Jemalloc)));
        assert_eq!(of("./libjemalloc.so"), Ok(Choice::Library("./libjemalloc.so".into())));
        assert_eq!(of("./libjemalloc.so").unwrap().allocator(), Some(Allocator::Jemalloc));
        assert_eq!(of("/opt/mine.so").unwrap().allocator(), None);
        assert!(of("jemaloc").unwrap_err().contains("did you mean jemalloc?"));
        assert!(of("libjemalloc.so.2").unwrap_err().contains("a path with a slash"));
    }

    #[test]
    fn a_distribution_is_what_it_says_or_what_it_is_like() {
        let of = Distribution::of_os_release;
        assert_eq!(of("NAME=\"Debian GNU/Linux\"\nID=debian\n"), Some(Distribution::Debian));
        assert_eq!(of("ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n"), Some(Distribution::Rhel));
        assert_eq!(of("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n"), Some(Distribution::Ubuntu));
        assert_eq!(of("ID=arch\n"), None);
        assert_eq!(of("VERSION_ID=debian\n"), None);
    }
}
