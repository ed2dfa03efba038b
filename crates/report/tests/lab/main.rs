//! The table and the page of an experiment.

mod experiment;
mod table;
