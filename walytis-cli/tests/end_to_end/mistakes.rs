//! What newcomers get wrong: it is refused before harm is done, and the error says what to do.

use std::os::unix::fs::PermissionsExt;

use rustix::process::Signal;

use crate::common::{Home, Place, Running, json, run};

const LISTEN: &[&str] = &["--listen", "/ip4/127.0.0.1/tcp/0"];

/// A home with the group `friends` and the public chain `news`.
fn filled(place: &Place) -> Home {
    let home = place.home("a");
    home.ok(&["group", "new", "friends"]);
    home.ok(&["chain", "new", "news"]);
    home
}

#[test]
fn groups_and_chains_are_told_apart() {
    let place = Place::new();
    let home = filled(&place);
    let check = |arguments: &[&str], says: &str| home.run(arguments).failed(1, says);
    check(&["read", "news"], "\"news\" is a public chain, and no group: `walytis chain read news`");
    check(&["post", "news", "-m", "secret"], "`walytis chain post news`");
    check(&["chain", "read", "friends"], "\"friends\" is a private group, and no public chain: `walytis read friends`");
    check(&["chain", "export", "friends", "/nowhere"], "is a private group");
    check(&["read", "nothing"], "there is no group \"nothing\"");
    check(&["group", "join", "walytischain1aaaa"], "`walytis chain join CODE`");
    check(&["group", "new", "news"], "choose another name, as in `walytis group new news-group`");
    check(&["chain", "new", "friends"], "choose another name, as in `walytis chain new friends-chain`");
    check(&["chain", "new", " x"], "no blanks at its ends");
    check(&["group", "new", "ne\u{200b}ws"], "one that nobody sees");
    check(&["chain", "new", "ne\u{200b}ws"], "one that nobody sees");
}

#[test]
fn nothing_empty_is_posted_by_mistake() {
    let place = Place::new();
    let home = filled(&place);
    for post in [&["chain", "post", "news"][..], &["post", "friends"]] {
        run(home.command(post), b"").failed(1, "cannot post standard input: it is empty: an empty block needs --empty");
        home.run(&[post, &["-m", ""]].concat()).failed(1, "the text: it is empty");
        home.run(&[post, &["--empty"]].concat()).ok();
        let file = place.path("empty");
        std::fs::write(&file, b"").expect("written");
        home.run(&[post, &[file.to_str().expect("a plain path")]].concat()).ok();
        home.run(&[post, &["-m", "it rains"]].concat()).ok();
        let command = post[..post.len() - 1].join(" ");
        let hint =
            format!("`{command}` takes a file or standard input; a text goes by `echo \"text\" | walytis {command} ");
        home.run(&[post, &["it rains"]].concat()).failed(1, &hint);
    }
    assert_eq!(home.ok(&["chain", "read", "news", "--raw"]), "\n\nit rains\n");
    assert_eq!(home.ok(&["read", "friends", "--raw"]), "\n\nit rains\n");
    let author = json(&home.ok(&["--json", "chain", "show", "news"]))[0]["author"].as_str().expect("a key").to_owned();
    assert!(home.ok(&["chain", "read", "news"]).contains(&author), "the key that --author takes");
}

#[test]
fn a_chain_is_deleted_by_whoever_means_it() {
    let place = Place::new();
    let home = filled(&place);
    home.run(&["chain", "delete", "news"]).failed(1, "say it with --yes");
    assert!(home.ok(&["chain", "list"]).contains("news"));
    // No room on the disk, nor any that was kept: it is refused before it begins.
    let store = home.folder.join("store");
    std::fs::create_dir(store.join("reserve.new")).expect("made");
    home.run(&["chain", "delete", "nothing", "--yes"]).failed(1, "nothing");
    std::fs::remove_file(store.join("reserve")).expect("kept from the beginning, and not given up for no chain");
    home.run(&["chain", "delete", "news", "--yes"]).failed(1, "nothing was deleted: to delete, a store needs 1 MiB");
    assert_eq!(json(&home.ok(&["--json", "chain", "list"]))[0]["standing"], "followed");
    std::fs::remove_dir(store.join("reserve.new")).expect("removed");
    assert_eq!(home.ok(&["chain", "delete", "news", "--yes"]), "removed 1 block\n");
    assert!(store.join("reserve").exists(), "it is kept again");
}

#[test]
fn whoever_follows_a_chain_is_told_that_it_was_deleted() {
    let place = Place::new();
    let home = filled(&place);
    let _serving = home.serve(LISTEN, 1);
    let follow = ["chain", "read", "news", "--raw", "--follow"];
    let mut readers = [&follow[..], &[&follow[..], &["--subscription", "s"]].concat()]
        .map(|arguments| Running::start(home.locked(arguments)));
    run(home.locked(&["chain", "post", "news"]), b"x").ok();
    for reader in &mut readers {
        assert_eq!(reader.line(), "x");
    }
    run(home.locked(&["chain", "delete", "news", "--yes"]), b"").ok();
    for mut reader in readers {
        reader.error_with("error: the chain \"news\" was deleted here");
        assert_eq!(reader.end().0.code(), Some(1));
    }
}

#[test]
fn a_node_that_cannot_be_spoken_to_is_told_of_with_the_reason() {
    let place = Place::new();
    let home = filled(&place);
    let serving = home.serve(LISTEN, 1);
    let folder = home.folder.join("run");
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o755)).expect("set");
    home.run(&["id"]).failed(1, &format!("`chmod 700 {}`", folder.display()));
    std::fs::set_permissions(&folder, PermissionsExt::from_mode(0o700)).expect("set");
    home.ok(&["id"]);
    serving.signal(Signal::STOP);
    let says = format!("the node, process {} (`walytis serve`), does not answer", serving.child.id());
    home.run(&["id"]).failed(1, &says);
    serving.signal(Signal::CONT);
    home.ok(&["id"]);
}

#[test]
fn a_full_chain_says_so() {
    let place = Place::new();
    let home = filled(&place);
    let limit = ["chain", "rules", "news", "--chain-bytes-max"];
    let shown = home.ok(&[&limit[..], &["1"]].concat());
    let full = "news is full: blocks by others are not taken; raise it with `walytis chain rules news --chain-bytes-max BYTES`";
    assert!(shown.contains(full) && home.ok(&["chain", "show", "news"]).contains(full), "{shown}");
    assert_eq!(json(&home.ok(&["--json", "chain", "show", "news"]))[0]["full"], true);
    let mut serving = home.serve(LISTEN, 1);
    serving.error_with(full);
    drop(serving.kill());
    assert!(!home.ok(&[&limit[..], &["1000000"]].concat()).contains("is full"));
}

#[test]
fn a_join_needs_no_port() {
    let place = Place::new();
    let (a, b) = (filled(&place), place.home("b"));
    let _serving = a.serve(LISTEN, 1);
    let code = a.ok(&["chain", "invite", "news"]);
    b.ok(&["chain", "join", code.trim(), "--no-listen"]);
    let code = a.ok(&["group", "invite", "friends"]);
    b.ok(&["group", "join", code.trim(), "--no-listen"]);
    assert!(!b.folder.join("store").join("listen").exists(), "where it listens is not settled by that");
}
