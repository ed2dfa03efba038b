//! Writes `images/`: a small planted heap under each recorded release of glibc found, and one under our
//! library, as the walks read them.
//!
//! `RUSTFLAGS=-Copt-level=1 cargo run --package slackwater-fuzz-record`, in `fuzz/`. The flags replace
//! those for coverage.

use std::error::Error;
use std::path::Path;

use slackwater_base::{PAGE_SIZE, Range};
use slackwater_fuzz::{Base, Region, decode, encode};
use slackwater_heap::{Allocator, glibc, jemalloc};
use slackwater_memory::{Kind, Mapping, Memory};
use slackwater_procfs::Root;
use slackwater_remote::Live;
use slackwater_testkit::{Program, Target, allocator_library, glibc_roots};

const BLOCKS: &str = include_str!("../../../crates/heap/tests/planted/blocks.h");
const ORACLE: &str = include_str!("../../../crates/heap/tests/planted/oracle.h");
const SMALL: &str = include_str!("../../../crates/heap/tests/planted/small.c");
const JEMALLOC: &str = include_str!("../../../crates/heap/tests/planted/jemalloc.h");
const JEMALLOC_SMALL: &str = include_str!("../../../crates/heap/tests/planted/jemalloc_small.c");
/// What a C library says of itself in its read-only data.
const BANNER: &[u8] = b"GNU C Library";
/// More than the sentence that states the release.
const MOST_BANNER_BYTES: u64 = 128;

/// Releases that differ in what a walk depends on.
const RECORDED_MINORS: [u16; 3] = [31, 36, 43];

fn main() -> Result<(), Box<dyn Error>> {
    let text = format!("{BLOCKS}{ORACLE}{SMALL}");
    record(&Program::c("small", &text)?.spawn()?)?;
    for root in glibc_roots() {
        record(&Program::c_within(root, "small", &text)?.spawn()?)?;
    }
    let library = allocator_library()?;
    let under_ours = Program::c("jemalloc_small", &format!("{BLOCKS}{JEMALLOC}{JEMALLOC_SMALL}"))?
        .env("LD_PRELOAD", library)
        .env("SLACKWATER_GOVERNOR", "off")
        .env("MALLOC_CONF", "narenas:1");
    record_jemalloc(&under_ours.spawn()?)
}

fn record_jemalloc(target: &Target) -> Result<(), Box<dyn Error>> {
    let live = Live::open(&Root::host(), target.pid())?;
    let block = jemalloc::find_block(&live, &live).ok_or("no block of our library")?;
    let recorded = encode(&image_of(&live)?);
    let image = decode(&mut &recorded[..]).ok_or("a recording that ends too early")?.into_image();
    let walked = jemalloc::walk(&image, &jemalloc::read_block(&image, block)?)?;
    if !walked.gaps.is_empty() {
        return Err(format!("jemalloc: {:?}", walked.gaps).into());
    }
    let mut file = block.get().to_le_bytes().to_vec();
    file.extend(recorded);
    write(&format!("jemalloc-{}", jemalloc::VERSION), &file)
}

fn write(name: &str, file: &[u8]) -> Result<(), Box<dyn Error>> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../images").join(name);
    std::fs::write(&path, file)?;
    println!("{}: {} bytes", path.display(), file.len());
    Ok(())
}

/// What a walk may read.
fn image_of(live: &Live) -> Result<Base, Box<dyn Error>> {
    let mut base = Base { threads: live.threads()?, ..Base::default() };
    for mapping in live.mappings() {
        if mapping.is_anonymous_data() || (mapping.file().is_some() && mapping.access.write) {
            base.regions.extend(whole(live, mapping)?);
        } else if mapping.file_name().is_some_and(|name| name.starts_with("libc")) {
            base.regions.extend(banner(live, mapping)?);
        }
    }
    Ok(base)
}

fn record(target: &Target) -> Result<(), Box<dyn Error>> {
    let live = Live::open(&Root::host(), target.pid())?;
    let file = encode(&image_of(&live)?);
    let image = decode(&mut &file[..]).ok_or("a recording that ends too early")?.into_image();
    let walked = glibc::walk(&image, &live.threads()?)?.ok_or("no glibc")?;
    let Allocator::Glibc { version, .. } = walked.value.allocator else { return Err("not glibc".into()) };
    if !walked.gaps.is_empty() {
        return Err(format!("glibc {version}: {:?}", walked.gaps).into());
    }
    if !RECORDED_MINORS.contains(&version.minor) {
        return Ok(());
    }
    write(&format!("glibc-{version}"), &file)
}

/// A mapping without the absent pages it begins with: most of a stack.
fn whole(live: &Live, mapping: &Mapping) -> Result<Option<Region>, Box<dyn Error>> {
    let mut pages = Vec::new();
    live.pages(mapping.range, &mut pages)?;
    let Some(first) = pages.iter().position(|page| page.is_resident()) else { return Ok(None) };
    let start = mapping.range.start + first as u64 * PAGE_SIZE;
    let mut region = Region::new(start, pages.len() - first, named(&mapping.kind));
    live.read(start, &mut region.bytes)?;
    region.pages = pages.split_off(first);
    region.access = mapping.access;
    Ok(Some(region))
}

/// The program has a scratch name, which is not kept.
fn named(kind: &Kind) -> Kind {
    match kind {
        Kind::File { path, id, deleted } if path.extension().is_none() => {
            Kind::File { path: "/usr/bin/small".into(), id: *id, deleted: *deleted }
        }
        // Other releases lie unpacked in a directory of their own.
        Kind::File { path, id, deleted } => {
            let name = path.file_name().unwrap_or_default();
            Kind::File { path: Path::new("/usr/lib").join(name), id: *id, deleted: *deleted }
        }
        other => other.clone(),
    }
}

/// The pages of a mapping that hold the banner.
fn banner(live: &Live, mapping: &Mapping) -> Result<Option<Region>, Box<dyn Error>> {
    let mut bytes = vec![0; mapping.range.len() as usize];
    if !mapping.access.read || live.read(mapping.range.start, &mut bytes).is_err() {
        return Ok(None);
    }
    let Some(offset) = bytes.windows(BANNER.len()).position(|window| window == BANNER) else {
        return Ok(None);
    };
    let banner =
        Range::sized(mapping.range.start + offset as u64, MOST_BANNER_BYTES).intersect(mapping.range);
    let pages = banner.align_out(PAGE_SIZE);
    let mut region = Region::new(pages.start, (pages.len() / PAGE_SIZE) as usize, named(&mapping.kind));
    live.read(pages.start, &mut region.bytes)?;
    for (byte, index) in region.bytes.iter_mut().zip(0..) {
        if !banner.contains(pages.start + index) {
            *byte = 0;
        }
    }
    region.access = mapping.access;
    Ok(Some(region))
}
