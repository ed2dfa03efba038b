//! What `cargo nextest` says of a test that has ended, line by line.

/// One test that has ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Outcome<'a> {
    pub(super) package: &'a str,
    pub(super) test: &'a str,
    pub(super) passed: bool,
}

/// Of a line such as `PASS [   0.010s] (1/9) slackwater-collect::behaviour hazards::fault_20_signals`.
pub(super) fn outcome(line: &str) -> Option<Outcome<'_>> {
    let (head, told) = line.split_once(']')?;
    let (status, _) = head.split_once('[')?;
    let passed = match status.trim() {
        "PASS" | "LEAK" => true,
        "FAIL" | "TIMEOUT" | "ABORT" => false,
        status if status.starts_with("SIG") => false,
        _ => return None,
    };
    let mut words = told.split_whitespace().rev();
    let test = words.next()?;
    let binary = words.next()?;
    let package = binary.split("::").next()?;
    Some(Outcome { package, test, passed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_tests_that_ended_and_no_others() {
        let check = |line: &str, expected: Option<(&str, &str, bool)>| {
            let found = outcome(line).map(|one| (one.package, one.test, one.passed));
            assert_eq!(found, expected, "{line}");
        };
        let line = "        PASS [   0.010s] (  1/120) slackwater-collect::behaviour hazards::fault_20_x";
        check(line, Some(("slackwater-collect", "hazards::fault_20_x", true)));
        let line = "     SIGABRT [ 600.100s] (2/2) slackwater fault_05_y";
        check(line, Some(("slackwater", "fault_05_y", false)));
        check("     TIMEOUT [ 600.100s] slackwater fault_05_y", Some(("slackwater", "fault_05_y", false)));
        check("        SLOW [> 60.000s] slackwater fault_05_y", None);
        check("     Summary [ 700.000s] 3 tests run: 3 passed, 900 skipped", None);
        check("   Compiling xtask v0.1.0", None);
    }
}
