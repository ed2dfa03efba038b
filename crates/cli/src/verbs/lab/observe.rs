//! Looking into the processes of a service under test, with what `diagnose` and `verify` see. Reads only.

use std::collections::BTreeMap;

use slackwater_base::{Class, Gap, Partial, Pid};
use slackwater_diagnose::serving::Serving;
use slackwater_diagnose::{MallocKind, Member, ProcessTable, Selector, Service, select};
use slackwater_lab::observe::{Holdings, Observer};
use slackwater_lab::result::InForce;
use slackwater_procfs::Root;
use slackwater_tune::hazards::Surroundings;

use crate::verbs::{look, surroundings, verify};

/// Looks with the eyes of the other verbs.
pub(super) struct Eyes {
    root: Root,
    surroundings: Surroundings,
}

impl Eyes {
    pub(super) fn new() -> Self {
        Self { root: Root::host(), surroundings: surroundings::read() }
    }

    /// The service that `pids` are, as one; its helpers are part of it.
    fn service(&self, pids: &[Pid], gaps: &mut Vec<Gap>) -> Option<Service> {
        let table = match ProcessTable::read(&self.root) {
            Ok(table) => table,
            Err(error) => {
                gaps.push(Gap::new("the list of processes", error.to_string()));
                return None;
            }
        };
        // One that has ended meanwhile is none that anybody can look at.
        let pids: Vec<Pid> = pids.iter().copied().filter(|pid| table.get(*pid).is_some()).collect();
        let services = select(&table, &Selector::Pids(pids.clone())).ok()?;
        let mut service = services.first()?.clone();
        let members = services.into_iter().flat_map(|service| service.members);
        service.members = members.filter(|member: &Member| pids.contains(&member.pid)).collect();
        (!service.members.is_empty()).then_some(service)
    }
}

impl Observer for Eyes {
    fn ledger(&self, pids: &[Pid]) -> Partial<Option<Holdings>> {
        let mut gaps = Vec::new();
        let Some(service) = self.service(pids, &mut gaps) else { return Partial { value: None, gaps } };
        let look = match look::look(&self.root, &service) {
            Ok(look) => look,
            Err(failure) => {
                gaps.push(Gap::new("where the memory is", failure.error));
                return Partial { value: None, gaps };
            }
        };
        if let Some(error) = look.denied {
            gaps.push(Gap::new("where the memory is", format!("{error}; run as root to see it")));
        }
        let mut holdings = Holdings::default();
        for process in &look.processes {
            let ledger = Class::ALL.iter().map(|&class| (class, process.ledger[class].process));
            holdings.add(process.pid, process.role.key(), ledger);
            holdings.pss_bytes += process.pss_bytes.unwrap_or(0);
            holdings.private_bytes += process.uss_bytes.unwrap_or(0);
        }
        Partial { value: Some(holdings), gaps }
    }

    fn in_force(&self, pids: &[Pid]) -> Partial<Vec<InForce>> {
        let mut gaps = Vec::new();
        let Some(service) = self.service(pids, &mut gaps) else { return Partial { value: Vec::new(), gaps } };
        let pythons: BTreeMap<Pid, String> = match look::look(&self.root, &service) {
            Ok(look) => {
                let processes = look.processes.into_iter();
                processes.filter_map(|process| Some((process.pid, process.python?.text))).collect()
            }
            Err(_) => BTreeMap::new(),
        };
        let mut all = Vec::new();
        for member in &service.members {
            match verify::process(&self.root, member, &self.surroundings) {
                Ok(serving) => all.push(in_force(&serving, pythons.get(&member.pid))),
                Err(error) => {
                    gaps.push(Gap::new(
                        format!("what serves malloc ({})", member.role.key()),
                        error.to_string(),
                    ));
                }
            }
        }
        Partial { value: all, gaps }
    }
}

fn in_force(serving: &Serving, python: Option<&String>) -> InForce {
    let kind = serving.server.kind;
    let version = match kind {
        MallocKind::Glibc => serving.glibc.map(|version| version.to_string()),
        _ => serving.version.clone(),
    };
    let name = match (&serving.server.library, kind) {
        (Some(library), MallocKind::Unknown) => library.display().to_string(),
        _ => kind.key().to_owned(),
    };
    InForce {
        pid: serving.pid.0,
        role: serving.role.key().to_owned(),
        python: python.cloned(),
        allocator: version.map_or_else(|| name.clone(), |version| format!("{name} {version}")),
        objects: serving.objects.map(|objects| objects.key().to_owned()),
        settings: serving
            .settings
            .iter()
            .map(|setting| (setting.key.clone(), setting.value.clone()))
            .collect(),
        purging: Some(serving.purging.by.key().to_owned()),
    }
}
