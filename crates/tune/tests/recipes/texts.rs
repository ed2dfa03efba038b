//! Every recipe that there is, read as a text.

use slackwater_tune::recipes::{
    HugePages, Place, RecipeError, Request, Server, Service, Syntax, overview, recipe,
};
use slackwater_tune::{Allocator, Distribution, settings};

use crate::{request, text};

/// Every request, with a known service and without.
fn requests() -> Vec<Request> {
    let mut all = Vec::new();
    for &place in Place::ALL {
        for &allocator in Allocator::ALL {
            for &distribution in Distribution::ALL {
                for server in [None, Some(Server::Gunicorn), Some(Server::Celery), Some(Server::Uvicorn)] {
                    for &huge_pages in HugePages::ALL {
                        let service = Service { server, ..Service::default() };
                        let asked = request(place, allocator);
                        all.push(Request { distribution, huge_pages, service, ..asked });
                    }
                }
            }
        }
    }
    all
}

#[test]
fn what_is_printed_is_plain_explained_and_names_itself() {
    for asked in requests() {
        let Ok(recipe) = recipe(&asked) else { continue };
        assert!(!recipe.files.is_empty(), "{asked:?}");
        for file in &recipe.files {
            assert!(file.text.starts_with(&format!("# {}: ", file.name)), "{}", file.text);
            assert!(file.text.is_ascii() && file.text.ends_with('\n') && !file.text.contains("\n\n\n\n"));
            assert!(file.text.lines().all(|line| line == line.trim_end()), "{}", file.text);
            let lines = || file.text.lines().filter(|line| !line.is_empty());
            assert!(lines().any(|line| !line.trim_start().starts_with('#')), "only comments: {}", file.text);
        }
    }
}

#[test]
fn every_setting_in_a_recipe_is_one_that_its_allocator_has() {
    let mut seen = 0;
    for &allocator in Allocator::ALL {
        let recipe = recipe(&request(Place::Shell, allocator)).unwrap();
        for line in text(&recipe.files, "start.sh").lines() {
            let Some((name, value)) = line.strip_prefix("export ").and_then(|pair| pair.split_once('='))
            else {
                continue;
            };
            match name {
                "LD_PRELOAD" | "PYTHONMALLOC" => continue,
                "MALLOC_CONF" => value.split(',').for_each(|option| {
                    settings::parse(allocator, option).unwrap();
                    seen += 1;
                }),
                name => {
                    settings::assign(allocator, name, value).unwrap();
                    seen += 1;
                }
            }
        }
    }
    assert!(seen >= 7, "{seen}");
}

#[test]
fn where_the_c_library_is_musl_only_what_runs_there_is_advised() {
    for asked in requests().into_iter().filter(|asked| asked.distribution == Distribution::Alpine) {
        let refused = matches!(recipe(&asked), Err(RecipeError::NeedsGlibc { .. }));
        let needs_glibc = matches!(asked.allocator, Allocator::Slackwater | Allocator::Glibc);
        assert_eq!(refused, needs_glibc, "{asked:?}");
    }
    let mut alpine = request(Place::Docker, Allocator::Jemalloc);
    alpine.distribution = Distribution::Alpine;
    assert!(text(&recipe(&alpine).unwrap().files, "Dockerfile").contains("apk add --no-cache jemalloc"));
    assert!(overview(&alpine).contains("musl"));
}

#[test]
fn huge_pages_that_come_unasked_are_kept_away() {
    let mut asked = request(Place::Systemd, Allocator::Jemalloc);
    assert!(!text(&recipe(&asked).unwrap().files, "slackwater.conf").contains("thp:never"));
    asked.huge_pages = HugePages::Always;
    assert!(text(&recipe(&asked).unwrap().files, "slackwater.conf").contains(",thp:never"));
    // What cannot be told leaves the machine to be told.
    asked.allocator = Allocator::Glibc;
    assert!(recipe(&asked).unwrap().notes.iter().any(|note| note.contains("echo madvise")));
}

#[test]
fn the_advice_fits_the_service() {
    let mut asked = request(Place::Systemd, Allocator::Jemalloc);
    asked.service = Service {
        server: Some(Server::Gunicorn),
        app: Some("shop.wsgi:app".to_owned()),
        unit: Some("shop.service".to_owned()),
        limit_bytes: Some(512 << 20),
        python: Some((3, 14, 2)),
        is_free_threaded: true,
    };
    let recipe = recipe(&asked).unwrap();
    let drop_in = text(&recipe.files, "/etc/systemd/system/shop.service.d/slackwater.conf");
    assert!(drop_in.contains("systemctl restart shop.service"));
    assert!(!drop_in.contains("PYTHONMALLOC"), "a free-threaded Python refuses to start with it");
    let hook =
        recipe.files.iter().find(|file| file.syntax == Syntax::Python && file.name == "gunicorn.conf.py");
    assert!(hook.is_some(), "the drop-in alone leaves its workers without a thread");
    for words in ["3.14.5 or later", "537 MB", "free-threaded"] {
        assert!(recipe.notes.iter().any(|note| note.contains(words)), "{words}: {:?}", recipe.notes);
    }
    asked.place = Place::Shell;
    let shell = slackwater_tune::recipes::recipe(&asked).unwrap();
    assert!(text(&shell.files, "start.sh").contains("exec gunicorn shop.wsgi:app"));
}
