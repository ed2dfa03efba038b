//! `lab`: real services under load, services that fail in every way, and a runner that is stopped anywhere.

mod failing;
mod orphans;
mod plans;
mod resume;
mod sampling;
mod servers;
mod tuning;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use crate::{Ran, python, slackwater};

/// A small web service. The mode decides how it goes wrong, if at all.
const SERVICE: &str = r#"
import http.server, os, sys, time

port, mode = int(sys.argv[1]), sys.argv[2]
n_asked = 0

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        global n_asked
        n_asked += 1
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if mode == "dies" and n_asked > 5:
            print("going down", flush=True)
            os._exit(7)
        body = b"wrong" if mode == "wrong" and n_asked > 5 else b"right"
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass

if mode == "ends":
    print("no configuration", file=sys.stderr)
    sys.exit(3)
if mode == "never":
    print("waiting for the database", flush=True)
    time.sleep(600)
if mode == "background" and os.fork() > 0:
    sys.exit(0)
http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"#;

/// A folder with a plan in it, from which the runner is started, so that everything that comes of it can be
/// found again: it has the folder in its arguments or as its working directory.
struct Bench {
    folder: TempDir,
}

impl Bench {
    /// With files beside the plan.
    fn new(plan: &str, files: &[(&str, &str)]) -> Self {
        let folder = tempfile::Builder::new().prefix("slackwater-lab-test-").tempdir().unwrap();
        let bench = Self { folder };
        for (name, text) in files {
            fs::write(bench.path(name), text).unwrap();
        }
        bench.plan(plan);
        bench
    }

    /// A plan for [`SERVICE`] in several modes, each an arm, loaded for a moment.
    fn serving(modes: &[&str]) -> Self {
        let bench = Self::new("", &[("service.py", SERVICE)]);
        let arm = |mode: &&str| {
            format!("[[arm]]\nname = '{mode}'\ncommand = '{} {{port}} {mode}'\n", bench.script("service.py"))
        };
        let arms: String = modes.iter().map(arm).collect();
        let command = format!("{} {{port}} {}", bench.script("service.py"), modes[0]);
        bench.plan(&format!(
            "name = 'test'\n[service]\ncommand = '{command}'\nready = {{ tcp = true }}\nready_within = '20s'\n\
             stop_within = '2s'\n[load]\nmodel = 'closed'\nusers = 2\nthink = '10ms'\nduration = '500ms'\n\
             [[load.request]]\npath = '/'\nexpect = {{ contains = 'right' }}\n\
             [schedule]\nrepetitions = 1\nrounds = 1\nwarm_up = '0s'\nidle = '300ms'\nsample_every = '50ms'\n{arms}"
        ));
        bench
    }

    /// A plan for a script that does its work and ends. `more` goes into its `[service]`.
    fn working(script: &str, more: &str, repetitions: usize) -> Self {
        let bench = Self::new("", &[("work.py", script)]);
        bench.plan(&format!(
            "name = 'work'\n[service]\ncommand = '{}'\nready = {{ started = true }}\nstop_within = '200ms'\n{more}\n\
             [load]\nmodel = 'work'\n[schedule]\nrepetitions = {repetitions}\nsample_every = '50ms'\n[[arm]]\nname = 'plain'\n",
            bench.script("work.py")
        ));
        bench
    }

    /// The words that run a script of the folder.
    fn script(&self, name: &str) -> String {
        format!("{} {}", python().path().display(), self.path(name).display())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn plan(&self, text: &str) {
        fs::write(self.path("lab.toml"), text).unwrap();
    }

    fn command(&self, more: &str) -> Command {
        let mut command = slackwater(&format!("lab run lab.toml {more}"));
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    fn run(&self) -> Ran {
        self.command("").output().unwrap().into()
    }

    /// The runner, on its way.
    fn start(&self) -> Running {
        let mut command = self.command("");
        Running(Some(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()))
    }

    fn result(&self) -> Value {
        serde_json::from_slice(&fs::read(self.path("lab.lab/result.json")).unwrap()).unwrap()
    }

    /// Processes of it that have not ended.
    fn alive(&self) -> Vec<String> {
        let of_folder = |pid: &str| {
            let process = Path::new("/proc").join(pid);
            let cmdline =
                String::from_utf8_lossy(&fs::read(process.join("cmdline")).ok()?).replace('\0', " ");
            let is_inside =
                fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd.starts_with(self.folder.path()));
            let is_named = cmdline.contains(&*self.folder.path().to_string_lossy());
            (is_inside || is_named).then(|| format!("{pid} {cmdline}"))
        };
        let entries = fs::read_dir("/proc").unwrap().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        names
            .filter(|name| name.bytes().all(|byte| byte.is_ascii_digit()))
            .filter_map(|pid| of_folder(&pid))
            .collect()
    }

    /// Waits until nothing of it is left: processes, and groups of keepers that are gone.
    #[track_caller]
    fn assert_nothing_is_left(&self) {
        wait_for("the end of every process", || {
            let alive = self.alive();
            if alive.is_empty() { Ok(()) } else { Err(format!("{alive:#?}")) }
        });
        wait_for("the end of every control group", || {
            let left = abandoned_groups();
            if left.is_empty() { Ok(()) } else { Err(format!("{left:#?}")) }
        });
    }
}

/// A runner that is under way.
struct Running(Option<Child>);

impl Running {
    fn pid(&self) -> i32 {
        self.0.as_ref().unwrap().id() as i32
    }

    fn signal(&self, signal: i32) {
        // SAFETY: no memory is involved, and the child was not waited for: the pid is its own.
        #[allow(unsafe_code, reason = "std cannot send signals")]
        let sent = unsafe { libc::kill(self.pid(), signal) };
        assert_eq!(sent, 0);
    }

    fn has_ended(&mut self) -> bool {
        self.0.as_mut().unwrap().try_wait().unwrap().is_some()
    }

    fn output(mut self) -> Output {
        self.0.take().unwrap().wait_with_output().unwrap()
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until `is_so` holds; what it says when it never does fails the test.
#[track_caller]
fn wait_for(what: &str, is_so: impl Fn() -> Result<(), String>) {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match is_so() {
            Ok(()) => return,
            Err(instead) => assert!(Instant::now() < deadline, "{what} did not come: {instead}"),
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn exists(path: &Path) -> Result<(), String> {
    if path.exists() { Ok(()) } else { Err(format!("no {}", path.display())) }
}

/// Control groups of keepers that are gone. Those of runs elsewhere on the machine have a keeper.
fn abandoned_groups() -> Vec<PathBuf> {
    let own = slackwater_procfs::Root::host();
    let group = own.process(slackwater_base::Pid(std::process::id() as i32)).unwrap().memory_group(&own);
    let Ok(Some(group)) = group else { return Vec::new() };
    let places = group.directory.ancestors().take(2).map(Path::to_owned).collect::<Vec<_>>();
    let entries = places.iter().flat_map(|place| fs::read_dir(place).into_iter().flatten().flatten());
    entries
        .map(|entry| entry.path())
        .filter(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            let Some(pid) = name.strip_prefix("slackwater-lab-") else { return false };
            let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
            // Ended, whether or not somebody has waited for it.
            stat.rsplit(')').next().is_none_or(|rest| rest.is_empty() || rest.starts_with(" Z"))
        })
        .collect()
}

/// Whether this is root: only root can make control groups everywhere.
fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    status.lines().any(|line| line.starts_with("Uid:\t0\t"))
}

fn names<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    list.as_array().unwrap().iter().map(|one| one[key].as_str().unwrap()).collect()
}
