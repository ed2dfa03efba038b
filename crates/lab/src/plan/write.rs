//! A [`Plan`] as the text of a `lab.toml`, for plans that nobody wrote: the stages of a search.
//!
//! Invariant: [`read`](super::read()) makes the same plan of it, null arms included as long as the first arm
//! has one; files that the plan names are named, not copied.

use std::fmt::{Display, Write};

use super::literal::{command, environment, quoted, table, time};
use super::{Allocator, Arm, Bound, Http, Limit, Load, Plan, Ready, Request, Schedule, Service};
use crate::measure::Unit;

/// The text of a plan.
pub fn write(plan: &Plan) -> String {
    let mut out = Text::default();
    out.line("name", quoted(&plan.name));
    service(&mut out, &plan.service);
    load(&mut out, &plan.load);
    schedule(&mut out, &plan.schedule, &plan.load);
    // Whoever reads the plan adds the null arm.
    plan.arms.iter().filter(|arm| arm.is_null_of.is_none()).for_each(|one| arm(&mut out, one));
    plan.limits.iter().for_each(|one| limit(&mut out, one));
    out.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn table(&mut self, name: &str) {
        let _ = writeln!(self.0, "\n{name}");
    }

    fn line(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.0, "{key} = {value}");
    }
}

fn service(out: &mut Text, service: &Service) {
    out.table("[service]");
    out.line("command", command(&service.command));
    out.line("directory", quoted(&service.directory.to_string_lossy()));
    if !service.environment.is_empty() {
        out.line("environment", environment(&service.environment));
    }
    let ready = match &service.ready {
        Ready::Http(path) => format!("{{ http = {} }}", quoted(path)),
        Ready::Tcp => "{ tcp = true }".to_owned(),
        Ready::Log(line) => format!("{{ log = {} }}", quoted(line)),
        Ready::Started => "{ started = true }".to_owned(),
    };
    out.line("ready", ready);
    out.line("ready_within", time(service.ready_within));
    out.line("stop_within", time(service.stop_within));
    if let Some(limit) = service.memory_limit_bytes {
        out.line("memory_limit", limit);
    }
    cpus(out, "cpus", &service.cpus);
}

fn load(out: &mut Text, load: &Load) {
    out.table("[load]");
    match load {
        Load::Open { steps, http } => {
            out.line("model", quoted("open"));
            let step = |step: &super::Step| {
                format!("{{ rate = {}, for = {} }}", step.rate_per_second, time(step.duration))
            };
            out.line("steps", format!("[{}]", steps.iter().map(step).collect::<Vec<_>>().join(", ")));
            requests(out, http);
        }
        Load::Closed { users, think, duration, http } => {
            out.line("model", quoted("closed"));
            out.line("users", users);
            out.line("think", time(*think));
            out.line("duration", time(*duration));
            requests(out, http);
        }
        Load::External { command: words } => {
            out.line("model", quoted("external"));
            out.line("command", command(words));
        }
        Load::Work => out.line("model", quoted("work")),
    }
}

fn requests(out: &mut Text, http: &Http) {
    out.line("connections", http.connections);
    out.line("timeout", time(http.timeout));
    http.requests.iter().for_each(|one| request(out, one));
}

fn request(out: &mut Text, request: &Request) {
    out.table("[[load.request]]");
    out.line("weight", request.weight);
    out.line("method", quoted(&request.method));
    out.line("path", quoted(&request.path));
    if !request.headers.is_empty() {
        let headers = request.headers.iter().map(|(name, text)| (name.as_str(), text.as_str()));
        out.line("headers", table(headers));
    }
    match &request.body_file {
        Some(path) => out.line("body_file", quoted(&path.to_string_lossy())),
        None if request.body.is_empty() => {}
        // It was written in a plan, and plans are text.
        None => out.line("body", quoted(&String::from_utf8_lossy(&request.body))),
    }
    let status = request.status.map(|status| format!("status = {status}"));
    let contains = request.contains.as_ref().map(|text| format!("contains = {}", quoted(text)));
    let expected: Vec<String> = status.into_iter().chain(contains).collect();
    if !expected.is_empty() {
        out.line("expect", format!("{{ {} }}", expected.join(", ")));
    }
}

fn schedule(out: &mut Text, schedule: &Schedule, load: &Load) {
    out.table("[schedule]");
    out.line("repetitions", schedule.repetitions);
    out.line("sample_every", time(schedule.sample_every));
    out.line("seed", schedule.seed);
    if matches!(load, Load::Work) {
        return;
    }
    out.line("rounds", schedule.rounds);
    out.line("warm_up", time(schedule.warm_up));
    out.line("idle", time(schedule.idle));
    cpus(out, "load_cpus", &schedule.load_cpus);
}

fn cpus(out: &mut Text, key: &str, cpus: &[usize]) {
    if !cpus.is_empty() {
        out.line(key, format!("{cpus:?}"));
    }
}

fn arm(out: &mut Text, arm: &Arm) {
    out.table("[[arm]]");
    out.line("name", quoted(&arm.name));
    if let Some(words) = &arm.command {
        out.line("command", command(words));
    }
    if !arm.environment.is_empty() {
        out.line("environment", environment(&arm.environment));
    }
    if let Some(Allocator { choice, settings, pymalloc, bare }) = &arm.allocator {
        out.line("allocator", quoted(choice));
        if *bare {
            out.line("bare", true);
        }
        if !settings.is_empty() {
            out.line("set", table(settings.iter().filter_map(|setting| setting.split_once('='))));
        }
        if let Some(pymalloc) = pymalloc {
            out.line("pymalloc", quoted(pymalloc));
        }
    }
}

fn limit(out: &mut Text, limit: &Limit) {
    out.table("[[limit]]");
    out.line("measure", quoted(limit.measure.key()));
    if let Some(arm) = &limit.arm {
        out.line("arm", quoted(arm));
    }
    let key = if limit.measure.higher_is_better() { "at_least" } else { "at_most" };
    match limit.bound {
        Bound::Ratio(ratio) => out.line("ratio", ratio),
        Bound::Absolute(bound) => match limit.measure.unit() {
            Unit::Bytes | Unit::Number => out.line(key, bound),
            Unit::Seconds => out.line(key, format!("\"{bound}s\"")),
        },
    }
}
