//! Two homes, two processes, real sockets.

use crate::common::{Place, Running, lines_of_text, pair};

const LOCAL_TCP: &str = "/ip4/127.0.0.1/tcp/0";
const LOCAL_QUIC: &str = "/ip4/127.0.0.1/udp/0/quic-v1";

/// A text of 1,000 lines, posted on one, is read exactly so on the other, and by a third that joins afterwards.
fn check(listen: &str) {
    let place = Place::new();
    let (a, _serving_a, b, code) = pair(&place, listen);
    let _serving_b = b.serve(&["--listen", listen], 1);
    let mut following = Running::start(b.locked(&["read", "g", "--follow", "--raw"]));

    let text = lines_of_text(1000);
    let ids = a.ok_with(&["post", "g", "--lines"], text.as_bytes());
    let mut unique: Vec<&str> = ids.lines().collect();
    unique.sort_unstable();
    unique.dedup();
    assert_eq!(unique.len(), 1000, "each line has an id of its own");

    let followed: String = following.lines(1000).iter().map(|line| format!("{line}\n")).collect();
    assert!(followed == text, "{listen}: what arrives is what was posted, in its order");
    assert!(b.ok(&["read", "g", "--raw"]) == text, "{listen}: the other lists exactly those lines");
    assert_eq!(b.read("g"), a.read("g"), "{listen}: both list the same");

    let c = place.home("c");
    c.ok(&["group", "join", &code, "--as", "g"]);
    assert!(c.ok(&["read", "g", "--raw"]) == text, "{listen}: a third that joined afterwards reads the same");
    for home in [&a, &b] {
        let group = &crate::common::json(&home.ok(&["--json", "group", "show", "g"]))[0];
        assert_eq!((group["members"].as_array().map(Vec::len), &group["missing"]), (Some(3), &0.into()), "{group}");
    }
}

#[test]
fn a_text_of_1000_lines_is_shared_over_tcp() {
    check(LOCAL_TCP);
}

#[test]
fn a_text_of_1000_lines_is_shared_over_quic() {
    check(LOCAL_QUIC);
}

#[test]
fn what_was_posted_apart_meets_again() {
    let place = Place::new();
    let (a, serving_a, b, _) = pair(&place, LOCAL_TCP);
    drop(serving_a.kill());
    // Neither runs now: both write what the other will get.
    a.ok_with(&["post", "g", "--topic", "x"], b"from a");
    b.ok_with(&["post", "g", "--topic", "y", "--topic", "x"], b"from b");

    let serving_a = a.serve(&[], 1);
    let mut following = Running::start(a.locked(&["--json", "read", "g", "--follow"]));
    let _serving_b = b.serve(&["--listen", LOCAL_TCP], 1);
    let mut contents: Vec<String> = crate::common::json(&following.lines(2).join("\n"))
        .iter()
        .map(|block| crate::common::text(block, "content").to_owned())
        .collect();
    contents.sort_unstable();
    assert_eq!(contents, ["from a", "from b"], "the port was remembered, so the other found it");
    assert_eq!(a.read("g").len(), 2);
    assert_eq!(crate::common::json(&a.ok(&["--json", "read", "g", "--topic", "y"])).len(), 1);
    assert_eq!(a.ok(&["read", "g", "--topic", "y", "--raw"]), "from b\n");
    assert_eq!(a.ok(&["read", "g", "--topic", "z"]), "");
    drop(serving_a);
}

/// What a node lacks is found even if the search for it begins with much that it has.
#[test]
fn much_that_is_shared_does_not_hide_what_is_new() {
    let place = Place::new();
    let (a, _serving_a, b, _) = pair(&place, LOCAL_TCP);
    let serving_b = b.serve(&["--listen", LOCAL_TCP], 1);
    let mut following = Running::start(b.locked(&["read", "g", "--follow", "--raw"]));
    let shared: String = (0..100).map(|number| format!("{number} {}\n", "x".repeat(20_000))).collect();
    a.ok_with(&["post", "g", "--lines"], shared.as_bytes());
    following.lines(100);
    drop((following.kill(), serving_b.kill()));

    a.ok_with(&["post", "g", "--lines"], lines_of_text(40).as_bytes());
    b.ok_with(&["post", "g", "--topic", "b"], b"from b");
    let mut following = Running::start(a.locked(&["read", "g", "--follow", "--raw", "--topic", "b"]));
    let _serving_b = b.serve(&["--listen", LOCAL_TCP], 1);
    assert_eq!(following.line(), "from b");
}
