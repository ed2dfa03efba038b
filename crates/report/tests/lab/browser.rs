//! Headless Chromium, without a network: what the page is after its scripts ran.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Chromium on this machine; says so where there is none, so that nobody thinks the page was looked at.
pub(crate) fn chromium() -> Option<PathBuf> {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&folders)
        .flat_map(|folder| ["chromium", "chromium-browser", "google-chrome"].map(|name| folder.join(name)))
        .find(|path| path.is_file());
    if found.is_none() {
        eprintln!(
            "report: no Chromium on this machine, so the page is not covered in a browser (scripts/setup installs it)"
        );
    }
    found
}

/// The document of a page, written out after its scripts ran.
pub(crate) fn document_after_scripts(chromium: &Path, html: &str) -> String {
    document_at(chromium, html, "")
}

/// The same, opened at a fragment of its address.
pub(crate) fn document_at(chromium: &Path, html: &str, fragment: &str) -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let page = folder.path().join("page.html");
    std::fs::write(&page, html).expect("a page that can be written");
    let output = Command::new(chromium)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"])
        .args(["--disable-background-networking", "--disable-sync", "--no-first-run", "--mute-audio"])
        .args(["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1", "--window-size=1200,5000"])
        .args(["--virtual-time-budget=3000", "--dump-dom"])
        .arg(format!("--user-data-dir={}", folder.path().join("profile").display()))
        .arg(format!("file://{}#{fragment}", page.display()))
        .stdin(Stdio::null())
        .output()
        .expect("a Chromium that starts");
    let dom = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && dom.contains("</html>"), "Chromium wrote no document: {said}");
    dom
}
