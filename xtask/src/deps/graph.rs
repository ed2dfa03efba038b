//! The dependencies as they are, from `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde::Deserialize;

use crate::workspace;

/// What a dependency is for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Role {
    /// Linked into the crate.
    Link,
    /// For its build script.
    Build,
    /// For its tests.
    Dev,
}

/// What an edge points to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Target {
    /// One of our crates, by its short name.
    Ours(String),
    /// Somebody else's package.
    Package(String),
}

impl Target {
    /// The short name of our crate.
    pub(super) fn ours(&self) -> Option<&str> {
        match self {
            Self::Ours(name) => Some(name),
            Self::Package(_) => None,
        }
    }

    /// The name.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Ours(name) | Self::Package(name) => name,
        }
    }
}

/// One dependency of one of our crates.
#[derive(Clone, Debug)]
pub(super) struct Edge {
    /// The short name of our crate.
    pub(super) from: String,
    /// What it depends on.
    pub(super) to: Target,
    /// What for.
    pub(super) role: Role,
}

impl fmt::Display for Edge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} -> {}", self.from, self.to.name())?;
        match self.role {
            Role::Link => Ok(()),
            Role::Build => f.write_str(" (for its build script)"),
            Role::Dev => f.write_str(" (for tests)"),
        }
    }
}

/// Our crates and what they depend on.
#[derive(Clone, Debug)]
pub(super) struct Graph {
    /// Short names of the workspace's crates.
    pub(super) members: Vec<String>,
    /// Their direct dependencies.
    pub(super) edges: Vec<Edge>,
    /// Packages that the binary links, our own not counted.
    pub(super) cli_packages: usize,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
    workspace_members: BTreeSet<String>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct Package {
    id: String,
    name: String,
    dependencies: Vec<Dependency>,
}

#[derive(Deserialize)]
struct Dependency {
    name: String,
    kind: Option<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

impl Graph {
    /// Asks cargo about the workspace this file belongs to.
    pub(super) fn of_workspace() -> Result<Self> {
        let output = Command::new(workspace::cargo())
            .args(["metadata", "--format-version", "1", "--locked"])
            .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
            .current_dir(workspace::root())
            .output()
            .context("cannot run cargo metadata")?;
        if !output.status.success() {
            bail!("cargo metadata failed: {}", String::from_utf8_lossy(&output.stderr).trim());
        }
        let metadata =
            serde_json::from_slice(&output.stdout).context("cannot read cargo metadata's answer")?;
        Self::new(&metadata)
    }

    fn new(metadata: &Metadata) -> Result<Self> {
        let ours: BTreeSet<&str> = metadata
            .packages
            .iter()
            .filter(|package| metadata.workspace_members.contains(&package.id))
            .map(|package| package.name.as_str())
            .collect();
        let mut edges = Vec::new();
        for package in metadata.packages.iter().filter(|package| ours.contains(package.name.as_str())) {
            for dependency in &package.dependencies {
                let name = dependency.name.as_str();
                let to = if ours.contains(name) {
                    Target::Ours(short(name).to_owned())
                } else {
                    Target::Package(name.to_owned())
                };
                let role = match dependency.kind.as_deref() {
                    None => Role::Link,
                    Some("build") => Role::Build,
                    Some("dev") => Role::Dev,
                    Some(other) => bail!("cargo metadata names an unknown kind of dependency: {other}"),
                };
                edges.push(Edge { from: short(&package.name).to_owned(), to, role });
            }
        }
        let members = ours.iter().map(|name| short(name).to_owned()).collect();
        Ok(Self { members, edges, cli_packages: linked_by_cli(metadata, &ours) })
    }
}

/// The binary's package is called `slackwater`, its folder `cli`.
fn short(package: &str) -> &str {
    if package == "slackwater" { "cli" } else { package.strip_prefix("slackwater-").unwrap_or(package) }
}

/// How many foreign packages are in the closure of what the binary links.
fn linked_by_cli(metadata: &Metadata, ours: &BTreeSet<&str>) -> usize {
    let names: BTreeMap<&str, &str> =
        metadata.packages.iter().map(|package| (package.id.as_str(), package.name.as_str())).collect();
    let nodes: BTreeMap<&str, &Node> =
        metadata.resolve.nodes.iter().map(|node| (node.id.as_str(), node)).collect();
    let mut reached = BTreeSet::new();
    let mut open: Vec<&str> =
        names.iter().filter(|(_, name)| short(name) == "cli").map(|(id, _)| *id).collect();
    while let Some(id) = open.pop() {
        if !reached.insert(id) {
            continue;
        }
        let linked =
            nodes.get(id).into_iter().flat_map(|node| &node.deps).filter(|dependency| {
                dependency.dep_kinds.iter().any(|kind| kind.kind.as_deref() != Some("dev"))
            });
        open.extend(linked.map(|dependency| dependency.pkg.as_str()));
    }
    reached.iter().filter(|id| names.get(**id).is_some_and(|name| !ours.contains(name))).count()
}
