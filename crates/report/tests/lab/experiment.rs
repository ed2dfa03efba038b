//! Experiments made by a small deterministic model of a service: memory rises under load to a plateau,
//! and falls afterwards as far as its allocator lets it.

use std::collections::BTreeMap;

use base64::Engine;
use hdrhistogram::Histogram;
use hdrhistogram::serialization::{Serializer, V2Serializer};
use slackwater_lab::result::{
    Answers, ArmAsRun, ArmCompared, Compared, Comparison, Experiment, InForce, Latency, LedgerPoint,
    LoadModel, Measure, Point, Recommendation, Round, SCHEMA, Surroundings, Trial, Verdict, Void, Warning,
};

/// How one arm behaves.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Behaviour {
    pub(crate) peak_mb: f64,
    pub(crate) idle_mb: f64,
    pub(crate) cpu_ms: f64,
    pub(crate) p50_ms: f64,
    pub(crate) faults: f64,
}

/// How much of it there is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) repetitions: usize,
    pub(crate) points: usize,
}

const LIVE_MB: f64 = 48.0;
const LOAD_SECONDS: f64 = 30.0;
const IDLE_SECONDS: f64 = 12.0;
const N_ANSWERS: u64 = 600;

/// The arms that the other tests use: a telemetry service under four mallocs.
pub(crate) fn telemetry() -> Experiment {
    let arm =
        |peak_mb, idle_mb, cpu_ms, p50_ms, faults| Behaviour { peak_mb, idle_mb, cpu_ms, p50_ms, faults };
    let arms = [
        ("glibc", None, arm(612.0, 548.0, 21.0, 18.0, 410.0)),
        ("jemalloc", Some("jemalloc"), arm(655.0, 590.0, 20.6, 17.8, 120.0)),
        ("jemalloc recipe", Some("jemalloc"), arm(318.0, 204.0, 22.9, 19.5, 690.0)),
        ("mimalloc", Some("mimalloc"), arm(580.0, 470.0, 19.5, 17.0, 150.0)),
        ("slackwater", Some("slackwater"), arm(286.0, 131.0, 21.4, 18.2, 260.0)),
        ("glibc again", None, arm(612.0, 548.0, 21.0, 18.0, 410.0)),
    ];
    let mut experiment = experiment(&arms, Size { repetitions: 5, points: 400 });
    experiment.arms[5].is_null_of = Some("glibc".to_owned());
    experiment.voids.push(Void {
        arm: "mimalloc".to_owned(),
        repetition: 3,
        started_unix_ms: 1_795_352_400_000,
        reason: "the generator fell behind: p99 of its lateness was 14 ms, more than 1 ms".to_owned(),
        log: vec!["[2026-11-22 13:00:01] [INFO] Booting worker with pid: 4242".to_owned()],
    });
    experiment
}

/// An experiment of these arms, and the comparison that goes with it.
pub(crate) fn experiment(arms: &[(&str, Option<&str>, Behaviour)], size: Size) -> Experiment {
    let mut dice = Dice(7);
    let mut trials = Vec::new();
    for repetition in 0..size.repetitions {
        for (name, allocator, behaviour) in arms {
            trials.push(trial(name, *allocator, *behaviour, repetition, size.points, &mut dice));
        }
    }
    let mut experiment = Experiment {
        schema: SCHEMA,
        slackwater: "0.1.0".to_owned(),
        name: "telemetry".to_owned(),
        plan: "name = \"telemetry\"\n\n[service]\ncommand = \"gunicorn --bind 127.0.0.1:{port} app:app\"\n\n\
               [load]\nmodel = \"open\"\nrate = 20\nduration = \"30s\"\n"
            .to_owned(),
        bodies: BTreeMap::new(),
        surroundings: Surroundings {
            kernel: "Linux 6.1.0-42-amd64".to_owned(),
            glibc: Some("2.36".to_owned()),
            huge_pages: Some("madvise".to_owned()),
            processor: Some("AMD EPYC 9454".to_owned()),
            n_cpus: 2,
            memory_bytes: 25_000_000_000,
            overcommit: Some("0".to_owned()),
        },
        arms: arms.iter().map(|(name, allocator, _)| as_run(name, *allocator)).collect(),
        model: LoadModel::Open,
        trials,
        voids: Vec::new(),
        comparison: None,
    };
    experiment.comparison = Some(comparison(arms, &experiment.trials, size.repetitions));
    experiment
}

fn as_run(name: &str, allocator: Option<&str>) -> ArmAsRun {
    let service = "gunicorn --workers 2 --threads 8 --bind 127.0.0.1:{port} telemetry.app:app";
    let start = match allocator {
        None => service.to_owned(),
        Some(allocator) if name.ends_with("recipe") => format!(
            "/opt/bin/slackwater run --allocator {allocator} --bare --set narenas=1 --set tcache=false \
             --set dirty_decay_ms=1000 --pymalloc keep -- {service}"
        ),
        Some(allocator) => format!("/opt/bin/slackwater run --allocator {allocator} -- {service}"),
    };
    ArmAsRun {
        name: name.to_owned(),
        command: start.split(' ').map(str::to_owned).collect(),
        environment: [("LOG_LEVEL".to_owned(), "warning".to_owned())].into(),
        is_null_of: None,
    }
}

fn trial(
    name: &str,
    allocator: Option<&str>,
    behaviour: Behaviour,
    repetition: usize,
    n_points: usize,
    dice: &mut Dice,
) -> Trial {
    let shift = 1.0 + 0.06 * (dice.roll() - 0.5);
    let ready = 2.0;
    let warm_up = 5.0;
    let length = LOAD_SECONDS + IDLE_SECONDS;
    let end = ready + warm_up + 2.0 * length;
    let rss_at = |at: f64, noise: f64| {
        let from_load = at - ready - warm_up;
        let (round, within) = ((from_load / length).floor(), from_load.rem_euclid(length));
        let before = if round < 1.0 { 70.0 } else { behaviour.idle_mb };
        let peak = behaviour.peak_mb * (1.0 - 0.08 * (-round.max(0.0)).exp());
        let megabytes = if from_load < 0.0 {
            30.0 + 40.0 * at / (ready + warm_up)
        } else if within < LOAD_SECONDS {
            peak + (before - peak) * (-within / 5.0).exp() - 20.0 * noise
        } else {
            behaviour.idle_mb + (peak - behaviour.idle_mb) * (-(within - LOAD_SECONDS) / 1.5).exp()
        };
        (megabytes * shift * 1e6) as u64
    };
    let series: Vec<Point> = (0..n_points)
        .map(|index| {
            let at = end * index as f64 / n_points as f64;
            let rss_bytes = rss_at(at, dice.roll());
            Point {
                at,
                rss_bytes,
                each_rss_bytes: vec![24_000_000, (rss_bytes - 24_000_000) / 2, (rss_bytes - 24_000_000) / 2],
                cpu_seconds: at * 0.4,
                minor_faults: (at * 900.0) as u64,
                cgroup_bytes: None,
            }
        })
        .collect();
    let rounds: Vec<Round> = (0..2)
        .map(|round| {
            let load_from = ready + warm_up + f64::from(round) * length;
            let within = |point: &&Point| (load_from..load_from + length).contains(&point.at);
            let peak = series.iter().filter(within).map(|point| point.rss_bytes).max().unwrap_or(0);
            let cpu = behaviour.cpu_ms / 1e3 * N_ANSWERS as f64 * (1.0 + 0.02 * dice.roll());
            Round {
                load_from,
                load_until: load_from + LOAD_SECONDS + 0.03,
                idle_until: load_from + length,
                load: Some(answers(behaviour.p50_ms, dice)),
                loaded_cpu_seconds: cpu,
                cpu_seconds: cpu * 1.01,
                minor_faults: (behaviour.faults * N_ANSWERS as f64) as u64,
                major_faults: 0,
                peak_rss_bytes: peak,
                idle_rss_bytes: rss_at(load_from + length - 0.1, 0.0),
                idle_pss_bytes: Some(rss_at(load_from + length - 0.1, 0.0) - 12_000_000),
                idle_private_bytes: Some(rss_at(load_from + length - 0.1, 0.0) - 20_000_000),
            }
        })
        .collect();
    let ledgers = rounds
        .iter()
        .flat_map(|round| {
            [round.load_from - 0.5, round.load_from + 20.0, round.load_until + 1.0, round.idle_until]
        })
        .map(|at| {
            let under_load = (at - ready - warm_up).rem_euclid(length) < LOAD_SECONDS;
            let live = (LIVE_MB * if under_load { 1.6 } else { 1.0 } * 1e6) as u64;
            let rss = rss_at(at, 0.5);
            LedgerPoint {
                at,
                ledger: [
                    ("live_python".to_owned(), live * 3 / 4),
                    ("live_native".to_owned(), live / 4),
                    ("slack_trimmable".to_owned(), rss.saturating_sub(live)),
                ]
                .into(),
                pss_bytes: rss - 12_000_000,
                private_bytes: rss - 20_000_000,
                unread: Vec::new(),
            }
        })
        .collect();
    Trial {
        arm: name.to_owned(),
        repetition,
        started_unix_ms: 1_795_352_000_000 + 90_000 * repetition as u64,
        ready_seconds: ready,
        in_force: in_force(name, allocator),
        rounds,
        series,
        ledgers,
        cgroup_peak_bytes: None,
        n_replaced: 0,
        disturbances: Default::default(),
        sampling_cpu_seconds: 0.11,
        gaps: Vec::new(),
    }
}

fn in_force(name: &str, allocator: Option<&str>) -> Vec<InForce> {
    let process = |pid, role: &str| InForce {
        pid,
        role: role.to_owned(),
        python: Some("3.11.2".to_owned()),
        allocator: allocator.unwrap_or("glibc 2.36").to_owned(),
        objects: Some(if allocator == Some("slackwater") { "malloc" } else { "pymalloc" }.to_owned()),
        settings: match name {
            "jemalloc recipe" => [("narenas", "1"), ("tcache", "false"), ("dirty_decay_ms", "1000")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            _ => BTreeMap::new(),
        },
        purging: (allocator == Some("slackwater")).then(|| "the governor".to_owned()),
    };
    vec![process(4000, "master"), process(4001, "worker"), process(4002, "worker")]
}

fn answers(p50_ms: f64, dice: &mut Dice) -> Answers {
    let mut histogram =
        Histogram::<u64>::new_with_bounds(1, 60_000_000, 3).expect("bounds that are in order");
    for _ in 0..N_ANSWERS {
        let milliseconds = p50_ms * (0.7 + 0.6 * dice.roll()) + if dice.roll() > 0.98 { 40.0 } else { 0.0 };
        histogram.record((milliseconds * 1e3) as u64).expect("a latency below the bound");
    }
    let mut bytes = Vec::new();
    V2Serializer::new().serialize(&histogram, &mut bytes).expect("room for a histogram");
    let quantile = |quantile| histogram.value_at_quantile(quantile) as f64 / 1e6;
    Answers {
        n_due: N_ANSWERS,
        n_right: N_ANSWERS,
        n_wrong: 0,
        n_timeouts: 0,
        n_failed: 0,
        n_resent: 0,
        late_p99_seconds: 0.000_2,
        right_per_second: N_ANSWERS as f64 / LOAD_SECONDS,
        example_of_wrong: None,
        latency_us_hdr: base64::engine::general_purpose::STANDARD.encode(bytes),
        latency: Latency {
            p50: quantile(0.5),
            p90: quantile(0.9),
            p99: quantile(0.99),
            p999: quantile(0.999),
            max: histogram.max() as f64 / 1e6,
        },
    }
}

fn comparison(arms: &[(&str, Option<&str>, Behaviour)], trials: &[Trial], repetitions: usize) -> Comparison {
    let median_of = |arm: &str, of: &dyn Fn(&Trial) -> f64| {
        let mut values: Vec<f64> = trials.iter().filter(|trial| trial.arm == arm).map(of).collect();
        values.sort_by(f64::total_cmp);
        values[values.len() / 2]
    };
    let answers = 2.0 * N_ANSWERS as f64;
    let last = |trial: &Trial| trial.rounds.last().cloned().expect("two rounds");
    let latency = |trial: &Trial| last(trial).load.expect("answers").latency;
    let measures: [(Measure, Taken<'_>); 8] = [
        (Measure::PeakRss, &|trial| {
            trial.rounds.iter().map(|round| round.peak_rss_bytes).max().unwrap_or(0) as f64
        }),
        (Measure::IdleRss, &|trial| last(trial).idle_rss_bytes as f64),
        (Measure::IdlePss, &|trial| last(trial).idle_pss_bytes.unwrap_or(0) as f64),
        (Measure::Cpu, &|trial| trial.rounds.iter().map(|round| round.cpu_seconds).sum::<f64>() / answers),
        (Measure::P50, &|trial| latency(trial).p50),
        (Measure::P99, &|trial| latency(trial).p99),
        (Measure::Throughput, &|_| N_ANSWERS as f64 / LOAD_SECONDS),
        (Measure::MinorFaults, &|trial| {
            trial.rounds.iter().map(|round| round.minor_faults).sum::<u64>() as f64 / answers
        }),
    ];
    let baseline = arms[0].0;
    let compared = |arm: &str, of: &dyn Fn(&Trial) -> f64| {
        let median = median_of(arm, of);
        let ratio = median / median_of(baseline, of);
        let (low, high) = (ratio * 0.97, ratio * 1.03);
        let verdict = match () {
            () if arm == baseline => Verdict::Baseline,
            () if high < 1.0 => Verdict::Better,
            () if low > 1.0 => Verdict::Worse,
            () => Verdict::NoDifferenceSeen,
        };
        Compared { median, ratio, low, high, verdict }
    };
    Comparison {
        baseline: baseline.to_owned(),
        arms: arms
            .iter()
            .map(|(name, ..)| ArmCompared {
                arm: (*name).to_owned(),
                n_trials: repetitions,
                measures: measures.iter().map(|(measure, of)| (*measure, compared(name, of))).collect(),
                on_front: ["slackwater", "mimalloc"].contains(name),
            })
            .collect(),
        recommended: arms.iter().any(|(name, ..)| *name == "slackwater").then(|| Recommendation {
            arm: "slackwater".to_owned(),
            objective: "least memory after load within 3 % of the baseline's CPU".to_owned(),
            reasons: vec![
                "it has the least memory after load of the arms within 3 % of glibc's CPU".to_owned(),
            ],
        }),
        warnings: vec![Warning {
            kind: "few_repetitions".to_owned(),
            arm: None,
            message: "5 repetitions show differences of about 5 %; smaller ones need more".to_owned(),
        }],
    }
}

/// How a measure is taken from a trial.
type Taken<'a> = &'a dyn Fn(&Trial) -> f64;

/// Numbers from 0 to 1 that are the same every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1_u64 << 53) as f64
    }
}
