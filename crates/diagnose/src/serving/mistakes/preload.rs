//! SW201 to SW209: what was to be preloaded, and is not.

use slackwater_tune::Distribution;

use super::{Case, Mistake};
use crate::serving::{CLibrary, Fate, MistakeCode, Preload, PreloadSource, Serving};
use crate::{MallocKind, Role};

pub(super) fn fates(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let unmapped = process.preloads.iter().filter(|preload| preload.fate != Fate::Mapped);
    unmapped.map(|preload| unmapped_mistake(process, preload)).collect()
}

fn unmapped_mistake(process: &Serving, preload: &Preload) -> Mistake {
    use MistakeCode::{
        PreloadForeign, PreloadIgnored, PreloadMissing, PreloadMusl, PreloadSecure, PreloadStatic,
        PreloadUnreadable,
    };
    let entry = &preload.entry;
    let asked = format!("{} names {entry}", preload.source);
    let from_environment = preload.source == PreloadSource::Environment;
    if process.c_library == CLibrary::Static {
        let fix = "use a dynamically linked interpreter, such as the distribution's or the python image's";
        return Mistake::new(PreloadStatic, asked, fix).seen("no loader is mapped");
    }
    if process.secure == Some(true) && from_environment {
        let fix = "let the program run without raised rights: for a port below 1024, systemd's \
                   AmbientCapabilities=CAP_NET_BIND_SERVICE instead of setcap; else /etc/ld.so.preload";
        return Mistake::new(PreloadSecure, asked, fix).seen("AT_SECURE is set in its auxiliary vector");
    }
    if process.c_library == CLibrary::Musl && preload.fate != Fate::Missing {
        let fix = "use an image with glibc (python:3-slim), or the allocator's package of this \
                   distribution: apk add jemalloc";
        return Mistake::new(PreloadMusl, asked, fix).seen("the program runs on musl");
    }
    match preload.fate {
        Fate::Missing => {
            let fix = match (&preload.instead, preload.allocator) {
                (Some(path), _) => format!("LD_PRELOAD={}", path.display()),
                (None, Some(kind)) => install(kind),
                (None, None) => "correct the path, or take the entry out".to_owned(),
            };
            let seen = if entry.starts_with('/') {
                "there is no such file below the root of this process"
            } else {
                "no mapped file bears this name: the loader did not find it in its folders"
            };
            Mistake::new(PreloadMissing, asked, fix).seen(seen)
        }
        Fate::Unreadable => Mistake::new(PreloadUnreadable, asked, format!("chmod a+r {entry}"))
            .seen("its permissions shut out the user that this process runs as"),
        Fate::Foreign => {
            let fix = preload
                .allocator
                .map_or_else(|| "take the entry out, or name a library for 64-bit x86".to_owned(), install);
            Mistake::new(PreloadForeign, asked, fix).seen("it is no ELF shared object for x86-64")
        }
        Fate::Ignored | Fate::Mapped => {
            let fix = format!(
                "LD_PRELOAD={entry} /bin/true prints the loader's reason; ldd {entry} names what is missing"
            );
            Mistake::new(PreloadIgnored, asked, fix).seen("it is no part of this process's mappings")
        }
    }
}

/// How to come by an allocator's library.
fn install(kind: MallocKind) -> String {
    match kind.allocator().and_then(|allocator| allocator.package(Distribution::Debian)) {
        Some(package) => format!(
            "apt-get install {} (or what your distribution calls it), or slackwater run -- COMMAND",
            package.name
        ),
        None => "slackwater run -- COMMAND finds its library by itself".to_owned(),
    }
}

pub(super) fn lost(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let fix = "slackwater run -- COMMAND passes it on to Python children; else set LD_PRELOAD where the \
               worker itself is started (systemd: Environment=, sudo: sudo env LD_PRELOAD=... COMMAND)";
    // Its own environment asks for one: whatever became of that is told of there.
    if process.preloads.iter().any(|preload| preload.allocator.is_some()) {
        return Vec::new();
    }
    let above = case.supervisor.filter(|_| process.role == Role::Worker).and_then(|supervisor| {
        let preload =
            supervisor.preloads.iter().find(|one| one.fate == Fate::Mapped && one.allocator.is_some())?;
        let differs = supervisor.server.kind != process.server.kind;
        differs.then(|| format!("supervisor {} runs with {}", supervisor.pid, preload.entry))
    });
    let above = above.or_else(|| {
        let above = process.asked_above.as_ref()?;
        Some(format!("{} {}, which it was started by, has LD_PRELOAD={}", above.name, above.pid, above.value))
    });
    let Some(above) = above else { return Vec::new() };
    let own = match process.environment.visible {
        true => "its own environment has no such entry",
        false => "no such library is mapped in it",
    };
    vec![Mistake::new(MistakeCode::PreloadLost, above, fix).seen(own)]
}

pub(super) fn several(case: &Case<'_>) -> Vec<Mistake> {
    let process = case.process;
    let mapped = process.preloads.iter().filter(|one| one.allocator.is_some() && one.fate == Fate::Mapped);
    let mut entries: Vec<&str> = mapped.map(|one| one.entry.as_str()).collect();
    entries.dedup();
    if entries.len() < 2 {
        return Vec::new();
    }
    let winner = process.server.library.as_ref().map(|path| path.display().to_string());
    let winner = winner.unwrap_or_else(|| process.server.kind.key().to_owned());
    let fix = format!("LD_PRELOAD={} alone, or whichever you mean", entries[0]);
    let evidence = format!("{} are mapped", entries.join(" and "));
    vec![Mistake::new(MistakeCode::SeveralPreloads, evidence, fix).seen(format!("{winner} serves malloc"))]
}

#[cfg(test)]
mod tests {
    use super::super::testing::{codes, codes_under, preload, serving};
    use super::*;
    use crate::serving::AskedAbove;
    use slackwater_base::Pid;

    const PATH: &str = "/usr/lib/libjemalloc.so.2";

    fn asked(fate: Fate) -> Serving {
        let mut process = serving(MallocKind::Glibc);
        process.preloads.push(preload(PATH, Some(MallocKind::Jemalloc), fate));
        process
    }

    #[test]
    fn each_fate_has_its_code() {
        let check = |fate: Fate, change: fn(&mut Serving), expected: &[&str]| {
            let mut process = asked(fate);
            change(&mut process);
            assert_eq!(codes(&process, fates), expected, "{fate}");
        };
        check(Fate::Mapped, |_| (), &[]);
        check(Fate::Mapped, |process| process.secure = Some(true), &[]);
        check(Fate::Missing, |_| (), &["SW201"]);
        check(Fate::Unreadable, |_| (), &["SW202"]);
        check(Fate::Foreign, |_| (), &["SW203"]);
        check(Fate::Ignored, |_| (), &["SW208"]);
        check(Fate::Ignored, |process| process.secure = Some(true), &["SW204"]);
        check(Fate::Ignored, |process| process.secure = None, &["SW208"]);
        check(Fate::Ignored, |process| process.c_library = CLibrary::Static, &["SW205"]);
        check(Fate::Ignored, |process| process.c_library = CLibrary::Musl, &["SW206"]);
        check(Fate::Missing, |process| process.c_library = CLibrary::Musl, &["SW201"]);
    }

    #[test]
    fn a_file_that_exists_elsewhere_is_named() {
        let mut process = asked(Fate::Missing);
        process.preloads[0].instead = Some("/usr/lib64/libjemalloc.so.2".into());
        let found = fates(&Case { process: &process, supervisor: None });
        assert_eq!(found[0].fix, "LD_PRELOAD=/usr/lib64/libjemalloc.so.2");
    }

    #[test]
    fn a_preload_is_lost_on_the_way_to_a_worker() {
        let mut supervisor = asked(Fate::Mapped);
        supervisor.server.kind = MallocKind::Jemalloc;
        let worker = serving(MallocKind::Glibc);
        assert_eq!(codes_under(&worker, Some(&supervisor), lost), ["SW207"]);
        assert!(codes(&worker, lost).is_empty());
        // Served by the same, or asked for itself: nothing is lost.
        assert!(codes_under(&serving(MallocKind::Jemalloc), Some(&supervisor), lost).is_empty());
        assert!(codes_under(&asked(Fate::Missing), Some(&supervisor), lost).is_empty());
        let mut helper = serving(MallocKind::Glibc);
        helper.role = Role::Other;
        assert!(codes_under(&helper, Some(&supervisor), lost).is_empty());
        helper.asked_above =
            Some(AskedAbove { pid: Pid(3), name: "sudo".to_owned(), value: PATH.to_owned() });
        assert_eq!(codes(&helper, lost), ["SW207"]);
    }

    #[test]
    fn two_preloaded_allocators_are_one_too_many() {
        let mut process = asked(Fate::Mapped);
        assert!(codes(&process, several).is_empty());
        process.preloads.push(preload(
            "/usr/lib/libtcmalloc.so.4",
            Some(MallocKind::Tcmalloc),
            Fate::Missing,
        ));
        assert!(codes(&process, several).is_empty());
        process.preloads[1].fate = Fate::Mapped;
        assert_eq!(codes(&process, several), ["SW209"]);
    }
}
