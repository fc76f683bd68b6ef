//! The home: where it may be, who may have it, and how it is left.

use std::os::unix::fs::{FileTypeExt, MetadataExt};

use crate::common::{Place, Running, json, run, text};

const LISTEN: &[&str] = &["--listen", "/ip4/127.0.0.1/tcp/0"];

#[test]
fn commands_go_through_a_running_node_and_need_no_secret() {
    let place = Place::new();
    let home = place.home("a");
    let serving = home.serve(LISTEN, 1);
    let locked = |arguments: &[&str], input: &[u8]| run(home.locked(arguments), input).ok();
    assert_eq!(locked(&["--json", "id"], b""), home.ok(&["--json", "id"]));
    let did = locked(&["group", "new", "g"], b"").trim().to_owned();
    let id = locked(&["post", &did], b"x").trim().to_owned();
    assert_eq!(text(&json(&locked(&["--json", "read", "g"], b""))[0], "id"), id);
    let status = &json(&locked(&["--json", "status"], b""))[0];
    assert!(status["running"] == true && status["addresses"].as_array().is_some_and(|all| all.len() == 1), "{status}");
    assert!(locked(&["group", "invite", "g"], b"").starts_with("walytis1"));
    run(home.locked(&["post", "h"]), b"x").failed(1, "there is no group \"h\"");
    run(home.locked(&["group", "new", "g"]), b"").failed(1, "is called \"g\" already");
    drop(serving.kill());
    let status = &json(&home.ok(&["--json", "status"]))[0];
    assert!(status["running"] == false && status["groups"][0]["name"] == "g", "{status}");
}

#[test]
fn a_home_is_checked_while_its_node_goes_on_writing() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    let _serving = home.serve(&["--listen", "/ip4/127.0.0.1/tcp/0"], 1);
    let text: String = (0..500).map(|line| format!("line {line}\n")).collect();
    std::thread::scope(|scope| {
        let posting = scope.spawn(|| home.ok_with(&["post", "g", "--lines"], text.as_bytes()));
        for _ in 0..10 {
            let report = &json(&home.ok(&["--json", "check"]))[0];
            assert_eq!(report["ok"], true, "{report}");
        }
        assert_eq!(posting.join().expect("it posts all").lines().count(), 500);
    });
    let report = &json(&home.ok(&["--json", "check"]))[0];
    assert_eq!(report["contents"], 500, "{report}");
}

#[test]
fn only_this_user_can_reach_the_node() {
    let place = Place::new();
    let home = place.home("a");
    let _serving = home.serve(LISTEN, 1);
    let mode = |path: &std::path::Path| std::fs::symlink_metadata(path).expect("there").mode() & 0o777;
    let (run, socket) = (home.folder.join("run"), home.folder.join("run").join("socket"));
    assert!(std::fs::symlink_metadata(&socket).expect("there").file_type().is_socket());
    let modes = [mode(&home.folder), mode(&run), mode(&socket), mode(&home.folder.join("lock"))];
    assert_eq!(modes, [0o700, 0o700, 0o600, 0o600]);
}

#[test]
fn a_socket_left_by_a_kill_is_replaced() {
    let place = Place::new();
    let home = place.home("a");
    for _ in 0..3 {
        let serving = home.serve(LISTEN, 1);
        assert_eq!(json(&run(home.locked(&["--json", "status"]), b"").ok())[0]["running"], true);
        drop(serving.kill());
        assert!(home.folder.join("run").join("socket").exists(), "nobody was left to remove it");
        assert_eq!(json(&home.ok(&["--json", "status"]))[0]["running"], false);
    }
}

#[test]
fn a_home_may_have_a_long_path() {
    let place = Place::new();
    let home = place.home(&format!("{}/{}/ä", "deep".repeat(30), "deeper".repeat(20)));
    assert!(home.folder.as_os_str().len() > 250);
    home.ok(&["group", "new", "g"]);
    let serving = home.serve(LISTEN, 1);
    run(home.locked(&["post", "g"]), b"x").ok();
    assert_eq!(run(home.locked(&["read", "g", "--raw"]), b"").ok(), "x\n");
    drop(serving.kill());
    let _serving = home.serve(LISTEN, 1);
    assert_eq!(json(&run(home.locked(&["--json", "status"]), b"").ok())[0]["running"], true);
}

#[test]
fn serving_ends_cleanly_when_asked_to() {
    use rustix::process::Signal;
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    for signal in [Signal::INT, Signal::TERM] {
        let serving = home.serve(LISTEN, 1);
        let mut following = Running::start(home.locked(&["read", "g", "--follow", "--raw"]));
        run(home.locked(&["post", "g"]), b"x").ok();
        assert_eq!(following.line(), "x");
        serving.signal(signal);
        let (status, rest) = serving.end();
        assert!(status.success() && rest.is_empty(), "{status}, {rest:?}");
        assert!(!home.folder.join("run").join("socket").exists());
        // Whoever followed is told that the node is gone.
        assert_eq!(following.end().0.code(), Some(1));
        home.ok(&["check"]);
    }
    // A command that waits for more is asked to end as well: what it has posted stays.
    let mut posting = Running::start(home.command(&["post", "g", "--lines"]));
    std::io::Write::write_all(posting.stdin.as_mut().expect("its input"), b"y\n").expect("written");
    posting.line();
    posting.signal(Signal::TERM);
    assert_eq!(posting.rest(), Vec::<String>::new());
    assert_eq!(posting.end().0.code(), Some(130));
    let _serving = home.serve(LISTEN, 1);
    let mut following = Running::start(home.command(&["read", "g", "--follow", "--raw"]));
    assert_eq!(following.lines(3), ["x", "x", "y"]);
    following.signal(Signal::INT);
    assert_eq!(following.rest(), Vec::<String>::new());
    assert!(following.end().0.success());
}

#[test]
fn a_port_that_is_taken_is_tried_again() {
    // Where the system has more than one loopback address, no other test takes the port meanwhile.
    let host = if cfg!(target_os = "linux") { "127.0.0.9" } else { "127.0.0.1" };
    let place = Place::new();
    let home = place.home("a");
    let mut first = Running::start(home.command(&["serve", "--no-mdns", "--listen", &format!("/ip4/{host}/tcp/0")]));
    let address = first.line();
    drop(first.kill());
    let port: u16 = address.split('/').nth(4).and_then(|port| port.parse().ok()).expect("a port");
    let taken = std::net::TcpListener::bind((host, port)).expect("bound");
    let mut second = Running::start(home.command(&["serve", "--no-mdns"]));
    second.error_with(&format!("Cannot listen at /ip4/{host}/tcp/{port} this time: "));
    assert_ne!(second.line(), address);
    drop((second.kill(), taken));
    let mut third = Running::start(home.command(&["serve", "--no-mdns"]));
    assert_eq!(third.line(), address);
    let mode = std::fs::metadata(home.folder.join("store").join("listen")).expect("kept").mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_command_that_waits_for_input_leaves_the_home_to_others() {
    use std::io::Write;
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    let mut lines = Running::start(home.command(&["post", "g", "--lines"]));
    let mut whole = Running::start(home.command(&["post", "g"]));
    let mut write = |text: &[u8]| lines.stdin.as_mut().expect("its input").write_all(text).expect("written");
    write(b"one\n");
    // Both wait for more, and others can have the home meanwhile.
    while home.read("g").is_empty() {}
    write(b"two\nthree\n");
    while home.read("g").len() < 3 {}
    let serving = home.serve(LISTEN, 1);
    write(b"four\n");
    assert_eq!(lines.lines(4).len(), 4);
    whole.stdin.take().expect("its input").write_all(b"five").expect("written");
    whole.line();
    assert!(whole.end().0.success());
    drop(serving.kill());
    assert_eq!(home.ok(&["read", "g", "--raw"]), "one\ntwo\nthree\nfour\nfive\n");
    let mut following = Running::start(home.command(&["read", "g", "--follow"]));
    assert_eq!(following.rest(), Vec::<String>::new());
    assert_eq!(following.end().0.code(), Some(1), "it names the remedy instead of waiting for nothing");
    drop(lines.end());
}

#[test]
fn a_home_is_made_once_and_whole() {
    let place = Place::new();
    let home = place.no_home("a");
    home.run(&["id"]).failed(1, "there is no home in");
    // What an interrupted `init` leaves.
    std::fs::create_dir_all(home.folder.join("store.unfinished")).expect("made");
    std::fs::write(home.folder.join("store.unfinished").join("store.redb"), "half").expect("written");
    home.run(&["id"]).failed(1, "there is no home in");
    let made = &json(&home.ok(&["--json", "init", "--name", "Küche"]))[0];
    assert_eq!(text(made, "name"), "Küche");
    let id = &json(&home.ok(&["--json", "id"]))[0];
    for field in ["user", "device", "peer", "name"] {
        assert_eq!(made[field], id[field]);
    }
    let before = home.files();
    home.run(&["init"]).failed(1, "holds a home already");
    assert!(home.files() == before && !home.folder.join("store.unfinished").exists());

    let mode = |path: &std::path::Path| std::fs::metadata(path).expect("there").mode() & 0o777;
    assert_eq!(mode(&home.folder.join("name")), 0o600);
    let empty = place.no_home("empty");
    std::fs::create_dir(&empty.folder).expect("made");
    empty.run(&["id"]).failed(1, &format!("make one with `walytis --home {} init`", empty.folder.display()));
    empty.ok(&["init"]);
    assert_eq!(mode(&empty.folder), 0o700);

    let full = place.no_home("full");
    std::fs::create_dir(&full.folder).expect("made");
    std::fs::write(full.folder.join("letter"), "dear").expect("written");
    full.run(&["init"]).failed(1, "holds other files");
    place.no_home("named").run(&["init", "--name", ""]).failed(1, "1 to 64 characters");
    assert!(!place.path("named").exists());
}

#[test]
fn a_command_that_stops_reading_holds_up_nobody() {
    use std::io::Read;
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    let _serving = home.serve(LISTEN, 1);
    let mut idle = home.locked(&["read", "g", "--follow", "--raw"]);
    let mut idle =
        idle.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::null()).spawn().expect("started");
    // Far more than all that may wait between the node and whoever does not read.
    let block = vec![b'x'; 1024 * 1024];
    for _ in 0..24 {
        run(home.locked(&["post", "g"]), &block).ok();
    }
    assert_eq!(json(&run(home.locked(&["--json", "group", "list"]), b"").ok())[0]["name"], "g");
    // It lost nothing by not reading.
    let mut read = vec![0; 24 * (block.len() + 1)];
    idle.stdout.take().expect("its output").read_exact(&mut read).expect("all blocks");
    idle.kill().expect("killed");
    idle.wait().expect("ended");
}

#[test]
fn nonsense_at_the_socket_does_no_harm() {
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    let place = Place::new();
    let home = place.home("a");
    let _serving = home.serve(LISTEN, 1);
    let hello = b"walytis\0\x06\0";
    let longest = [hello.as_slice(), &[0xFF; 4]].concat();
    let nonsense = [hello.as_slice(), &[3, 0, 0, 0, 99, 1, 2]].concat();
    let end_first = [hello.as_slice(), &[1, 0, 0, 0, 9]].concat();
    for bytes in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"walytis\0\x06\0", &longest, &nonsense, &end_first] {
        let mut stream = UnixStream::connect(home.folder.join("run").join("socket")).expect("connected");
        stream.set_read_timeout(Some(crate::common::GUARD)).expect("set");
        stream.write_all(bytes).expect("written");
        let mut answer = Vec::new();
        // It ends the connection, with or without a word.
        assert!(
            !matches!(stream.read_to_end(&mut answer), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
        );
        assert!(answer.starts_with(hello) && answer.len() < 200, "{answer:?}");
    }
    assert_eq!(json(&run(home.locked(&["--json", "status"]), b"").ok())[0]["running"], true);
}
