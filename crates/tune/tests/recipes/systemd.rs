//! Drop-ins and units, as systemd itself reads them.

use std::fs;

use slackwater_tune::Allocator;
use slackwater_tune::recipes::Place;

use crate::{files, folder, request, tool, well};

const UNIT: &str = "[Service]\nExecStart=/bin/true\n";

#[test]
fn systemd_has_nothing_to_say_about_the_drop_in() {
    for &allocator in Allocator::ALL {
        let folder = folder();
        let recipe = files(&request(Place::Systemd, allocator));
        fs::write(folder.path().join("web.service"), UNIT).unwrap();
        for file in &recipe {
            let path = folder.path().join(file.name.strip_prefix("/etc/systemd/system/").unwrap());
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            // What a unit starts must be there, and slackwater need not be.
            fs::write(&path, file.text.replace("/usr/local/bin/slackwater", "/bin/true")).unwrap();
        }
        let units = ["web.service", "web-trim.service"];
        for unit in units.iter().map(|unit| folder.path().join(unit)).filter(|unit| unit.exists()) {
            let Some(mut analyze) = tool("/usr/bin/systemd-analyze") else { return };
            let said = well(&analyze.args(["--man=no", "verify"]).arg(&unit).output().unwrap());
            assert_eq!(said, "", "{allocator}");
        }
        assert_eq!(recipe.len(), if allocator == Allocator::Glibc { 2 } else { 1 });
    }
}

#[test]
fn systemd_would_complain_of_a_slip() {
    let Some(mut analyze) = tool("/usr/bin/systemd-analyze") else { return };
    let folder = folder();
    fs::create_dir(folder.path().join("web.service.d")).unwrap();
    let unit = folder.path().join("web.service");
    fs::write(&unit, UNIT).unwrap();
    fs::write(folder.path().join("web.service.d/slip.conf"), "[Service]\nMemoryAcounting=yes\n").unwrap();
    let output = analyze.args(["--man=no", "verify"]).arg(&unit).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("MemoryAcounting"));
}
