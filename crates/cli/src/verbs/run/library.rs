//! Where an allocator's library is, and whether it will really be preloaded: the loader itself only
//! prints a line about one that does not fit, and starts the service without it.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use rustix::fs::StatVfsMountFlags;
use slackwater_tune::library::{self, LibraryFault};
use slackwater_tune::{Allocator, Choice, Distribution, LIBRARY_FOLDERS, ReadCache};

use crate::env;
use crate::exit::{Exit, Failure};

/// The library that `choice` means, for a program with this `loader`; `None` when nothing is preloaded.
pub(in crate::verbs) fn find(choice: &Choice, loader: Option<&Path>) -> Result<Option<PathBuf>, Failure> {
    let found = match choice {
        Choice::Known(Allocator::Glibc) => return Ok(None),
        Choice::Known(Allocator::Slackwater) => ours()?,
        Choice::Known(allocator) => distributed(*allocator)?,
        Choice::Library(path) => path.clone(),
    };
    // The service may change its folder, and links to a library are the distribution's to move.
    let path = std::path::absolute(&found).map_err(|error| {
        Failure::new(Exit::Usage, format!("cannot tell where {} is", found.display())).caused_by(&error)
    })?;
    check(&path, loader)?;
    Ok(Some(path))
}

/// Our library: where the environment says, else beside the program, else where packages put it.
pub(in crate::verbs) fn ours() -> Result<PathBuf, Failure> {
    if let Some(path) = env::library() {
        return Ok(path);
    }
    let name = Allocator::Slackwater.libraries()[0];
    let program = std::env::current_exe().map_err(|error| {
        Failure::new(Exit::Bug, "cannot tell where slackwater itself is").caused_by(&error)
    })?;
    let folder = program.parent().unwrap_or(Path::new("/"));
    let beside = folder.join(name);
    let packaged = folder.join("../lib/slackwater").join(name);
    if beside.exists() {
        return Ok(beside);
    }
    match packaged.canonicalize() {
        Ok(packaged) => Ok(packaged),
        Err(_) => {
            let error = format!("there is no {name} in {}, nor in ../lib/slackwater", folder.display());
            Err(Failure::new(Exit::Usage, error).hint(
                "copy it there from where slackwater was built (`make build`), or name it with SLACKWATER_LIBRARY",
            ))
        }
    }
}

/// A distribution's library.
fn distributed(allocator: Allocator) -> Result<PathBuf, Failure> {
    let in_folders = |name: &&str| {
        LIBRARY_FOLDERS.iter().map(|folder| Path::new(folder).join(name)).find(|path| path.exists())
    };
    allocator.libraries().iter().find_map(in_folders).ok_or_else(|| {
        let names = allocator.libraries().join(" or ");
        let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
        let distribution = Distribution::of_os_release(&release);
        let install = distribution.and_then(|one| Some(one.install(allocator.package(one)?)));
        Failure::new(Exit::Usage, format!("there is no {names} where distributions keep libraries")).hint(
            match install {
                Some(install) => {
                    format!("install it ({install}), or name it: --allocator /path/to/library.so")
                }
                None => "install it, or name it: --allocator /path/to/library.so".to_owned(),
            },
        )
    })
}

fn check(path: &Path, loader: Option<&Path>) -> Result<(), Failure> {
    let unfit = |exit| Failure::new(exit, format!("{} cannot serve as malloc", path.display()));
    let file = File::open(path).map_err(|error| {
        let failure = match error.kind() {
            io::ErrorKind::PermissionDenied => unfit(Exit::Denied)
                .hint("make it, and every folder above it, readable for the user that the service runs as"),
            io::ErrorKind::NotFound => unfit(Exit::Usage).hint("check the path"),
            _ => unfit(Exit::Usage),
        };
        failure.caused_by(&error)
    })?;
    let mount = rustix::fs::statvfs(path);
    if mount.is_ok_and(|mount| mount.f_flag.contains(StatVfsMountFlags::NOEXEC)) {
        let mut failure = unfit(Exit::Usage);
        failure.causes.push("its file system is mounted noexec, so no code can be loaded from it".to_owned());
        return Err(failure.hint("copy it to a file system from which programs may run"));
    }
    let needed = library::check(&ReadCache::new(file)).map_err(|fault| {
        unfit(Exit::Usage).caused_by(&fault).hint("name an allocator's shared library for x86-64 and glibc")
    })?;
    let present = loader.and_then(newest_symbols);
    if let (Some(needed), Some(present)) = (needed, present)
        && needed > present
    {
        let fault = LibraryFault::OldGlibc { needed, present };
        return Err(unfit(Exit::Target)
            .caused_by(&fault)
            .hint("use a build of the library for older systems"));
    }
    Ok(())
}

/// The newest symbols of the glibc that a loader belongs to: they are installed side by side.
fn newest_symbols(loader: &Path) -> Option<library::GlibcRelease> {
    let libc = loader.canonicalize().ok()?.with_file_name("libc.so.6");
    library::newest_symbols_of_libc(&ReadCache::new(File::open(libc).ok()?))
}
