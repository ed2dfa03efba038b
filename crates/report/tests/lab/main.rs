//! The table and the page of an experiment.

mod browser;
mod experiment;
mod page;
mod schema;
mod table;
