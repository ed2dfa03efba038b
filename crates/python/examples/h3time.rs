#![allow(missing_docs, clippy::all, clippy::print_stdout, clippy::unwrap_used)]
use slackwater_base::Pid;
fn main() {
    let pid: i32 = std::env::args().nth(1).unwrap().parse().unwrap();
    let t = std::time::Instant::now();
    let live = slackwater_remote::Live::open(&slackwater_procfs::Root::host(), Pid(pid)).unwrap();
    println!("open {:?}", t.elapsed());
    for _ in 0..3 {
        let t = std::time::Instant::now();
        let found = slackwater_python::find(&live, &live).unwrap().unwrap();
        println!(
            "find {:?} {} {:?} {:?}",
            t.elapsed(),
            found.value.version,
            found.value.domains.map(|d| d.obj),
            found.gaps
        );
        for s in &found.value.pymalloc {
            let t = std::time::Instant::now();
            let w = slackwater_heap::pymalloc::walk(&live, s).unwrap();
            let e = t.elapsed();
            let b = w.value.ledger.total().process;
            println!(
                "walk {:?} {} MB {:.2} GB/s gaps {:?} retries {}",
                e,
                b / 1000000,
                b as f64 / e.as_secs_f64() / 1e9,
                w.gaps,
                w.value.arenas.iter().map(|a| a.retries).sum::<u32>()
            );
        }
    }
}
