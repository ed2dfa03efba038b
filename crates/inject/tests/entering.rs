//! A call is made, and the victim does not notice.

mod common;

use common::{process, trim, victim};
use slackwater_inject::Options;

#[test]
fn trims_a_heap_in_a_blocked_read() {
    let mut victim = victim(
        "freed_holes",
        r#"
        #include "planted.h"
        enum { COUNT = 20000 };
        static void *blocks[COUNT];
        int main(void) {
            mallopt(M_TRIM_THRESHOLD, 1 << 30);
            for (int i = 0; i < COUNT; i++) memset(blocks[i] = malloc(2000), 1, 2000);
            for (int i = 0; i + 1 < COUNT; i++) free(blocks[i]);
            ready("%p", blocks[COUNT - 1]);
            serve();
        }"#,
    );
    let process = process(&victim);
    let before = process.usage().unwrap().rss_bytes;
    let outcome = trim(&process, &Options::default()).unwrap();
    assert!(outcome.finished);
    let after = process.usage().unwrap().rss_bytes;
    assert!(before - after > 35_000_000, "{before} to {after}: {outcome:?}");
    eprintln!("{outcome:?}");
    assert_eq!(victim.ask("still").unwrap(), "");
}
