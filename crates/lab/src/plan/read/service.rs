//! `[service]`: how it is started, found ready and stopped.

use std::time::Duration;

use super::Around;
use super::table::{Table, Value};
use crate::plan::{Arm, Load, PlanError, Ready, Service};

const KEYS: &[&str] =
    &["command", "directory", "environment", "ready", "ready_within", "stop_within", "memory_limit", "cpus"];

/// No interpreter starts in less.
const LEAST_MEMORY: u64 = 4 << 20;

/// The service; its command stays empty where it has none of its own.
pub(super) fn read(root: &Table, around: &Around, load: &Load) -> Result<Service, PlanError> {
    let mut service = Service {
        command: Vec::new(),
        directory: around.folder.clone(),
        environment: Default::default(),
        ready: match load {
            Load::Open { .. } | Load::Closed { .. } => Ready::Tcp,
            Load::External { command } if mentions_port(command) => Ready::Tcp,
            Load::External { .. } | Load::Work => Ready::Started,
        },
        ready_within: Duration::from_secs(60),
        stop_within: Duration::from_secs(10),
        memory_limit_bytes: None,
        cpus: Vec::new(),
    };
    let Some(table) = root.get("service") else { return Ok(service) };
    let table = table.table(KEYS)?;
    if let Some(command) = table.get("command") {
        service.command = command.command()?;
    }
    if let Some(directory) = table.get("directory") {
        let directory = directory.filled("the folder that it runs in, counted from the plan's")?;
        service.directory = around.folder.join(directory);
    }
    if let Some(environment) = table.get("environment") {
        service.environment = environment.environment()?;
    }
    if let Some(value) = table.get("ready") {
        service.ready = ready(&value)?;
    }
    if let Some(time) = table.get("ready_within") {
        service.ready_within = time.duration(Duration::from_millis(100))?;
    }
    if let Some(time) = table.get("stop_within") {
        service.stop_within = time.duration(Duration::from_millis(100))?;
    }
    if let Some(limit) = table.get("memory_limit") {
        service.memory_limit_bytes = Some(limit.bytes(LEAST_MEMORY)?);
    }
    if let Some(cpus) = table.get("cpus") {
        service.cpus = cpus.cpus()?;
    }
    Ok(service)
}

fn ready(value: &Value) -> Result<Ready, PlanError> {
    const ACCEPTED: &str =
        "one of { http = \"/health\" }, { tcp = true }, { log = \"Listening at\" }, { started = true }";
    let table = value.table(&["http", "tcp", "log", "started"])?;
    let [way] = table.values() else { return Err(value.refuse(ACCEPTED)) };
    match way.key.as_str() {
        "http" => super::load::path(way).map(Ready::Http),
        "log" => way
            .filled("a part of the line that it writes when it is ready")
            .map(|line| Ready::Log(line.to_owned())),
        _ if !way.switch()? => Err(way.refuse("true")),
        "tcp" => Ok(Ready::Tcp),
        _ => Ok(Ready::Started),
    }
}

/// Gives the service a command if only its arms have one, and holds every command against the load.
pub(super) fn commands(
    root: &Table,
    service: &mut Service,
    arms: &[Arm],
    load: &Load,
) -> Result<(), PlanError> {
    let table = root.get("service");
    let line = table.as_ref().map_or(1, |table| table.line);
    if service.command.is_empty() {
        if arms.iter().any(|arm| arm.command.is_none()) {
            return Err(PlanError::Missing {
                line,
                place: "[service]".to_owned(),
                key: "command",
                accepted: "what starts the service, such as \"gunicorn --bind 127.0.0.1:{port} app:app\"",
            });
        }
        service.command = arms.iter().find_map(|arm| arm.command.clone()).unwrap_or_default();
    }
    let needs_port = matches!(load, Load::Open { .. } | Load::Closed { .. })
        || matches!(load, Load::External { command } if mentions_port(command))
        || matches!(service.ready, Ready::Http(_) | Ready::Tcp);
    let in_variables = |arm: &Arm| {
        let variables = service.environment.values().chain(arm.environment.values());
        variables.into_iter().any(|value| value.contains("{port}"))
    };
    let without = arms.iter().find(|arm| {
        let command = arm.command.as_ref().unwrap_or(&service.command);
        !command.iter().any(|word| word.contains("{port}")) && !in_variables(arm)
    });
    match without {
        Some(arm) if needs_port => Err(PlanError::Conflict {
            line,
            what: format!("the command of arm '{}' says nowhere which port to listen on", arm.name),
            hint: "write {port} where the port belongs, such as --bind 127.0.0.1:{port}: each start has a \
                   free one"
                .to_owned(),
        }),
        _ => Ok(()),
    }
}

fn mentions_port(command: &[String]) -> bool {
    command.iter().any(|word| word.contains("{port}") || word.contains("{url}"))
}
