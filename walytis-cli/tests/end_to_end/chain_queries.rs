//! What `chain read` leaves, `chain ancestry` says, and both refuse.

use crate::common::{Home, Place, Running, json, text};

const LOCAL_TCP: &str = "/ip4/127.0.0.1/tcp/0";

/// Posts each content under its topics, and gives the ids.
fn post(home: &Home, contents: &[(&str, &[&str])]) -> Vec<String> {
    let post = |(content, topics): &(&str, &[&str])| {
        let topics = topics.iter().flat_map(|topic| ["--topic", topic]);
        let arguments: Vec<&str> = ["chain", "post", "news"].into_iter().chain(topics).collect();
        home.ok_with(&arguments, content.as_bytes()).trim().to_owned()
    };
    contents.iter().map(post).collect()
}

/// The contents that `chain read` prints with these options.
fn read(home: &Home, options: &[&str]) -> String {
    let printed = home.ok(&[&["chain", "read", "news", "--raw"], options].concat());
    printed.lines().collect::<Vec<_>>().join(" ")
}

/// What holds for the home's five blocks, whoever is asked: the store, or the node that serves.
fn check_filters(home: &Home, ids: &[String]) {
    let blocks = json(&home.ok(&["--json", "chain", "read", "news", "--arrival"]));
    let positions: Vec<u64> = blocks.iter().map(|block| block["position"].as_u64().expect("a number")).collect();
    assert_eq!(positions, [1, 2, 3, 4, 5]);
    let author = text(&blocks[0], "author");
    let made = |place: usize| blocks[place]["created_at_ms"].as_u64().expect("a time");
    let (first, last) = (made(0).to_string(), (made(4) + 1).to_string());
    let check = |options: &[&str], expected: &str| {
        assert_eq!(read(home, options), expected, "{options:?}");
        let orders = ["--latest", "--reverse", "--arrival"];
        if !options.iter().any(|option| orders.contains(option)) {
            let counted = home.ok(&[&["chain", "read", "news", "--count"], options].concat());
            assert_eq!(counted.trim(), expected.split_whitespace().count().to_string(), "{options:?}");
        }
    };
    check(&[], "one two three4 four55 five");
    check(&["--reverse"], "five four55 three4 two one");
    check(&["--latest", "2"], "five four55");
    check(&["--latest", "9"], "five four55 three4 two one");
    check(&["--topic", "odd"], "one three4 five");
    check(&["--topic", "even", "--topic", "last"], "two four55 five");
    check(&["--topic", "odd", "--latest", "2"], "five three4");
    check(&["--topic", "odd", "--topic", "even", "--after", "1", "--before", "4"], "two three4");
    check(&["--author", author], "one two three4 four55 five");
    check(&["--author", &"00".repeat(32)], "");
    check(&["--min-bytes", "4"], "three4 four55 five");
    check(&["--min-bytes", "4", "--max-bytes", "5"], "five");
    check(&["--max-bytes", "3", "--reverse"], "two one");
    check(&["--id", &ids[2][..12]], "three4");
    check(&["--id", &ids[2].to_uppercase()], "three4");
    check(&["--after", "3"], "four55 five");
    check(&["--before", "2"], "one");
    check(&["--after", "5"], "");
    check(&["--since", "1d"], "one two three4 four55 five");
    check(&["--until", "1d"], "");
    check(&["--since", &first, "--until", &last], "one two three4 four55 five");
    check(&["--until", &first], "");
    check(&["--since", &last], "");
    check(&["--since", "2020-01-01", "--until", "2020-01-01T00:01"], "");
    assert_eq!(home.ok(&["--json", "chain", "read", "news", "--count", "--topic", "even"]), "{\"blocks\":2}\n");
}

#[test]
fn blocks_are_chosen_by_each_option_with_and_without_a_node() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["chain", "new", "news"]);
    let contents: [(&str, &[&str]); 5] = [
        ("one", &["odd"]),
        ("two", &["even"]),
        ("three4", &["odd"]),
        ("four55", &["even"]),
        ("five", &["odd", "last"]),
    ];
    let ids = post(&home, &contents);
    check_filters(&home, &ids);
    let ancestry = |a: &str, b: &str| home.ok(&["chain", "ancestry", "news", a, b]);
    assert_eq!(ancestry(&ids[0], &ids[4][..10]), "before\n");
    let serving = home.serve(&["--listen", LOCAL_TCP], 1);
    check_filters(&home, &ids);
    assert_eq!(ancestry(&ids[4][..10], &ids[0]), "after\n");

    // Following takes the same options, of what is here and of what arrives.
    let follow = ["chain", "read", "news", "--follow", "--raw", "--topic", "odd", "--min-bytes", "4", "--after", "3"];
    let mut following = Running::start(home.locked(&follow));
    assert_eq!(following.line(), "five");
    post(&home, &[("six666", &["even"]), ("sev", &["odd"]), ("eight", &["odd"])]);
    assert_eq!(following.line(), "eight");
    // A name goes on where it was, by several topics.
    let named =
        |topics: &[&str]| home.ok(&[&["chain", "read", "news", "--raw", "--subscription", "s"], topics].concat());
    assert_eq!(named(&["--topic", "last", "--topic", "even"]), "two\nfour55\nfive\nsix666\n");
    assert_eq!(named(&[]), "sev\neight\n", "what followed was passed by nobody");
    // What a rule hides is neither printed nor counted.
    let author = text(&json(&home.ok(&["--json", "chain", "read", "news", "--latest", "1"]))[0], "author").to_owned();
    home.ok(&["chain", "rules", "news", "--block-author", &author]);
    assert_eq!(home.ok(&["chain", "read", "news", "--count"]), "8\n", "one's own are shown");
    drop(serving);
}

#[test]
fn blocks_of_two_homes_stand_to_each_other_as_their_authors_knew() {
    let place = Place::new();
    let (a, b) = (place.home("a"), place.home("b"));
    let id = a.ok(&["chain", "new", "news"]);
    let old = post(&a, &[("old", &[])]).remove(0);
    let serving = a.serve(&["--listen", LOCAL_TCP], 1);
    let code = a.ok(&["chain", "invite", "news"]);
    b.ok(&["chain", "join", code.trim(), "--as", "news"]);
    drop(serving);
    // Neither hears the other.
    let of_a = post(&a, &[("of-a", &[])]).remove(0);
    let of_b = post(&b, &[("of-b", &[])]).remove(0);
    let mut serving = Running::start(a.command(&["serve", "--no-mdns", "--no-relay", "--listen", LOCAL_TCP]));
    let address = serving.line();
    let mut following = Running::start(a.locked(&["chain", "read", "news", "--follow", "--raw", "--after", "2"]));
    let _serving_b = b.serve(&["--listen", LOCAL_TCP, "--peer", &address], 1);
    assert_eq!(following.line(), "of-b");
    let new = post(&a, &[("new", &[])]).remove(0);
    let check = |one: &str, other: &str, expected: &str| {
        assert_eq!(a.ok(&["chain", "ancestry", "news", one, other]).trim(), expected, "{one} {other}");
    };
    check(&of_a, &of_b, "concurrent");
    check(&of_b, &of_a, "concurrent");
    check(&old, &of_b, "before");
    check(&new, &of_b, "after");
    check(&new, &new[..9], "same");
    check(id.trim(), &new, "before");
    let said = &json(&a.ok(&["--json", "chain", "ancestry", "news", &old[..16], &new]))[0];
    assert_eq!((text(said, "a"), text(said, "b"), text(said, "ancestry")), (old.as_str(), new.as_str(), "before"));
    // Whose blocks are not shown can be asked about by their whole ids, and others counted.
    let author = text(&json(&a.ok(&["--json", "chain", "read", "news", "--id", &of_b]))[0], "author").to_owned();
    a.ok(&["chain", "rules", "news", "--block-author", &author]);
    check(&new, &of_b, "after");
    a.run(&["chain", "ancestry", "news", &of_b[..16], &new]).failed(1, "no block's id begins with");
    assert_eq!(a.ok(&["chain", "read", "news", "--count"]), "3\n");
    assert_eq!(read(&a, &["--latest", "3"]), "new of-a old");
}

#[test]
fn what_cannot_be_asked_is_refused_with_what_to_do() {
    let place = Place::new();
    let home = place.home("a");
    home.ok(&["chain", "new", "news"]);
    let ids = post(&home, &[("x", &[]), ("y", &[])]);
    let check = |code: i32, arguments: &[&str], expected: &str| {
        home.run(&[&["chain"], arguments].concat()).failed(code, expected);
    };
    check(2, &["read", "news", "--follow", "--count"], "leave one out");
    check(2, &["read", "news", "--subscription", "s", "--latest", "1"], "goes on where its name was");
    check(2, &["read", "news", "--since", "2d", "--until", "3d"], "a later time");
    check(2, &["read", "news", "--since", "soon"], "a time looks like");
    check(2, &["read", "news", "--id", "5g"], "hexadecimal");
    check(2, &["ancestry", "news", "5f"], "required arguments");
    check(1, &["read", "olds", "--count"], "chain list");
    check(1, &["ancestry", "olds", &ids[0], &ids[1]], "chain list");
    check(1, &["ancestry", "news", &ids[0], &"00".repeat(32)], "has no block");
    check(1, &["ancestry", "news", &ids[0], "000000000000"], "no block's id begins with 000000000000");
    check(1, &["ancestry", "news", "", &ids[1]], "give more digits");
    assert!(home.ok(&["chain", "read", "--help"]).contains("--latest 10"));
    assert!(home.ok(&["chain", "ancestry", "--help"]).contains("concurrent"));
}
