//! Real gunicorn and uvicorn with the demo's service, from the plan to the result.

use std::fs;

use super::{Bench, names};
use crate::{Ran, repository, slackwater, validate_by};

#[test]
fn gunicorn_and_uvicorn_under_load_from_plan_to_result() {
    let demo = repository().join("demo").canonicalize().unwrap();
    let servers = demo.join(".venv/bin");
    if !servers.join("gunicorn").exists() {
        eprintln!("not tested: no gunicorn, which `make setup` installs in demo/.venv");
        return;
    }
    let library = slackwater_testkit::allocator_library().unwrap();
    let plan = format!(
        "name = 'telemetry'\n[service]\n\
         command = '{servers}/gunicorn --workers 2 --threads 4 --bind 127.0.0.1:{{port}} --no-control-socket telemetry.app:app'\n\
         directory = '{demo}'\nenvironment = {{ TELEMETRY_DEVICES = '20', TELEMETRY_BACKLOG = '64' }}\n\
         ready = {{ http = '/health' }}\nready_within = '120s'\n\
         [load]\nmodel = 'closed'\nusers = 2\nthink = '20ms'\nduration = '1s'\n\
         [[load.request]]\npath = '/devices/pump-0000/history?limit={{random:10..50}}'\n\
         expect = {{ status = 200, contains = '\"points\"' }}\n\
         [schedule]\nrepetitions = 1\nrounds = 2\nwarm_up = '500ms'\nidle = '1s'\n\
         [[arm]]\nname = 'gunicorn'\n[[arm]]\nname = 'slackwater'\nallocator = 'slackwater'\nset = {{ dirty_decay_ms = 500 }}\n\
         [[arm]]\nname = 'uvicorn'\n\
         command = '{servers}/uvicorn --workers 2 --log-level warning --host 127.0.0.1 --port {{port}} telemetry.asgi:app'\n",
        servers = servers.display(),
        demo = demo.display(),
    );
    let bench = Bench::new(&plan, &[]);
    let output = bench.command("").env("SLACKWATER_LIBRARY", library).output().unwrap();
    let ran = Ran::from(output);
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("plan: 4 arms (1 null) x 1 repetitions of 2 rounds"), "{}", ran.err);
    let result = bench.result();
    assert_eq!(result["plan"], fs::read_to_string(bench.path("lab.toml")).unwrap());
    let mut measured = names(&result["trials"], "arm");
    measured.sort_unstable();
    assert_eq!(measured, ["gunicorn", "gunicorn again", "slackwater", "uvicorn"]);

    for trial in result["trials"].as_array().unwrap() {
        let arm = trial["arm"].as_str().unwrap();
        let rounds = trial["rounds"].as_array().unwrap();
        assert_eq!(rounds.len(), 2);
        let mut last = 0.0;
        for round in rounds {
            assert!(round["load"]["n_right"].as_u64().unwrap() > 0, "{round}");
            assert_eq!(round["load"]["n_wrong"], 0);
            for moment in ["load_from", "load_until", "idle_until"] {
                let at = round[moment].as_f64().unwrap();
                assert!(at > last, "{moment} of {arm}: {round}");
                last = at;
            }
            let bytes = |key: &str| round[key].as_u64().unwrap();
            assert!(bytes("idle_rss_bytes") <= bytes("peak_rss_bytes"), "{round}");
            assert!(bytes("idle_private_bytes") <= bytes("idle_pss_bytes"), "{round}");
            assert!(bytes("idle_pss_bytes") < bytes("peak_rss_bytes"), "forked workers share pages: {round}");
            assert!(round["cpu_seconds"].as_f64() >= round["loaded_cpu_seconds"].as_f64(), "{round}");
        }
        assert_eq!(trial["n_replaced"], 0, "{arm}");
        // The workers, and whoever started them.
        let in_force = trial["in_force"].as_array().unwrap();
        let workers: Vec<_> = in_force.iter().filter(|one| one["role"] == "worker").collect();
        assert_eq!(workers.len(), 2, "{arm}: {in_force:#?}");
        for worker in workers {
            let serves = worker["allocator"].as_str().unwrap();
            if arm == "slackwater" {
                assert!(serves.starts_with("slackwater"), "{serves}");
                assert_eq!(worker["settings"]["dirty_decay_ms"], "500", "as asked, read from the process");
            } else {
                assert!(serves.starts_with("glibc"), "{serves}");
            }
        }
        // Each ledger adds up to what was resident then.
        for ledger in trial["ledgers"].as_array().unwrap() {
            let sum: u64 =
                ledger["ledger"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap()).sum();
            let at = ledger["at"].as_f64().unwrap();
            let series = trial["series"].as_array().unwrap();
            // A look takes its time, in which a service that starts grows.
            let while_looking =
                series.iter().filter(|point| (point["at"].as_f64().unwrap() - at).abs() < 1.0);
            let rss: Vec<u64> = while_looking.map(|point| point["rss_bytes"].as_u64().unwrap()).collect();
            let (least, most) = (rss.iter().min().unwrap(), rss.iter().max().unwrap());
            assert!(
                (least - least / 10..=most + most / 10).contains(&sum),
                "{arm}: a ledger of {sum} at {at}, RSS {rss:?}"
            );
        }
        assert!(trial["ledgers"].as_array().unwrap().len() >= 5, "{arm}");
        let samples = trial["series"].as_array().unwrap();
        assert!(samples.iter().all(|point| point["each_rss_bytes"].as_array().unwrap().len() <= 4), "{arm}");
    }
    let command = result["arms"][1]["command"].as_array().unwrap();
    assert!(
        command.iter().any(|word| word == "--allocator")
            && command.iter().any(|word| word == "{port}" || word.as_str().unwrap().contains("{port}"))
    );
    validate_by("lab.v1.json", &result);
    bench.assert_nothing_is_left();

    let lab = |words: &str| -> Ran {
        slackwater(&format!("lab {words}")).current_dir(bench.folder.path()).output().unwrap().into()
    };
    fs::remove_file(bench.path("lab.lab/report.html")).unwrap();
    let ran = lab("report lab.lab");
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("uvicorn") && ran.out.contains("slackwater"), "{}", ran.out);
    assert!(fs::read_to_string(bench.path("lab.lab/report.html")).unwrap().contains("</html>"));
    let ran = lab("report lab.lab --json");
    let again: serde_json::Value = serde_json::from_str(&ran.out).unwrap();
    assert_eq!((&again["trials"], &again["comparison"]), (&result["trials"], &result["comparison"]));

    let ran = lab("check lab.toml --limit idle_rss<=100GB --limit cpu:uvicorn<=1h");
    assert_eq!((ran.code, ran.out.lines().count()), (0, 4), "{}{}", ran.out, ran.err);
    let ran = lab("check lab.lab --limit idle_rss:slackwater<=1MB");
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.out.starts_with("FAIL") && ran.out.contains("above the limit of"), "{}", ran.out);
    let ran = lab("check lab.lab");
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("--limit"), "{}", ran.err);
}
