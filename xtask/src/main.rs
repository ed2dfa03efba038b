//! The project's own chores: `cargo xtask deps`, `cargo xtask generate`, `cargo xtask corpus`.

fn main() {}
