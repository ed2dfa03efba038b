//! What is advised does what it says: files written as they are printed, and really used.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what could not be tested here is said, not hidden")]

mod glibc;
mod manifests;
mod servers;
mod service;
mod system_wide;
mod systemd;
mod texts;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use slackwater_tune::recipes::{File, Place, Request, recipe};
use slackwater_tune::{Allocator, Distribution};
use tempfile::TempDir;

/// What is asked for when nothing is known of the service.
fn request(place: Place, allocator: Allocator) -> Request {
    Request::new(place, allocator, Distribution::Debian)
}

/// The files of a recipe.
#[track_caller]
fn files(request: &Request) -> Vec<File> {
    recipe(request).unwrap().files
}

/// The text of the one file whose name ends so.
#[track_caller]
fn text<'a>(files: &'a [File], name: &str) -> &'a str {
    let found = files.iter().find(|file| file.name.ends_with(name));
    &found.unwrap_or_else(|| panic!("no {name} in {files:?}")).text
}

/// Writes files into a folder, by their names without folders.
fn write(folder: &TempDir, files: &[File]) {
    for file in files {
        let name = Path::new(&file.name).file_name().unwrap();
        fs::write(folder.path().join(name), &file.text).unwrap();
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("sw").tempdir().unwrap()
}

/// The library of a Debian package, or why what needs it is not tested.
fn installed(allocator: Allocator) -> Option<PathBuf> {
    let package = allocator.package(Distribution::Debian).unwrap();
    let path = PathBuf::from(package.library);
    if path.exists() {
        return Some(path);
    }
    eprintln!("not tested: no {}, which `make setup` installs", package.library);
    None
}

/// A program that tests use where it is there.
fn tool(path: &str) -> Option<Command> {
    if Path::new(path).exists() {
        return Some(Command::new(path));
    }
    eprintln!("not tested: no {path}");
    None
}

/// Standard output of a command that must go well, and stay silent on standard error.
#[track_caller]
fn well(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && err.is_empty(), "{}\n{out}{err}", output.status);
    out.into_owned()
}
