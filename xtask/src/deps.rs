//! `cargo xtask deps`: the crates' dependencies, held against one table.
//!
//! Invariant: an edge between two of our crates exists only if the table below names it. The table
//! itself is checked too: an allowed edge points to a lower floor, or stays within one.

mod floors;
mod graph;

use anyhow::{Result, bail};

use graph::{Edge, Graph, Role};

/// Packages the binary may link, without the terminal UI. What is not needed is not shipped to a
/// host where it runs as root.
const CLI_PACKAGES_MAX: usize = 110;

/// Checks the workspace this file belongs to.
///
/// # Errors
/// Names every offending edge.
pub(crate) fn check() -> Result<String> {
    let graph = Graph::of_workspace()?;
    let faults = faults(&graph);
    if !faults.is_empty() {
        bail!("the dependencies break the floors:\n  {}", faults.join("\n  "));
    }
    Ok(format!(
        "{} crates, {} edges between them: all as the floors allow; the binary links {} packages (at most {})\n",
        graph.members.len(),
        graph.edges.iter().filter(|edge| edge.to.ours().is_some()).count(),
        graph.cli_packages,
        CLI_PACKAGES_MAX,
    ))
}

fn faults(graph: &Graph) -> Vec<String> {
    let mut faults = floors::faults_of_table();
    for member in &graph.members {
        if floors::find(member).is_none() {
            faults.push(format!("{member} is on no floor: add it to the table in xtask/src/deps/floors.rs"));
        }
    }
    faults.extend(graph.edges.iter().filter_map(fault_of));
    if graph.cli_packages > CLI_PACKAGES_MAX {
        faults
            .push(format!("the binary links {} packages, more than {CLI_PACKAGES_MAX}", graph.cli_packages));
    }
    faults
}

/// Why `edge` must not be, if so.
fn fault_of(edge: &Edge) -> Option<String> {
    let from = floors::find(&edge.from)?;
    let named = |why: &str| Some(format!("{edge}: {why}"));
    let Some(to) = edge.to.ours() else {
        let package = edge.to.name();
        if package == "anyhow" && !floors::MAY_USE_ANYHOW.contains(&from.name) {
            return named("anyhow is for cli, lab and xtask; a library has an error enum of its own");
        }
        return match from.packages {
            Some(allowed) if edge.role != Role::Dev && !allowed.contains(&package) => {
                named(&format!("{} may link only {allowed:?}", from.name))
            }
            _ => None,
        };
    };
    if floors::NOBODY_DEPENDS_ON.contains(&to) {
        return named("nothing depends on it");
    }
    match edge.role {
        // Build scripts shape what is linked, so they are held to the same edges.
        Role::Link | Role::Build if from.may_link.contains(&to) => None,
        Role::Dev if from.may_link.contains(&to) || floors::tests_may_use(from, to) => None,
        Role::Dev => named("not even for tests: see tests_may_use in xtask/src/deps/floors.rs"),
        Role::Link | Role::Build => match floors::find(to) {
            Some(to) if to.floor > from.floor => named("dependencies point down"),
            _ => named(&format!("{} may depend only on {:?}", from.name, from.may_link)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use graph::Target;

    fn edge(from: &str, to: Target, role: Role) -> Edge {
        Edge { from: from.to_owned(), to, role }
    }

    fn ours(name: &str) -> Target {
        Target::Ours(name.to_owned())
    }

    fn check(from: &str, to: Target, role: Role, expected: Option<&str>) {
        let edge = edge(from, to, role);
        match (fault_of(&edge), expected) {
            (None, None) => {}
            (Some(fault), Some(part)) => assert!(fault.contains(part), "{fault}"),
            (fault, expected) => panic!("{edge}: found {fault:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn edges_outside_the_table_are_named() {
        check("heap", ours("memory"), Role::Link, None);
        check("heap", ours("remote"), Role::Dev, None);
        check("python", ours("heap"), Role::Dev, None);
        check("heap", ours("diagnose"), Role::Dev, None);
        check("heap", ours("report"), Role::Dev, Some("not even for tests"));
        check("heap", ours("remote"), Role::Link, Some("heap -> remote: heap may depend only on"));
        check("base", ours("memory"), Role::Link, Some("dependencies point down"));
        check("base", ours("memory"), Role::Build, Some("dependencies point down"));
        check("cli", ours("agent"), Role::Link, Some("nothing depends on it"));
        check("cli", ours("allocator"), Role::Dev, Some("nothing depends on it"));
        check("testkit", ours("heap"), Role::Dev, Some("not even for tests"));
        check("procfs", Target::Package("anyhow".to_owned()), Role::Link, Some("error enum of its own"));
        check("agent", Target::Package("libc".to_owned()), Role::Link, None);
        check("agent", Target::Package("tracing".to_owned()), Role::Link, Some("may link only"));
        check("base", Target::Package("libc".to_owned()), Role::Link, Some("may link only []"));
    }

    #[test]
    fn a_crate_on_no_floor_is_a_fault() {
        let graph = Graph { members: vec!["utils".to_owned()], edges: Vec::new(), cli_packages: 0 };
        assert_eq!(faults(&graph).len(), 1);
    }

    #[test]
    fn the_workspace_as_it_is_passes() {
        super::check().unwrap();
    }
}
