//! Public chains from the command line: two homes, two processes, real sockets.

use crate::common::{Home, Place, Running, json, lines_of_text, text};

const LOCAL_TCP: &str = "/ip4/127.0.0.1/tcp/0";

#[test]
fn a_public_chain_is_shared_between_two_homes() {
    let place = Place::new();
    let (a, b) = (place.home("a"), place.home("b"));
    let id = a.ok(&["chain", "new", "news"]);
    assert_eq!(id.trim().len(), 64, "{id}");
    let ids = a.ok_with(&["chain", "post", "news", "--lines", "--topic", "x"], lines_of_text(100).as_bytes());
    assert_eq!(ids.lines().count(), 100);
    let serving = a.serve(&["--listen", LOCAL_TCP], 1);
    let code = a.ok(&["chain", "invite", "news", "--any-number", "--shareable"]);
    assert!(code.starts_with("walytischain1"), "{code}");

    let joined = json(&b.ok(&["--json", "chain", "join", code.trim(), "--as", "n"]));
    assert_eq!((text(&joined[0], "id"), text(&joined[0], "standing")), (id.trim(), "followed"));
    assert_eq!(joined[0]["blocks"], 101);
    assert!(b.ok(&["chain", "read", "n", "--raw"]) == lines_of_text(100), "all lines, in their order");

    let _serving_b = b.serve(&["--listen", LOCAL_TCP], 1);
    let mut following = Running::start(a.locked(&["chain", "read", "news", "--follow", "--raw", "--topic", "y"]));
    b.ok_with(&["chain", "post", "n", "--topic", "y"], b"from b");
    assert_eq!(following.line(), "from b");
    let entries = json(&a.ok(&["--json", "chain", "read", "news", "--topic", "y"]));
    assert_eq!((text(&entries[0], "content"), &entries[0]["sequence"]), ("from b", &0.into()));
    assert_eq!(text(&entries[0], "author").len(), 64);
    assert!(entries[0].get("device").is_none(), "{}", entries[0]);

    // Shown, ruled, ended.
    let shown = &json(&a.ok(&["--json", "chain", "show", id.trim()]))[0];
    assert_eq!((text(shown, "serves"), shown["peers"][0]["connected"].as_bool()), ("anyone", Some(true)));
    assert_eq!(json(&a.ok(&["--json", "status"]))[0]["chains"][0]["peers"], 1);
    let author = text(&entries[0], "author");
    let ruled = a.ok(&["--json", "chain", "rules", "news", "--block-author", author, "--serve", "invited"]);
    let ruled = &json(&ruled)[0];
    assert_eq!((text(ruled, "serves"), ruled["blocked_authors"][0].as_str()), ("invited", Some(author)));
    assert_eq!(a.ok(&["chain", "read", "news", "--topic", "y"]), "");
    let limited = &json(&a.ok(&["--json", "chain", "rules", "news", "--chain-bytes-max", "1000000"]))[0];
    assert_eq!(limited["limits"]["chain_bytes_max"], 1_000_000);
    let listed = &json(&b.ok(&["--json", "chain", "invitations", "n"]))[0];
    assert_eq!((listed["shareable"].as_bool(), &listed["number"]), (Some(true), &0.into()), "b admits by it, too");
    b.ok(&["chain", "revoke", "n", "0"]);
    assert_eq!(b.ok(&["chain", "invitations", "n"]), "");
    let deleted = json(&b.ok(&["--json", "chain", "delete", "n", "--yes"]));
    assert_eq!(deleted[0]["blocks"], 102);
    assert_eq!(b.ok(&["chain", "list"]), "");
    a.ok(&["check"]);
    drop(serving);
    a.ok(&["check"]);
}

#[test]
fn a_chain_is_moved_to_a_newer_format() {
    let place = Place::new();
    let (a, b) = (place.home("a"), place.home("b"));
    a.ok(&["chain", "new", "news"]);
    a.ok_with(&["chain", "post", "news"], b"old");
    let format = |home: &Home, name: &str| {
        let shown = json(&home.ok(&["--json", "chain", "show", name])).remove(0);
        (shown["head_formats"].to_string(), shown["next_format"].to_string())
    };
    assert_eq!(format(&a, "news"), ("[1]".into(), "1".into()));
    let upgraded = json(&a.ok(&["--json", "chain", "upgrade", "news"])).remove(0);
    assert_eq!((upgraded["next_format"].as_u64(), text(&upgraded, "next_hash")), (Some(2), "SHA-256"));
    assert_eq!(format(&a, "news"), ("[1]".into(), "2".into()));
    assert_eq!(a.ok(&["chain", "upgrade", "news"]), "1 now, 2 (SHA-256) from your next block on\n");
    a.ok_with(&["chain", "post", "news"], b"new");
    assert_eq!(format(&a, "news"), ("[2]".into(), "2".into()));
    a.ok(&["check"]);

    // Who joins a chain with both goes on from there.
    let _serving = a.serve(&["--listen", LOCAL_TCP], 1);
    let code = a.ok(&["chain", "invite", "news"]);
    b.ok(&["chain", "join", code.trim(), "--as", "n"]);
    assert_eq!(b.ok(&["chain", "read", "n", "--raw"]), a.ok(&["chain", "read", "news", "--raw"]));
    b.ok_with(&["chain", "post", "n"], b"and on");
    assert_eq!(format(&b, "n"), ("[2]".into(), "2".into()));
    b.ok(&["check"]);
    a.run(&["chain", "upgrade", "none"]).failed(1, "there is no chain");
}

#[test]
fn what_cannot_be_done_is_told_in_one_line_that_says_what_to_do() {
    let place = Place::new();
    let a = place.home("a");
    let check = |arguments: &[&str], expected: &str| a.run(arguments).failed(1, expected);
    check(&["chain", "read", "news"], "chain list");
    a.ok(&["chain", "new", "news"]);
    check(&["chain", "new", "news"], "choose another name");
    check(&["chain", "invite", "news"], "run `serve` once");
    check(&["chain", "revoke", "news", "7"], "chain invitations");
    check(&["chain", "join", "walytis1aaaa"], "group join");
    check(&["chain", "join", "nonsense"], "walytischain1");
    check(&["group", "show", "news"], "`walytis chain show news`");
    check(&["group", "show", "none"], "group list");
    assert!(a.ok(&["chain", "list"]).contains("news"));
    assert!(a.ok(&["chain", "--help"]).contains("hide nothing"));
}
