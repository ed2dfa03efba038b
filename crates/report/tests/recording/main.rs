//! What is made of a recording: the page, and the documents for other viewers.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]
#![allow(clippy::print_stderr, reason = "what could not be tested here is said, not hidden")]

#[path = "../lab/browser.rs"]
#[allow(dead_code, reason = "shared with the other page's tests")]
mod browser;
mod captures;
mod endpoints;
mod export;
mod hostile;
mod page;
mod said;
