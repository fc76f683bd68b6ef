//! Homes of other builds: those that are kept as test data open and go on; what this build cannot read is called sound, with
//! the way out. See `tests/homes/README.md`.

use std::path::{Path, PathBuf};

use offchain_store::{RedbStore, STORE_FORMAT, Unlock};
use walytis_core::{Batch, KeyRange, Store, Table};

use crate::common::{Ended, Place, json, run, walytis};

/// A copy of a home that an earlier build left.
struct Older {
    folder: PathBuf,
    passphrase: String,
    _place: Place,
}

impl Older {
    fn copy(name: &str) -> Self {
        let place = Place::new();
        let folder = place.path(name);
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/homes").join(name).join("store");
        std::fs::create_dir_all(folder.join("store")).expect("a folder");
        for file in ["keys", "store.redb"] {
            std::fs::copy(kept.join(file), folder.join("store").join(file)).expect("copied");
        }
        Self { folder, passphrase: format!("home of {}", name.replace('-', " ")), _place: place }
    }

    fn run(&self, arguments: &[&str]) -> Ended {
        let mut command = walytis();
        command.env("WALYTIS_PASSPHRASE", &self.passphrase).arg("--home").arg(&self.folder).args(arguments);
        run(command, b"")
    }

    fn ok(&self, arguments: &[&str]) -> String {
        self.run(arguments).ok()
    }

    fn store_file(&self) -> PathBuf {
        self.folder.join("store").join("store.redb")
    }

    /// Changes a row as whoever has the keys can.
    fn change(&self, table: Table, change: impl FnOnce(&mut Vec<u8>)) {
        let unlock = Unlock::passphrase(&self.passphrase);
        let store = offchain_store::open(self.folder.join("store"), &unlock).expect("the store");
        let row = store.scan(table, KeyRange::all(), 1).expect("a scan").remove(0);
        let (key, mut value) = (row.key.clone(), row.value.clone());
        change(&mut value);
        let mut batch = Batch::new();
        batch.put(table, key, value);
        store.commit(&batch).expect("a commit");
    }
}

#[test]
fn a_home_of_format_1_opens_is_read_and_goes_on() {
    opens_is_read_and_goes_on(1);
}

#[test]
fn a_home_of_format_2_opens_is_read_and_goes_on() {
    opens_is_read_and_goes_on(2);
}

fn opens_is_read_and_goes_on(from: u8) {
    let home = Older::copy(&format!("format-{from}"));
    let first = home.run(&["read", "friends", "--raw"]);
    let said = format!(
        "This home had format {from}, and has format {STORE_FORMAT} now: builds that read format {from} alone do not open it any more."
    );
    assert!(first.err.contains(&said), "{first:?}");
    assert_eq!(first.ok(), "post 1\npost 2\npost 3\n");
    let second = home.run(&["chain", "read", "news", "--raw"]);
    assert_eq!((second.err.as_str(), second.out.as_str()), ("", "news 1\nnews 2\nnews 3\n"));

    // A cursor is where it was, a member and an invitation are there.
    assert_eq!(home.ok(&["chain", "read", "news", "--raw", "--subscription", "reader"]), "news 3\n");
    let group = &json(&home.ok(&["--json", "group", "show", "friends"]))[0];
    assert_eq!(group["members"].as_array().map(Vec::len), Some(2), "{group}");
    assert_eq!(json(&home.ok(&["--json", "chain", "invitations", "news"])).len(), 1);

    home.ok(&["post", "friends", "-m", "of a newer build"]);
    home.ok(&["chain", "post", "news", "-m", "of a newer build"]);
    assert!(home.ok(&["group", "invite", "friends"]).starts_with("walytis1"));
    assert_eq!(home.ok(&["read", "friends", "--raw"]), "post 1\npost 2\npost 3\nof a newer build\n");
    assert_eq!(home.ok(&["chain", "read", "news", "--raw", "--subscription", "reader"]), "of a newer build\n");
    let report = &json(&home.ok(&["--json", "check"]))[0];
    assert_eq!(report["ok"], true, "{report}");
}

#[test]
fn a_home_of_the_same_number_that_cannot_be_read_is_called_sound() {
    // Builds before 7c53815 had a byte less at the end of this row.
    let home = Older::copy("format-1");
    home.change(Table::changing("public.chains"), |row| {
        row.pop();
    });
    let before = std::fs::read(home.store_file()).expect("the file");
    for command in [&["read", "friends"][..], &["check"], &["chain", "list"]] {
        let ended = home.run(command);
        ended.failed(1, "an earlier build made this store, under the same number (1)");
        assert!(ended.err.contains("Nothing is wrong with it, and nothing was changed"), "{ended:?}");
        let damage = ["damaged (", "move that folder away", "Put back", "put back"];
        assert!(damage.iter().all(|word| !ended.err.contains(word)), "{ended:?}");
    }
    assert!(std::fs::read(home.store_file()).expect("the file") == before, "nothing was changed");
}

#[test]
fn a_home_of_a_newer_number_is_refused_by_it_and_called_sound() {
    let home = Older::copy("format-1");
    let (table, key) = (Table::changing("offchain-store.root"), b"root");
    let raw = RedbStore::open(&home.store_file()).expect("the file");
    let mut root = raw.get(table, key).expect("a read").expect("the root row");
    root[0] = STORE_FORMAT + 1;
    let mut batch = Batch::new();
    batch.put(table, *key, root);
    raw.commit(&batch).expect("a commit");
    drop(raw);
    for command in [&["read", "friends"][..], &["check"], &["serve", "--no-mdns"]] {
        let ended = home.run(command);
        let said = format!("has format {}; this build reads {STORE_FORMAT}.", STORE_FORMAT + 1);
        ended.failed(1, &format!("{said} Nothing is wrong with it, and nothing was changed"));
        assert!(!ended.err.contains("move that folder away"), "{ended:?}");
    }
}
