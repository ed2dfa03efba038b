//! Images, containers and manifests: parsed as their readers parse them, and what they set really used.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::Value;
use slackwater_tune::recipes::Place;
use slackwater_tune::{Allocator, Distribution};

use crate::{files, folder, installed, request, text, tool, well};

/// YAML as JSON, read by Debian's python3-yaml.
fn yaml(text: &str) -> Option<Value> {
    let mut command = tool("/usr/bin/python3")?;
    let program = "import json, sys\n\
        try: import yaml\n\
        except ImportError: sys.exit(9)\n\
        print(json.dumps(yaml.safe_load(sys.stdin)))";
    command.args(["-c", program]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    if output.status.code() == Some(9) {
        eprintln!("not tested: no python3-yaml, which `make setup` installs");
        return None;
    }
    Some(serde_json::from_str(&well(&output)).unwrap())
}

/// The keys of an object.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().map(|object| object.keys().map(String::as_str).collect()).unwrap_or_default()
}

#[test]
fn a_patch_has_the_shape_that_kubernetes_asks_for() {
    for &allocator in Allocator::ALL {
        let recipe = files(&request(Place::Kubernetes, allocator));
        let Some(patch) = yaml(text(&recipe, "patch.yaml")) else { return };
        let pod = &patch["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let variables = container["env"].as_array().unwrap();
        for variable in variables {
            assert_eq!(keys(variable), ["name", "value"]);
            // Numbers and switches would be refused: an environment holds text.
            assert!(variable["value"].is_string(), "{variable}");
        }
        assert_eq!(
            variables[0]["name"],
            if allocator == Allocator::Glibc { "MALLOC_ARENA_MAX" } else { "LD_PRELOAD" }
        );
        if allocator != Allocator::Slackwater {
            assert_eq!(keys(pod), ["containers"]);
            continue;
        }
        let init = &pod["initContainers"][0];
        assert_eq!(keys(init), ["command", "image", "name", "volumeMounts"]);
        let folder = init["volumeMounts"][0]["mountPath"].as_str().unwrap();
        assert_eq!(init["command"][2], format!("{folder}/"));
        assert_eq!(variables[0]["value"], format!("{folder}/libslackwater_alloc.so"));
        for mount in [&init["volumeMounts"][0], &container["volumeMounts"][0]] {
            assert_eq!(mount["name"], pod["volumes"][0]["name"]);
            assert_eq!(mount["mountPath"], folder);
        }
    }
}

const DEPLOYMENT: &str = r#"{"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
"spec": {"selector": {"matchLabels": {"app": "web"}}, "template": {"metadata": {"labels": {"app": "web"}},
"spec": {"containers": [{"name": "web", "image": "shop", "env": [{"name": "MODE", "value": "fast"}]}]}}}}"#;

#[test]
fn kubectl_merges_the_patch_and_keeps_what_was_there() {
    let Some(mut kubectl) = tool("/usr/bin/kubectl") else { return };
    let folder = folder();
    let recipe = files(&request(Place::Kubernetes, Allocator::Slackwater));
    let (patch, deployment) = (folder.path().join("patch.yaml"), folder.path().join("deployment.json"));
    fs::write(&patch, text(&recipe, "patch.yaml")).unwrap();
    fs::write(&deployment, DEPLOYMENT).unwrap();
    kubectl.args(["patch", "--local", "--type", "strategic", "--output", "json", "--filename"]);
    let output = kubectl.arg(&deployment).arg("--patch-file").arg(&patch).output().unwrap();
    let merged: Value = serde_json::from_str(&well(&output)).unwrap();
    let pod = &merged["spec"]["template"]["spec"];
    assert_eq!(pod["containers"].as_array().unwrap().len(), 1);
    assert_eq!(pod["containers"][0]["image"], "shop");
    let names: Vec<_> =
        pod["containers"][0]["env"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    assert_eq!(names, ["LD_PRELOAD", "MODE"]);
}

#[test]
fn a_compose_override_sets_text_and_mounts_the_library() {
    for &allocator in Allocator::ALL {
        let recipe = files(&request(Place::Compose, allocator));
        let Some(compose) = yaml(text(&recipe, "override.yaml")) else { return };
        let service = &compose["services"]["web"];
        let variables = service["environment"].as_object().unwrap();
        assert!(!variables.is_empty() && variables.values().all(Value::is_string), "{variables:?}");
        let mounts = service["volumes"].as_array();
        assert_eq!(mounts.is_some(), allocator == Allocator::Slackwater);
        if let Some(mount) = mounts.and_then(|mounts| mounts[0].as_str()) {
            let inside = mount.split(':').nth(1).unwrap();
            assert!(variables["LD_PRELOAD"].as_str().unwrap().starts_with(inside));
        }
    }
}

/// The instructions of a Dockerfile: continued lines joined, comments left out.
fn instructions(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", "");
    let split =
        |line: &str| line.split_once(' ').map(|(word, rest)| (word.to_owned(), rest.trim().to_owned()));
    joined.lines().filter(|line| !line.trim().is_empty()).map(|line| split(line).unwrap()).collect()
}

#[test]
fn a_dockerfile_installs_what_it_preloads() {
    for &allocator in Allocator::ALL {
        for &distribution in Distribution::ALL {
            let mut asked = request(Place::Docker, allocator);
            asked.distribution = distribution;
            let Ok(recipe) = slackwater_tune::recipes::recipe(&asked) else { continue };
            let found = instructions(text(&recipe.files, "Dockerfile"));
            let of = |word: &str| {
                found
                    .iter()
                    .filter(|(name, _)| name == word)
                    .map(|(_, rest)| rest.clone())
                    .collect::<Vec<_>>()
            };
            assert_eq!(found.len(), of("RUN").len() + of("COPY").len() + of("ENV").len(), "{found:?}");
            let environment = of("ENV");
            assert!(
                environment.iter().all(|one| one.split_once('=').is_some_and(|(name, value)| {
                    name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
                        && !value.contains([' ', '"', '$', '\\'])
                })),
                "{environment:?}"
            );
            for run in of("RUN") {
                well(&Command::new("sh").args(["-n", "-c", &run]).output().unwrap());
                let tested = run.rsplit_once("test -r ").unwrap().1;
                assert!(environment.contains(&format!("LD_PRELOAD={tested}")), "{run}");
            }
            if let Some(copy) = of("COPY").first() {
                let (file, to) = copy.split_once(' ').unwrap();
                assert!(environment.contains(&format!("LD_PRELOAD={to}{file}")), "{copy}");
            }
        }
    }
}

#[test]
fn what_a_dockerfile_sets_puts_the_library_into_python() {
    for allocator in [Allocator::Jemalloc, Allocator::Mimalloc, Allocator::Tcmalloc] {
        let Some(library) = installed(allocator) else { continue };
        let recipe = files(&request(Place::Docker, allocator));
        let found = instructions(text(&recipe, "Dockerfile"));
        let mut python = Command::new("python3");
        python.args(["-c", "print(open('/proc/self/maps').read())"]).env_clear().env("PATH", "/usr/bin:/bin");
        for (_, pair) in found.iter().filter(|(name, _)| name == "ENV") {
            let (name, value) = pair.split_once('=').unwrap();
            python.env(name, value);
        }
        let maps = well(&python.output().unwrap());
        assert!(maps.contains(&library.canonicalize().unwrap().display().to_string()), "{allocator}");
        // The packages have the names that Debian knows, and the paths that they install.
        let Some(mut query) = tool("/usr/bin/dpkg") else { continue };
        let package = allocator.package(Distribution::Debian).unwrap();
        assert!(well(&query.args(["--listfiles", package.name]).output().unwrap()).contains(package.library));
    }
}

#[test]
fn the_command_line_of_a_container_is_one_that_docker_takes() {
    for &allocator in Allocator::ALL {
        let recipe = files(&request(Place::DockerRun, allocator));
        let script = text(&recipe, "docker-run.sh");
        well(&Command::new("sh").args(["-n", "-c", script]).output().unwrap());
        let Some(docker) = tool("/usr/local/bin/docker").or_else(|| tool("/usr/bin/docker")) else {
            continue;
        };
        // No daemon answers at this address: all that can be wrong before it is asked is the command line.
        let mut run = Command::new("sh");
        run.args(["-c", script]).env("DOCKER_HOST", "unix:///nonexistent/docker.sock");
        run.env(
            "PATH",
            format!(
                "{}:/usr/bin:/bin",
                std::path::Path::new(docker.get_program()).parent().unwrap().display()
            ),
        );
        let said = String::from_utf8_lossy(&run.output().unwrap().stderr).into_owned();
        assert!(said.contains("annot connect") || said.contains("dial unix"), "{said}");
    }
}
