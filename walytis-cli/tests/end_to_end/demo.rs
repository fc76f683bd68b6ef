//! The demonstration, and that each of its checks sees what it is for.

use std::sync::Arc;
use std::time::Duration;

use walytis_cli::demo::{self, Fault, Plan, Report, lines_of};

use crate::common::{json, run, walytis};

const SET: &str = "every node holds the same blocks, all that were posted";
const ORDER: &str = "every node lists them in the same order";
const FRAMES: &str = "no line and no canary is in a frame";
const FILES: &str = "no line and no canary is in a file";
const SIGNATURES: &str = "every signature and commitment verifies";

fn play(peers: usize, fault: Fault) -> Report {
    let folder = tempfile::tempdir().expect("a folder");
    let text = crate::common::lines_of_text(60);
    let mut plan = Plan::new(peers, lines_of(text.as_bytes()), folder.path().to_path_buf());
    plan.fault = fault;
    if matches!(fault, Fault::Withheld { .. }) {
        // What does not come at all is not waited for as long as what is slow.
        plan.patience = Duration::from_secs(3);
    }
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(demo::run(plan, Arc::new(|_| {}))).expect("it is carried out")
}

/// The checks that have to fail, and none besides.
fn check(peers: usize, fault: Fault, expected: &[&str]) {
    let report = play(peers, fault);
    let failed: Vec<&str> = report.checks.iter().filter(|check| !check.passed).map(|check| check.check).collect();
    assert_eq!(failed, expected, "{fault:?}: {:#?}", report.checks);
    assert_eq!((report.rows.len(), report.checks.len()), (peers, 5));
}

#[test]
fn nothing_fails_when_nothing_is_broken() {
    check(2, Fault::None, &[]);
    check(4, Fault::None, &[]);
}

#[test]
fn a_store_that_is_not_sealed_is_found() {
    check(3, Fault::Unsealed { node: 1 }, &[FILES]);
}

#[test]
fn a_frame_that_is_not_sealed_is_found() {
    check(3, Fault::LeakedFrame { node: 0 }, &[FRAMES]);
}

#[test]
fn a_changed_byte_is_found() {
    check(3, Fault::ChangedContent { node: 2 }, &[SIGNATURES]);
    check(3, Fault::ChangedFile { node: 0 }, &[SIGNATURES]);
}

#[test]
fn a_withheld_block_is_found() {
    check(3, Fault::Withheld { node: 0 }, &[SET, ORDER]);
}

#[test]
fn the_command_ends_with_0_when_all_is_well() {
    let mut command = walytis();
    command.args(["--json", "demo"]);
    let ended = run(command, b"");
    let lines = json(&ended.out);
    let checks: Vec<bool> = lines.iter().filter_map(|line| line["passed"].as_bool()).collect();
    assert!(ended.code == Some(0) && checks == [true; 6], "{ended:?}");
    assert_eq!(lines.iter().filter(|line| line["node"].is_u64()).count(), 3);

    let mut command = walytis();
    command.args(["demo", "--input", "/no/such/file"]);
    run(command, b"").failed(1, "cannot read /no/such/file");
}
