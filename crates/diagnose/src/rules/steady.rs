//! SW100: no other finding decides.

use super::{Facts, bytes, share};
use crate::{Code, Finding, Kind, advice};

pub(super) fn finding(facts: &Facts<'_>) -> Finding {
    let slack = facts.service.ledger.slack().service;
    let mut advice = Vec::new();
    if facts.growth.is_none() {
        advice.push(advice::watch(facts.target, "one look cannot see growth: watch it under load"));
    }
    Finding {
        code: Code::Steady,
        kind: Kind::Steady,
        pid: None,
        bytes: facts.service.rss_bytes,
        bytes_per_second: None,
        confidence: facts.confidence(),
        evidence: vec![
            bytes("live_bytes", facts.service.ledger.live().service),
            bytes("slack_bytes", slack),
            share("slack_share", facts.share(slack)),
        ],
        advice,
    }
}
