//! Chains as files, and chains read under a name, from the command line.

use std::fs;

use crate::common::{Place, Running, json, lines_of_text, text};

#[test]
fn a_chain_goes_through_a_file_and_through_a_pipe() {
    let place = Place::new();
    let (a, b) = (place.home("a"), place.home("b"));
    let id = a.ok(&["chain", "new", "news"]);
    a.ok_with(&["chain", "post", "news", "--lines"], lines_of_text(700).as_bytes());
    let file = place.path("news.chain");
    let name = file.to_str().expect("a plain path");
    let exported = &json(&a.ok(&["--json", "chain", "export", "news", name]))[0];
    let bytes = fs::read(&file).expect("it was written");
    assert_eq!((&exported["blocks"], exported["bytes"].as_u64()), (&701.into(), u64::try_from(bytes.len()).ok()));
    assert!(!place.path("news.chain.part").exists());

    // Cut and damaged: told by its block, and what stands before is here.
    let cut = place.path("cut.chain");
    fs::write(&cut, &bytes[..bytes.len() / 2]).expect("it can be written");
    b.run(&["chain", "import", cut.to_str().expect("a plain path"), "--as", "n"])
        .failed(1, "the file ends before block 3");
    b.run(&["chain", "import", cut.to_str().expect("a plain path")]).failed(1, " of 701 blocks were imported and stay");
    let before = json(&b.ok(&["--json", "chain", "show", "n"]))[0]["blocks"].as_u64().expect("a number");
    assert!((300..400).contains(&before), "{before}");
    let imported = &json(&b.ok(&["--json", "chain", "import", name]))[0];
    assert_eq!((text(imported, "id"), text(imported, "name")), (id.trim(), "n"));
    assert_eq!((imported["known"].as_u64(), imported["new"].as_u64()), (Some(before), Some(701 - before)));
    assert!(b.ok(&["chain", "read", "n", "--raw"]) == lines_of_text(700));
    let mut damaged = bytes.clone();
    damaged[bytes.len() - 3] ^= 1;
    fs::write(&cut, &damaged).expect("it can be written");
    place.home("c").run(&["chain", "import", cut.to_str().expect("a plain path")]).failed(1, "block 701 of the file");

    fs::write(&cut, [&bytes[..], b"x"].concat()).expect("it can be written");
    b.run(&["chain", "import", cut.to_str().expect("a plain path")])
        .failed(1, "bytes follow block 701, which is the last; all 701 blocks of the chain were imported and stay");
    fs::write(&cut, b"").expect("it can be written");
    b.run(&["chain", "import", cut.to_str().expect("a plain path")]).failed(1, "the file is empty");
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    let unread = a.command(&["chain", "export", "news", "-"]).stdout(writer).output().expect("ended");
    let said = String::from_utf8(unread.stderr).expect("UTF-8");
    assert!(unread.status.code() == Some(1) && said.contains("what was read is not whole"), "{said}");

    // Through a running node, one block, and what cannot be.
    let _serving = b.serve(&["--listen", "/ip4/127.0.0.1/tcp/0"], 1);
    let block = a.ok_with(&["chain", "post", "news"], b"one more");
    let one = place.path("one.chain");
    let one_name = one.to_str().expect("a plain path");
    a.ok(&["chain", "export", "news", one_name, "--block", &block[..16]]);
    let piped = fs::read(&one).expect("it was written");
    let import = b.locked(&["--json", "chain", "import", "-"]);
    let taken = json(&crate::common::run(import, &piped).ok());
    assert_eq!((taken[0]["new"].as_u64(), taken[0]["blocks"].as_u64()), (Some(1), Some(702)));
    a.run(&["chain", "export", "news", "-", "--block", "00000000000000"]).failed(1, "no block of this chain");
    a.run(&["chain", "export", "nothing", one_name]).failed(1, "chain list");
    assert_eq!(fs::read(&one).expect("it is still there"), piped, "what fails leaves the old file");
    a.run(&["chain", "export", "news", "/nowhere/x"]).failed(1, "cannot write");
    b.run(&["chain", "import", "/nowhere/x"]).failed(1, "cannot open");
    b.ok(&["check"]);
}

#[test]
fn a_script_reads_each_block_once_under_a_name() {
    let place = Place::new();
    let a = place.home("a");
    a.ok(&["chain", "new", "news"]);
    let all = lines_of_text(300);
    a.ok_with(&["chain", "post", "news", "--lines"], all.as_bytes());
    let read = ["chain", "read", "news", "--raw", "--subscription", "mailer"];
    assert!(a.ok(&read) == all);
    assert_eq!(a.ok(&read), "");
    a.ok_with(&["chain", "post", "news", "--topic", "x"], b"with a topic");
    a.ok_with(&["chain", "post", "news"], b"plain");
    assert_eq!(a.ok(&["chain", "read", "news", "--raw", "--subscription", "mailer", "--topic", "x"]), "with a topic\n");
    let listed = &json(&a.ok(&["--json", "chain", "subscriptions", "news"]))[0];
    assert_eq!(
        (text(listed, "name"), listed["behind"].as_u64(), listed["live"].as_bool()),
        ("mailer", Some(1), Some(false))
    );

    // While a node runs, one reads and goes on; another is told so.
    let serving = a.serve(&["--listen", "/ip4/127.0.0.1/tcp/0"], 1);
    let mut following = Running::start(a.locked(&[&read[..], &["--follow"]].concat()));
    assert_eq!(following.line(), "plain");
    a.run(&read).failed(1, "one reader at a time");
    a.ok_with(&["chain", "post", "news"], b"later");
    assert_eq!(following.line(), "later");
    following.signal(rustix::process::Signal::TERM);
    following.end();
    drop(serving);
    assert_eq!(a.ok(&["--json", "chain", "letters", "news", "mailer"]), "");
    a.run(&["chain", "letters", "news", "nobody"]).failed(1, "no subscription");
    a.ok(&["chain", "subscriptions", "news", "--forget", "mailer"]);
    assert_eq!(a.ok(&["chain", "subscriptions", "news"]), "");
}
