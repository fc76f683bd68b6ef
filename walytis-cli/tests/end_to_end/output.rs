//! What is printed, and to whom.

use std::process::Stdio;

use crate::common::{Place, Running, json, lines_of_text, run, text, walytis};

#[test]
fn json_has_the_named_fields() {
    let place = Place::new();
    let home = place.home("a");
    let id = &json(&home.ok(&["--json", "id"]))[0];
    assert!(text(id, "user").starts_with("did:walytis:") && text(id, "device").starts_with("did:walytis:"));
    assert!(text(id, "peer").starts_with("12D3KooW") && id["name"].is_null());
    let group = &json(&home.ok(&["--json", "group", "new", "g"]))[0];
    assert!(text(group, "did").starts_with("did:walytis:") && text(group, "name") == "g");

    let posted = json(&run(home.command(&["--json", "post", "g", "--topic", "t", "--topic", "ü"]), b"hello\n").ok());
    run(home.command(&["post", "g"]), &[0xFF, 0]).ok();
    let blocks = home.read("g");
    let [first, second] = blocks.as_slice() else { panic!("{blocks:?}") };
    let fields =
        |block: &serde_json::Value| -> Vec<String> { block.as_object().expect("an object").keys().cloned().collect() };
    assert_eq!(fields(first), ["author", "content", "created_at_ms", "device", "id", "size", "topics"]);
    assert_eq!(fields(second), ["author", "content_base64", "created_at_ms", "device", "id", "size", "topics"]);
    assert_eq!((text(first, "id"), text(first, "content")), (text(&posted[0], "id"), "hello\n"));
    assert_eq!((&first["topics"], &first["size"]), (&serde_json::json!(["t", "ü"]), &6.into()));
    assert_eq!((text(first, "author"), text(first, "device")), (text(id, "user"), text(id, "device")));
    assert!(first["created_at_ms"].as_u64().is_some_and(|ms| ms > 1_700_000_000_000));
    assert_eq!(text(second, "content_base64"), "/wA=");

    let shown = &json(&home.ok(&["--json", "group", "show", "g"]))[0];
    assert_eq!((&shown["did"], &shown["members"][0]["did"]), (&group["did"], &id["user"]));
    assert_eq!(shown["members"][0]["devices"][0]["peer"], id["peer"]);
    let mut serving = Running::start(home.command(&[
        "--json",
        "serve",
        "--no-mdns",
        "--no-relay",
        "--listen",
        "/ip4/127.0.0.1/tcp/0",
    ]));
    let listening = &json(&serving.line())[0];
    assert!(text(listening, "listening").ends_with(text(id, "peer")));
    assert_eq!(json(&home.ok(&["--json", "status"]))[0]["addresses"][0], listening["listening"]);
}

#[test]
fn text_for_a_person_is_harmless_and_raw_is_exact() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    run(home.command(&["post", "g", "--topic", "loud"]), b"\x1b[2Jcleared?\r").ok();
    let shown = home.ok(&["read", "g"]);
    assert!(shown.contains("    \\u{1b}[2Jcleared?\\r\n") && shown.contains("  #loud\n"), "{shown:?}");
    assert_eq!(home.ok(&["read", "g", "--raw"]), "\x1b[2Jcleared?\r\n");
}

#[test]
fn no_format_prints_what_a_terminal_obeys_or_hides_and_json_keeps_its_value() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    home.ok(&["chain", "new", "c"]);
    let (topic, content) = ("t\u{9b}2J\u{202e}", "a\u{9b}2J\u{200b}\u{200f}\u{61c}\u{2028}\u{feff}b می\u{200c}خواهم");
    let deceive = ['\u{9b}', '\u{202e}', '\u{200b}', '\u{200f}', '\u{61c}', '\u{2028}', '\u{feff}'];
    for (post, read) in [(&["post", "g"][..], &["read", "g"][..]), (&["chain", "post", "c"], &["chain", "read", "c"])] {
        run(home.command(&[post, &["--topic", topic]].concat()), content.as_bytes()).ok();
        for format in [&[][..], &["--json"]] {
            let shown = home.ok(&[format, read].concat());
            assert!(!shown.contains(deceive), "{format:?} {read:?}: {shown:?}");
            assert!(shown.contains("می\u{200c}خواهم"), "{format:?} {read:?}: {shown:?}");
        }
        let blocks = json(&home.ok(&[&["--json"], read].concat()));
        let posted = blocks.iter().find(|block| block["topics"][0] == topic).expect("the post");
        assert_eq!(text(posted, "content"), content);
    }
}

/// Runs a command whose output nobody reads beyond the first line.
fn read_one_line(mut command: std::process::Command) -> (String, std::process::ExitStatus, String) {
    use std::io::{BufRead, BufReader, Read};
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("started");
    let mut line = String::new();
    BufReader::with_capacity(16, child.stdout.take().expect("its output")).read_line(&mut line).expect("read");
    let mut errors = String::new();
    child.stderr.take().expect("its errors").read_to_string(&mut errors).expect("read");
    (line, child.wait().expect("ended"), errors)
}

#[test]
fn a_closed_pipe_ends_a_command_quietly() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    // More than a pipe holds.
    let text = lines_of_text(5000);
    run(home.command(&["post", "g", "--lines"]), text.as_bytes()).ok();
    for arguments in [&["read", "g", "--raw"][..], &["read", "g", "--json"]] {
        let (line, status, errors) = read_one_line(home.command(&[&["--quiet"], arguments].concat()));
        assert!(!line.is_empty() && status.success() && errors.is_empty(), "{arguments:?}: {status} {errors:?}");
    }
    // The same while a node runs; following ends although nothing more arrives.
    let _serving = home.serve(&["--listen", "/ip4/127.0.0.1/tcp/0"], 1);
    let (line, status, errors) = read_one_line(home.locked(&["-q", "read", "g", "--follow", "--raw"]));
    assert!(!line.is_empty() && status.success() && errors.is_empty(), "{status} {errors:?}");
    let last = run(home.locked(&["post", "g", "--topic", "last"]), b"x").ok();
    let (line, status, errors) = read_one_line(home.locked(&["read", "g", "--follow", "--topic", "last", "--json"]));
    assert!(line.contains(last.trim()) && status.success() && errors.is_empty(), "{status} {errors:?}");
}

/// Whether anybody reads the ids changes nothing of what is posted.
#[test]
fn what_is_given_is_posted_whoever_reads() {
    use std::process::Stdio;
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["group", "new", "g"]);
    let input = place.path("lines");
    std::fs::write(&input, lines_of_text(500)).expect("written");
    let serving = home.serve(&["--listen", "/ip4/127.0.0.1/tcp/0"], 1);
    let check = |out: Stdio, posted: usize| {
        let mut post = home.command(&["post", "g", "--lines"]);
        post.arg(&input).stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
        let ended = post.output().expect("ended");
        let said = String::from_utf8(ended.stderr).expect("UTF-8");
        assert!(ended.status.success() && said.contains("blocks posted: 500"), "{said}");
        assert_eq!(home.read("g").len(), posted);
    };
    let closed = || {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        Stdio::from(writer)
    };
    let full = || std::fs::File::options().write(true).open("/dev/full").map(Stdio::from);
    check(closed(), 500);
    check(full().unwrap_or_else(|_| closed()), 1000);
    drop(serving.kill());
    check(closed(), 1500);
}

#[test]
fn a_closed_standard_error_changes_nothing() {
    let place = Place::new();
    let home = place.home("a");
    for arguments in [&["init"][..], &["-v", "id"], &["read", "h"]] {
        let (reader, writer) = std::io::pipe().expect("a pipe");
        drop(reader);
        let ended = home.command(arguments).stdin(Stdio::null()).stderr(writer).output().expect("ended");
        assert_eq!(ended.status.code(), Some(i32::from(arguments != ["-v", "id"])), "{arguments:?}");
    }
}

#[test]
fn help_teaches_and_shells_are_completed() {
    let mut help = walytis();
    help.arg("--help");
    let help = run(help, b"").ok();
    assert!(help.contains("Examples:") && help.contains("walytis demo"));
    for command in ["init", "id", "status", "peers", "group", "post", "read", "serve", "check", "demo", "completions"] {
        assert!(help.contains(&format!("\n  {command} ")), "{command}");
        let mut one = walytis();
        one.args(["help", command]);
        assert!(run(one, b"").ok().contains("Usage: walytis"), "{command}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let mut completions = walytis();
        completions.args(["completions", shell]);
        assert!(run(completions, b"").ok().contains("walytis"), "{shell}");
    }
}

#[test]
fn tracing_tells_no_secret() {
    let place = Place::new();
    let home = place.no_home("a");
    let mut init = home.locked(&["-vv", "init"]);
    init.env("WALYTIS_PASSPHRASE", "a passphrase that nobody may see");
    let made = run(init, b"");
    assert!(!made.err.contains("nobody may see") && made.code == Some(0), "{made:?}");
    let mut new = home.locked(&["-vv", "group", "new", "g"]);
    new.env("WALYTIS_PASSPHRASE", "a passphrase that nobody may see");
    let made = run(new, b"");
    assert!(!made.err.contains("nobody may see") && made.code == Some(0), "{made:?}");
}
