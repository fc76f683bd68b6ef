//! What can be typed behind `walytis chain`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use walytis_core::query::IdPrefix;
use walytis_core::{AuthorKey, PeerId};

use crate::arguments::{Contents, Showing};
use crate::reach_arguments::JoinArguments;
use crate::time::{Moment, moment};

/// `chain`
#[derive(Debug, Subcommand)]
pub(crate) enum Chain {
    /// Make a public chain, and print its id
    #[command(after_help = "Example:\n  walytis chain new news")]
    New {
        /// What this home calls it; others may call it otherwise
        name: String,
    },
    /// List the public chains
    #[command(after_help = "Examples:\n  walytis chain list\n  walytis --json chain list | jq -r .name")]
    List,
    /// Show a chain: heads, peers, rules, limits, and authors that wrote two blocks with one number
    ///
    /// For one block, `chain read CHAIN --id PREFIX`; for how two stand to each other, `chain ancestry CHAIN A B`.
    #[command(
        after_help = "Examples:\n  walytis chain show news\n  walytis --json chain show news | jq -r .peers[].peer"
    )]
    Show {
        /// The chain's name here, or its id
        chain: String,
    },
    /// Stop following a chain, and remove all of its blocks from this home
    ///
    /// Other nodes keep theirs, and what nobody else has is lost. On a terminal it asks before; elsewhere it needs --yes. What
    /// an interruption cuts short goes on when the home is opened next.
    #[command(after_help = "Examples:\n  walytis chain delete news\n  walytis chain delete news --yes")]
    Delete {
        /// The chain's name here, or its id
        chain: String,
        /// Do not ask
        #[arg(short, long)]
        yes: bool,
    },
    /// Append blocks to a chain
    ///
    /// Prints the id of each block once it is durable on this machine. A running node sends it to others at once; without one
    /// it goes out as soon as `serve` runs.
    #[command(after_help = "\
Everybody can read what you post, and nobody can take it back.

A file, or a text through standard input:
  walytis chain post news article.md --topic weather
  walytis chain post news -m 'it rains'
  echo 'it rains' | walytis chain post news")]
    Post {
        /// The chain's name here, or its id
        chain: String,
        /// What is posted.
        #[command(flatten)]
        contents: Contents,
    },
    /// Print a chain's blocks: all, or those that the options leave
    ///
    /// They are listed in an order that is the same on every machine with the same blocks: each after those it builds on,
    /// ties by id. With --arrival they come as they arrived here, and topics and authors are looked up instead of searched
    /// for. Of several options, all have to fit; of several topics, one.
    #[command(after_help = "\
Examples:
  walytis chain read news
  walytis chain read news --latest 10
  walytis chain read news --raw --follow | grep rain
  walytis chain read news --json | jq -r .content
  walytis chain read news --topic weather --topic traffic --since 36h --arrival
  walytis chain read news --author 5f0c... --count
  walytis chain read news --since 2026-11-01 --until 2026-12-01 --min-bytes 1000 --reverse
  walytis chain read news --json --after 1041             what arrived here after that position
  walytis chain read news --subscription mailer --json --follow | while read -r block; do ...; done

A TIME is a day (2026-11-20), a minute or second of it (2026-11-20T18:30, 2026-11-20T18:30:05Z), always UTC; or so long ago
(90s, 30m, 36h, 7d); or milliseconds since 1970, as --json prints them. It is compared with the author's clock, which may be
wrong. A POSITION is a block's place in the order in which blocks arrived at this home; --json prints it.

With --subscription, blocks come in the order in which they arrived here, each counts as handled once its line is written,
and the next run goes on behind it, also after a crash: then the last line may come twice. The topics are those of each run.

With --json each line has: id, author (a key made for this chain), sequence (the author's own count), position, topics,
created_at_ms (by the author's clock), size, and content, or content_base64 if it is not text. With --count it is
{\"blocks\":N}.")]
    Read(Box<ChainRead>),
    /// Say whether one block came before another: `before`, `after`, `concurrent` or `same`
    ///
    /// `before` means that B builds on A, through however many blocks, so that B's author could know A; `after` the other way
    /// round; `concurrent` that neither knew of the other. No clock is asked.
    #[command(after_help = "\
Examples:
  walytis chain ancestry news 5f0c 91ab
  walytis chain ancestry news 5f0c 91ab --json            {\"a\":...,\"b\":...,\"ancestry\":\"before\"}")]
    Ancestry {
        /// The chain's name here, or its id
        chain: String,
        /// A block's id; its first digits are enough if no other block's id begins so
        #[arg(value_name = "A")]
        a: IdPrefix,
        /// Another block's
        #[arg(value_name = "B")]
        b: IdPrefix,
    },
    /// List the names under which a chain is read, and how far each has come
    #[command(after_help = "\
Examples:
  walytis chain subscriptions news
  walytis chain subscriptions news --forget mailer")]
    Subscriptions {
        /// The chain's name here, or its id
        chain: String,
        /// Forget this one, with its dead letters
        #[arg(long, value_name = "NAME")]
        forget: Option<String>,
    },
    /// List the blocks that an application could not handle: its dead letters
    ///
    /// A block that fails as often as the application allows is set aside, and the next ones go on.
    #[command(after_help = "\
Examples:
  walytis chain letters news mailer
  walytis chain letters news mailer --replay
  walytis chain letters news mailer --discard --block 5f0c

--replay hands them out again to whoever reads under the name, now or next; each stays listed until it is handled.
--discard throws them away; the blocks stay on the chain.")]
    Letters {
        /// The chain's name here, or its id
        chain: String,
        /// The subscription's name
        name: String,
        /// Hand them out again
        #[arg(long, conflicts_with = "discard")]
        replay: bool,
        /// Throw them away
        #[arg(long)]
        discard: bool,
        /// Only the one whose id begins so
        #[arg(long, value_name = "ID")]
        block: Option<String>,
    },
    /// Write a chain, or one block, to a file
    ///
    /// The file has all that is needed to verify it. It appears under its name once it is whole and on the disk.
    #[command(after_help = "\
Examples:
  walytis chain export news news.chain
  walytis chain export news - | ssh host walytis chain import -
  walytis chain export news one.chain --block 5f0c")]
    Export {
        /// The chain's name here, or its id
        chain: String,
        /// The file; `-` is standard output
        file: PathBuf,
        /// Only the block whose id begins so
        #[arg(long, value_name = "ID")]
        block: Option<IdPrefix>,
    },
    /// Take a chain, or blocks of one, from a file
    ///
    /// Each block is verified. If the file is damaged or cut, what stands before is kept; the same command goes on where
    /// it was. What peers and authors may send in a time does not count here, the most bytes of the chain do.
    #[command(after_help = "Example:\n  walytis chain import news.chain --as news")]
    Import {
        /// The file; `-` is standard input
        file: PathBuf,
        /// What this home will call the chain, if it is not here yet [default: one that is free]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
    },
    /// Open an invitation, and print its code
    ///
    /// The code holds the chain's id and this machine's addresses: run `serve` once before, and while others join.
    #[command(after_help = "\
Examples:
  walytis chain invite news
  walytis chain invite news --any-number --shareable")]
    Invite {
        /// The chain's name here, or its id
        chain: String,
        /// How many may join by it
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
        /// Any number may join by it
        #[arg(long, conflicts_with = "uses")]
        any_number: bool,
        /// Those who join by it admit others by it, too
        #[arg(long)]
        shareable: bool,
    },
    /// List the invitations by which this node admits, with their codes
    #[command(
        after_help = "Examples:\n  walytis chain invitations news\n  walytis --json chain invitations news | jq -r .code"
    )]
    Invitations {
        /// The chain's name here, or its id
        chain: String,
    },
    /// End an invitation: nobody is admitted by it here any more
    #[command(after_help = "Example:\n  walytis chain revoke news 0")]
    Revoke {
        /// The chain's name here, or its id
        chain: String,
        /// The invitation's number, as `chain invitations` shows it
        number: u32,
    },
    /// Join a chain by an invitation's code
    ///
    /// Runs a node while it lasts, if none is running, and ends when all that the inviter has is here. The inviter has to
    /// run `serve` meanwhile. While it lasts, such a node accepts connections where `serve` would, but is not found on the
    /// local network; with --no-listen it only dials the inviter. A join that broke off goes on where it was.
    #[command(after_help = "\
Examples:
  walytis chain join walytischain1... --as news
  walytis chain join walytischain1... --no-listen")]
    Join {
        /// The code, which begins with `walytischain1`; `-` reads it from standard input
        code: String,
        /// What this home will call it [default: one that is free]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// How the inviter is reached.
        #[command(flatten)]
        joining: JoinArguments,
    },
    /// Change whom and what this node lets in, or show it
    ///
    /// Rules are this node's own: others may keep other ones. The last word about a peer or an author counts.
    #[command(after_help = "\
Examples:
  walytis chain rules news
  walytis chain rules news --block-author 5f0c...
  walytis chain rules news --serve invited --allow-peer 12D3KooW...
  walytis chain rules news --chain-bytes-max 1000000000

A blocked author's blocks are not shown; they are kept only where others build on them. Limits delay what others send, and
lose nothing, but for --chain-bytes-max: from there on nothing by others is taken.")]
    Rules(Rules),
    /// Move a chain to the newest format: from BLAKE3 to SHA-256
    ///
    /// New blocks use SHA-256: this home's from the next one on, and those of all who build on it. The first of each author
    /// binds all that is below it in the new hash. Blocks that others wrote in the old format meanwhile are merged.
    #[command(after_help = "\
Nothing changes for others until you post. Then it cannot be taken back: members with an older program keep what they
have, refuse the new blocks, and stop following until they update.

  walytis chain upgrade news
  walytis chain show news        # `format` tells how far it is")]
    Upgrade {
        /// The chain's name here, or its id
        chain: String,
    },
}

/// `chain read`
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ChainRead {
    /// The chain's name here, or its id
    pub(crate) chain: String,
    /// Only blocks with this topic, or another one that is given so
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
    /// Only blocks by this author: the whole key, as `chain read` prints it
    #[arg(long, value_name = "KEY")]
    pub(crate) author: Option<AuthorKey>,
    /// Only blocks made at this time or later, by their authors' clocks
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) since: Option<Moment>,
    /// Only blocks made before this time
    #[arg(long, value_name = "TIME", value_parser = moment)]
    pub(crate) until: Option<Moment>,
    /// Only blocks whose content has as many bytes, or more
    #[arg(long, value_name = "N")]
    pub(crate) min_bytes: Option<u64>,
    /// Only blocks whose content has as many bytes, or fewer
    #[arg(long, value_name = "N")]
    pub(crate) max_bytes: Option<u64>,
    /// Only blocks whose ids begin so
    #[arg(long, value_name = "PREFIX")]
    pub(crate) id: Option<IdPrefix>,
    /// Only blocks that arrived here behind this position; implies --arrival
    #[arg(long, value_name = "POSITION")]
    pub(crate) after: Option<u64>,
    /// Only blocks that arrived here before this position; implies --arrival
    #[arg(long, value_name = "POSITION")]
    pub(crate) before: Option<u64>,
    /// In the order in which they arrived here
    #[arg(long)]
    pub(crate) arrival: bool,
    /// The last first
    #[arg(long)]
    pub(crate) reverse: bool,
    /// Only the N that arrived here last, the very last first
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) latest: Option<u64>,
    /// Print only how many there are
    #[arg(long)]
    pub(crate) count: bool,
    /// How long, and how it is shown.
    #[command(flatten)]
    pub(crate) showing: Showing,
    /// Only what was not read under this name before; it is made if it is new
    #[arg(long, value_name = "NAME")]
    pub(crate) subscription: Option<String>,
}

impl ChainRead {
    /// Why the options cannot be meant together, and what to do.
    ///
    /// # Errors
    /// A sentence for whoever typed them.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        let follow = self.showing.follow;
        let narrows = self.author.is_some()
            || self.since.is_some()
            || self.until.is_some()
            || self.min_bytes.is_some()
            || self.max_bytes.is_some()
            || self.id.is_some();
        let places = self.after.is_some() || self.before.is_some();
        let orders = self.arrival || self.reverse || self.latest.is_some();
        let cases = [
            (
                self.subscription.is_some() && (narrows || places || orders || self.count),
                "--subscription goes on where its name was, in the order of arrival: of the other options only --topic, \
                 --follow and --raw go with it",
            ),
            (follow && self.count, "--count counts what is here now, and --follow waits for more: leave one out"),
            (
                follow && self.latest.is_some(),
                "--latest lists the newest first, and --follow goes on with newer ones: leave one out",
            ),
            (follow && self.reverse, "--reverse begins with the last, and with --follow there is none: leave one out"),
            (
                follow && (self.until.is_some() || self.before.is_some() || self.id.is_some()),
                "--until, --before and --id ask for blocks that have been, and --follow for those to come: leave one out",
            ),
            (self.latest.is_some() && self.reverse, "--latest lists the newest first already: leave --reverse out"),
            (self.count && orders, "a count has no order and no end: leave --latest, --reverse and --arrival out"),
            (self.count && self.showing.raw, "--count prints no contents: leave --raw out"),
            (
                self.since.zip(self.until).is_some_and(|(since, until)| since.0 >= until.0),
                "nothing lies between --since and --until: give --until a later time",
            ),
            (
                self.min_bytes.zip(self.max_bytes).is_some_and(|(least, most)| least > most),
                "no content has --min-bytes and --max-bytes: give --max-bytes a larger number",
            ),
            (
                self.after.zip(self.before).is_some_and(|(after, before)| before.saturating_sub(after) < 2),
                "no position lies between --after and --before: give --before a larger number",
            ),
        ];
        cases.into_iter().find(|(is_so, _)| *is_so).map_or(Ok(()), |(_, message)| Err(message))
    }
}

/// `chain rules`
#[derive(Debug, Args)]
pub(crate) struct Rules {
    /// The chain's name here, or its id
    pub(crate) chain: String,
    /// Whom to serve: whoever knows the id, or only who was invited or is allowed
    #[arg(long, value_name = "WHOM", value_parser = ["anyone", "invited"])]
    pub(crate) serve: Option<String>,
    /// Neither serve nor hear a peer; may be given more than once, like the others
    #[arg(long, value_name = "PEER")]
    pub(crate) block_peer: Vec<PeerId>,
    /// Serve and hear a peer, also where only invited ones are
    #[arg(long, value_name = "PEER")]
    pub(crate) allow_peer: Vec<PeerId>,
    /// Forget what was said about a peer
    #[arg(long, value_name = "PEER")]
    pub(crate) forget_peer: Vec<PeerId>,
    /// Do not show an author's blocks, nor keep them for their own sake. The whole key, as `chain read` prints it
    #[arg(long, value_name = "KEY")]
    pub(crate) block_author: Vec<AuthorKey>,
    /// Show an author's blocks, and of all others only those that are allowed, too
    #[arg(long, value_name = "KEY")]
    pub(crate) allow_author: Vec<AuthorKey>,
    /// Forget what was said about an author
    #[arg(long, value_name = "KEY")]
    pub(crate) forget_author: Vec<AuthorKey>,
    /// The most bytes that are kept of the chain
    #[arg(long, value_name = "N")]
    pub(crate) chain_bytes_max: Option<u64>,
    /// How many bytes of blocks a peer may send before it is made to wait
    #[arg(long, value_name = "N")]
    pub(crate) peer_bytes_burst: Option<u64>,
    /// How many bytes of blocks a peer may send a second from then on
    #[arg(long, value_name = "N")]
    pub(crate) peer_bytes_per_second: Option<u64>,
    /// How many blocks of one author are taken before they are made to wait
    #[arg(long, value_name = "N")]
    pub(crate) author_blocks_burst: Option<u64>,
    /// How many blocks of one author are taken a second from then on
    #[arg(long, value_name = "N")]
    pub(crate) author_blocks_per_second: Option<u64>,
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::{Chain, ChainRead};
    use crate::arguments::{Arguments, Command};

    fn read(line: &[&str]) -> Box<ChainRead> {
        let words = ["walytis", "chain", "read", "c"].iter().chain(line);
        match Arguments::try_parse_from(words).expect("options that are").command {
            Command::Chain(Chain::Read(read)) => read,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_that_make_no_sense_together_are_refused_with_what_to_do() {
        let check = |line: &[&str], expected: Option<&str>| match (read(line).check(), expected) {
            (Ok(()), None) => {}
            (Err(said), Some(expected)) => assert!(said.contains(expected), "{line:?}: {said}"),
            (said, _) => panic!("{line:?}: {said:?}"),
        };
        check(&[], None);
        check(&["--follow", "--topic", "a", "--author", &"ab".repeat(32), "--min-bytes", "1", "--after", "7"], None);
        check(&["--subscription", "s", "--topic", "a", "--topic", "b", "--follow", "--raw"], None);
        check(&["--count", "--since", "1d", "--after", "3", "--before", "5"], None);
        check(&["--latest", "3", "--arrival"], None);
        for option in [&["--id", "ab"][..], &["--after", "1"], &["--count"], &["--arrival"], &["--since", "1d"]] {
            check(&[&["--subscription", "s"], option].concat(), Some("goes on where its name was"));
        }
        check(&["--follow", "--count"], Some("leave one out"));
        check(&["--follow", "--latest", "1"], Some("newer ones"));
        check(&["--follow", "--reverse"], Some("there is none"));
        for option in [["--until", "1d"], ["--before", "9"], ["--id", "ab"]] {
            check(&[&["--follow"], &option[..]].concat(), Some("those to come"));
        }
        check(&["--latest", "1", "--reverse"], Some("leave --reverse out"));
        check(&["--count", "--reverse"], Some("no order"));
        check(&["--count", "--raw"], Some("leave --raw out"));
        check(&["--since", "2026-01-02", "--until", "2026-01-02"], Some("a later time"));
        check(&["--min-bytes", "2", "--max-bytes", "1"], Some("a larger number"));
        check(&["--after", "4", "--before", "5"], Some("a larger number"));
    }
}
