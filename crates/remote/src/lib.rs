//! Placeholder.
pub mod access;
