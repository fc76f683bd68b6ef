//! Bad input gives a clear error and changes nothing.

use crate::common::{Home, Place, Running, pair, run};

/// What a home says of itself: who it is, its groups, and the blocks of one.
fn said(home: &Home) -> [String; 3] {
    let group = home.ok(&["--json", "group", "list"]);
    let read = if group.is_empty() { String::new() } else { home.ok(&["--json", "read", "g"]) };
    [home.ok(&["--json", "id"]), group, read]
}

#[test]
fn a_command_that_cannot_be_carried_out_says_why() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    home.ok_with(&["post", "g"], b"one");
    let before = said(&home);
    let large = place.path("large");
    std::fs::write(&large, vec![b'x'; 1024 * 1024 + 1]).expect("written");
    let large = large.to_str().expect("UTF-8");
    let topic = "t".repeat(257);
    let check = |arguments: &[&str], input: &[u8], says: &str| {
        run(home.command(arguments), input).failed(1, says);
        assert_eq!(said(&home), before, "{arguments:?} changed something");
    };
    check(&["post", "h"], b"x", "there is no group \"h\"");
    check(&["read", "h"], b"", "there is no group \"h\"");
    check(&["read", "g", "--follow"], b"", "start `walytis serve`, then repeat");
    check(&["group", "show", "did:walytis:00"], b"", "there is no group");
    check(&["group", "invite", "h"], b"", "there is no group \"h\"");
    check(&["group", "invite", "g"], b"", "run `serve` once");
    check(&["group", "new", "g"], b"", "is called \"g\" already");
    check(&["group", "new", ""], b"", "1 to 64 characters");
    check(&["group", "new", "did:walytis:00"], b"", "does not begin with \"did:\"");
    check(&["post", "g", "/no/such/file"], b"", "cannot read /no/such/file");
    check(&["post", "g", "dinner at eight"], b"", "takes a file or standard input; a text goes by `echo");
    check(&["post", "g", large], b"", "more than 1048576 bytes");
    check(&["post", "g", "--topic", &topic], b"x", "topic 1 has 257 bytes: a topic has at most 256");
    check(&["group", "join", "hello"], b"", "not an invitation code");
    check(&["group", "join", "walytis1aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"], b"", "damaged");
    check(&["serve", "--no-mdns", "--listen", "/ip4/127.0.0.1/x25/1"], b"", "/ip4/127.0.0.1/x25/1");
    check(&["serve", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", "/memory/1"], b"", "/memory/1");
    check(&["init"], b"", "holds a home already");
}

#[test]
fn wrong_usage_ends_with_2() {
    let check = |arguments: &[&str], says: &str| {
        let mut command = crate::common::walytis();
        let ended = run(std::mem::replace(command.args(arguments), crate::common::walytis()), b"");
        assert!(ended.code == Some(2) && ended.out.is_empty() && ended.err.contains(says), "{ended:?}");
    };
    check(&[], "Usage: walytis");
    check(&["jump"], "unrecognized subcommand");
    check(&["post"], "<GROUP>");
    check(&["serve", "--listen", "localhost"], "an address looks like");
    check(&["group", "invite", "g", "--uses", "0"], "--uses");
    check(&["--quiet", "--verbose", "id"], "cannot be used with");
}

#[test]
fn a_home_opens_with_its_own_secret_alone() {
    let place = Place::new();
    let other_key = place.path("other");
    std::fs::write(&other_key, [8; 32]).expect("written");
    let short_key = place.path("short");
    std::fs::write(&short_key, [8; 31]).expect("written");
    let words = place.path("words");
    std::fs::write(&words, "correct horse\n").expect("written");

    let with_key = place.home("key-home");
    let with_words = place.no_home("words-home");
    let mut init = with_words.locked(&["init"]);
    init.env("WALYTIS_PASSPHRASE", "correct horse");
    run(init, b"").ok();

    let check = |home: &Home, secret: &[&str], variable: Option<&str>, says: &str| {
        let before = home.files();
        let mut command = home.locked(&[secret, &["id"]].concat());
        if let Some(words) = variable {
            command.env("WALYTIS_PASSPHRASE", words);
        }
        let ended = run(command, b"");
        match says {
            "" => assert!(ended.ok().starts_with("user ")),
            says => {
                ended.failed(1, says);
                assert!(home.files() == before, "{secret:?} {variable:?} changed something");
            }
        }
    };
    let path = |path: &std::path::Path| path.to_str().expect("UTF-8").to_owned();
    let (other_key, short_key, words) = (path(&other_key), path(&short_key), path(&words));
    check(
        &with_key,
        &[],
        None,
        "no node runs for this home, so it has to be unlocked, and there is no terminal to ask for the passphrase",
    );
    check(&with_key, &["--key-file", &other_key], None, "wrong raw key");
    check(&with_key, &["--key-file", &short_key], None, "exactly 32 random bytes");
    check(&with_key, &["--key-file", "/no/such/key"], None, "cannot read /no/such/key");
    check(&with_key, &[], Some("correct horse"), "locked by a raw key: it opens with --key-file");
    check(&with_words, &[], Some("wrong horse"), "wrong passphrase");
    check(&with_words, &["--key-file", &other_key], Some("correct horse"), "locked by a passphrase");
    check(&with_words, &[], Some("correct horse"), "");
    check(&with_words, &["--passphrase-file", &words], Some("ignored"), "");
    check(&place.no_home("none"), &["--passphrase-file", &words], None, "there is no home in");
}

#[test]
fn invitations_that_do_not_lead_in_say_so() {
    let place = Place::new();
    let (a, serving, _b, _) = pair(&place, "/ip4/127.0.0.1/tcp/0");
    let c = place.home("c");
    let before = said(&c);
    let check = |code: &str, says: &str| {
        c.run(&["group", "join", code]).failed(1, says);
        assert_eq!(said(&c), before, "{says}");
    };
    let code = a.ok(&["group", "invite", "g"]).trim().to_owned();
    let (start, end) = code.split_at(code.len() / 2);
    let changed = if end.starts_with('a') { "b" } else { "a" };
    check(&format!("{start}{changed}{}", &end[1..]), "damaged");
    check(&code[..code.len() - 1], "damaged");

    // By standard input, and broken into lines as a letter does it.
    place.home("d").ok_with(&["group", "join", "-"], format!("{start}\r\n  {end}\n").as_bytes());
    check(&code, "the invitation is spent");
    place.home("e").run(&["group", "join", &code]).failed(1, "the invitation is spent");
    assert_eq!(crate::common::json(&a.ok(&["--json", "group", "list"]))[0]["members"], 3, "nobody came in by it");

    let code = a.ok(&["group", "invite", "g"]).trim().to_owned();
    drop(serving.kill());
    check(&code, "no inviter answers");
}

#[test]
fn a_home_in_use_is_waited_for_and_its_holder_named() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    // As a command has it that takes long.
    let lock = std::fs::File::options().read(true).write(true).open(home.folder.join("lock")).expect("its lock");
    lock.lock().expect("locked");
    std::fs::write(home.folder.join("lock"), "4711 check\n").expect("written");
    let ended = home.run(&["id"]);
    ended.failed(1, "is in use by process 4711 (`walytis check`)");
    assert!(ended.err.starts_with("waiting for process 4711 (`walytis check`) to leave the home"), "{ended:?}");
    assert_eq!(home.run(&["-q", "id"]).err.lines().count(), 1, "only the error");
    drop(lock);

    let serving = home.serve(&["--listen", "/ip4/127.0.0.1/tcp/0"], 1);
    let holder = format!("is in use by process {} (`walytis serve`)", serving.child.id());
    home.run(&["serve"]).failed(1, &holder);
}

/// A home with some blocks, and its store's file as it was left.
fn filled(place: &Place) -> (Home, Vec<u8>) {
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    let text = crate::common::lines_of_text(200);
    let ids = home.ok_with(&["post", "g", "--lines"], text.as_bytes());
    assert_eq!(home.ok(&["read", "g", "--raw"]), text, "before any damage; posted: {ids}");
    let file = std::fs::read(home.store_file()).expect("the store");
    (home, file)
}

#[test]
fn a_store_that_was_cut_short_is_refused() {
    let place = Place::new();
    let (home, file) = filled(&place);
    for left in [0, 1, 100, 4096, file.len() / 2, file.len() - 4096, file.len() - 1] {
        std::fs::write(home.store_file(), &file[..left]).expect("written");
        let before = home.files();
        for command in [&["id"][..], &["read", "g"], &["check"]] {
            let ended = home.run(command);
            assert_eq!(ended.code, Some(1), "{left} of {} bytes, {command:?}: {ended:?}", file.len());
            ended.failed(1, "damaged");
        }
        assert!(home.files() == before, "{left} of {} bytes: something was changed", file.len());
    }
    std::fs::write(home.store_file(), &file).expect("written");
    assert_eq!(home.read("g").len(), 200);
    home.ok(&["check"]);
}

#[test]
fn flipped_bytes_are_found() {
    let place = Place::new();
    let (home, file) = filled(&place);
    let text = crate::common::lines_of_text(200);
    // A page at a time; what no check finds has to be in no use.
    let pages = file.len() / 4096;
    let (mut found, mut named) = (0, 0);
    for page in 1..pages {
        let mut damaged = file.clone();
        damaged[page * 4096 + 64] ^= 1;
        std::fs::write(home.store_file(), &damaged).expect("written");
        let ended = home.run(&["--json", "check"]);
        let report = &crate::common::json(&ended.out)[0];
        assert_eq!(report["ok"], ended.code == Some(0), "{ended:?}");
        assert!(!ended.err.contains("panicked"), "{ended:?}");
        match ended.code {
            Some(1) => {
                assert!(ended.err.contains("error: ") && !report["problems"][0].is_null(), "{ended:?}");
                named += usize::from(ended.out.contains("table ") || ended.out.contains("block "));
                found += 1;
                std::fs::write(home.store_file(), &damaged).expect("written");
                // What shows not all of the text says that it failed.
                let ended = home.run(&["read", "g", "--raw"]);
                let whole = ended.out == text && ended.code == Some(0);
                assert!(whole || ended.code == Some(1) && ended.err.contains("error: "), "page {page}: {ended:?}");
                assert!(!ended.err.contains("panicked"), "{ended:?}");
            }
            _ => {
                let shown = home.run(&["read", "g", "--raw"]);
                assert_eq!(shown.out, text, "page {page}: neither found nor harmless: {report} {shown:?}");
                assert_eq!(shown.code, Some(0), "page {page}: neither found nor harmless: {report} {shown:?}");
            }
        }
    }
    assert!(found > 0 && named > 0, "{pages} pages, {found} found, {named} named");
}

#[test]
fn half_a_key_file_is_told_of() {
    let place = Place::new();
    let (home, _) = filled(&place);
    let keys = home.folder.join("store").join("keys");
    let mut bytes = std::fs::read(&keys).expect("read");
    bytes[50] ^= 1;
    std::fs::write(&keys, bytes).expect("written");
    let check = || crate::common::json(&home.ok(&["--json", "check"])).remove(0);
    let report = check();
    let mended = report["mended"][0].as_str().unwrap_or_default();
    assert!(report["ok"] == true && mended.starts_with("one half of ") && mended.contains("damaged"), "{report}");
    assert_eq!(check()["mended"], serde_json::json!([]));
    std::fs::remove_file(home.store_file()).expect("removed");
    home.run(&["id"]).failed(1, "store.redb is missing. If another build");
}

#[test]
fn lines_that_break_off_say_where_to_go_on() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    let lines = [b"one\ntwo\n".as_slice(), &vec![b'x'; 1024 * 1024 + 1], b"\nfour\n"].concat();
    let ended = run(home.command(&["post", "g", "--lines"]), &lines);
    assert_eq!((ended.code, ended.out.lines().count(), home.read("g").len()), (Some(1), 2, 2), "{ended:?}");
    let error = "error: cannot post standard input: line 3: more than 1048576 bytes do not fit into one block: \
                 cut it into parts (lines 1 to 2 are posted: go on from line 3)";
    assert!(ended.err.contains(error), "{ended:?}");
}

#[test]
fn a_peer_that_is_not_there_is_told_once() {
    let place = Place::new();
    let home = place.home("a");
    // Nobody can connect to port 1 here, or if somebody can, it is not a node.
    let peer = "/ip4/127.0.0.1/tcp/1";
    let mut serving =
        Running::start(home.command(&["serve", "--no-mdns", "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", peer]));
    serving.error_with(&format!("Cannot reach {peer} yet ("));
}
