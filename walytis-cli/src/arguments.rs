//! What can be typed.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use walytis_core::Address;

use crate::chain_arguments::Chain;
use crate::reach_arguments::{JoinArguments, ReachArguments};

/// Share data among machines, privately in groups or openly on public chains, without a server
///
/// A home holds this machine's keys and its copy of every group that it belongs to, sealed under a passphrase. What is
/// posted to a group is encrypted for its members, signed, and kept by each of them; machines that were apart catch up
/// when they meet again.
#[derive(Debug, Parser)]
#[command(name = "walytis", version, propagate_version = true, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Arguments {
    /// Options of every command.
    #[command(flatten)]
    pub(crate) global: Global,
    /// The command.
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  walytis demo                                 see it work: three nodes on this machine, checked
  walytis init                                 make a home, once per machine

  on the first machine                         on the second
    walytis serve          (let it run)          walytis group join walytis1... --as family
    walytis group new family                     walytis serve          (let it run)
    walytis group invite family                  walytis read family --follow
    echo 'dinner at eight' | walytis post family

  walytis --passphrase-file FILE serve &       in the background, where nobody can be asked

Results go to standard output, everything else to standard error. Errors are plain text there, with --json too.
Exit status: 0 done; 1 failed, with one line that says what to do; 2 wrong usage; 130 interrupted before the end.";

/// Options of every command.
#[derive(Clone, Debug, Args)]
pub(crate) struct Global {
    /// The home's folder [default: `walytis` in the platform's folder for data]
    #[arg(long, global = true, value_name = "DIR", env = "WALYTIS_HOME", hide_env_values = true)]
    pub(crate) home: Option<PathBuf>,
    /// Print results as JSON, one object a line
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Tell on standard error what goes on inside; twice tells more. Never a secret
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing on standard error but errors
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Read the passphrase from the first line of FILE, instead of WALYTIS_PASSPHRASE or a prompt
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) passphrase_file: Option<PathBuf>,
    /// Unlock with the 32 random bytes in FILE, instead of a passphrase
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "passphrase_file")]
    pub(crate) key_file: Option<PathBuf>,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a home: this machine's keys, an identity of yours, and an empty store
    #[command(after_help = "\
The passphrase is asked for twice. It seals everything in the home; nobody can restore it.
With --key-file, 32 random bytes take its place, for machines that start without a person:

  walytis init
  head -c 32 /dev/urandom > key && walytis --key-file key init --name backup-server")]
    Init(Init),
    /// Show who you are: your identity and this device's as DIDs, and the peer id others connect to
    #[command(after_help = "Examples:\n  walytis id\n  walytis --json id | jq -r .user")]
    Id,
    /// Show whether the node runs, where, with whom, and what each group holds
    #[command(after_help = "Examples:\n  walytis status\n  walytis --json status | jq .running")]
    Status,
    /// Show the peers: how each was found, how it is reached, and when it was last seen
    ///
    /// `direct` means that one side dialled the other; `through a relay` that everything passes another node, which sees
    /// sizes and times and no content; `by hole punching` that both met at a relay and then dialled each other.
    #[command(after_help = "Examples:\n  walytis peers\n  walytis peers --json | jq -r 'select(.connected) | .peer'")]
    Peers,
    /// Make, list, show, share and join groups
    #[command(subcommand)]
    Group(Group),
    /// Make, list, read and write public chains, which hide nothing from anybody
    ///
    /// Whoever knows a chain's id can read it, and whoever follows it can append to it. Blocks are signed, and never changed.
    /// For what is not for everybody, use a group.
    #[command(subcommand)]
    Chain(Chain),
    /// Add private blocks to a group
    ///
    /// Prints the id of each block once it is durable on this machine. A running node sends it to the members at once;
    /// without one it goes out as soon as `serve` runs.
    ///
    /// The exit status tells whether all was posted, even if nobody reads the ids. If --lines breaks off, the error says
    /// how many lines are posted, and from which to go on.
    #[command(after_help = "\
In a group topics are sealed with the content, unless its policy shows them.

A file, or a text through standard input:
  walytis post family photo.jpg --topic holidays
  walytis post family -m 'dinner at eight'
  echo 'dinner at eight' | walytis post family
  tail -f app.log | walytis post servers --lines")]
    Post(Post),
    /// Print a group's private blocks
    ///
    /// They are listed in an order that is the same on every machine with the same blocks: each after those it builds
    /// on, ties by id. A block whose content is still on its way shows none.
    #[command(after_help = "\
Examples:
  walytis read family
  walytis read servers --raw --follow | grep error
  walytis read family --json | jq -r .content

With --json each line has: id, author, device, topics, created_at_ms (by the author's clock), size,
and content, or content_base64 if it is not text.")]
    Read(Read),
    /// Run the node until it is interrupted
    ///
    /// Prints each address at which it accepts connections, in full, one a line. While it runs, the other commands of
    /// this home go through it and need no passphrase.
    #[command(after_help = "\
Without --listen it listens where it did before; the first time on every interface, by QUIC and TCP,
at ports that the system picks. A port that is taken is tried again at the next start. Addresses
given by --peer are not remembered: members are.

  walytis serve
  walytis serve --listen /ip4/0.0.0.0/udp/4001/quic-v1 --listen /ip4/0.0.0.0/tcp/4001
  walytis serve --peer /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...

Nodes on one local network find each other by themselves. Two that cannot dial each other meet through a
third that both can dial, if it runs with --relay-server; run it with --bootstrap-server as well, and they
find each other again wherever they are:

  walytis serve --relay-server --bootstrap-server --listen /ip4/0.0.0.0/tcp/4001
  walytis serve --relay /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW... \
    --bootstrap /ip4/192.0.2.7/tcp/4001/p2p/12D3KooW...

Private groups are told to nobody who is no member; SECURITY.md says what each of these shows to whom.")]
    Serve(Serve),
    /// Verify everything that the home holds: each block, signature, commitment and index
    ///
    /// Exits with 1 and names what is wrong, if something is. While `serve` runs, it verifies what was there when it began; the
    /// file's pages and the key file are looked at only when no node runs.
    #[command(after_help = "Examples:\n  walytis check\n  walytis --json check | jq -r .problems[]")]
    Check,
    /// Run real nodes on this machine in a temporary folder, and check what they do
    ///
    /// The lines of FILE are posted in turn by all. One node is cut off and comes back, one joins late. At the end all
    /// must hold and list the same; every signature must verify; and no line of 16 bytes or more, nor any planted canary,
    /// may be in a frame before the transport encrypts it, or in a file of any node. Exits with 1 if a check fails.
    #[command(after_help = "Examples:\n  walytis demo\n  walytis demo --peers 5 --input notes.txt")]
    Demo(Demo),
    /// Print a script that completes commands in a shell
    #[command(after_help = "\
Examples:
  walytis completions bash > ~/.local/share/bash-completion/completions/walytis
  walytis completions fish > ~/.config/fish/completions/walytis.fish")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

impl Command {
    /// Why options cannot be meant together, where the parser cannot know it.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::Chain(Chain::Read(read)) => read.check(),
            _ => Ok(()),
        }
    }
}

/// `init`
#[derive(Debug, Args)]
pub(crate) struct Init {
    /// What `id` calls this home. It stays on this machine, unsealed
    #[arg(long)]
    pub(crate) name: Option<String>,
}

/// `group`
#[derive(Debug, Subcommand)]
pub(crate) enum Group {
    /// Make a group, of which you are the founder
    #[command(after_help = "Example:\n  walytis group new family")]
    New {
        /// What this home calls it; others may call it otherwise
        name: String,
    },
    /// List the groups
    #[command(after_help = "Examples:\n  walytis group list\n  walytis --json group list | jq -r .name")]
    List,
    /// Show a group: its DID, members and their devices, the epoch, blocks
    #[command(
        after_help = "Examples:\n  walytis group show family\n  walytis --json group show family | jq -r .members[].did"
    )]
    Show {
        /// The group's name here, or its DID
        group: String,
    },
    /// Open an invitation, and print its code
    ///
    /// Whoever has the code can join, so send it over a channel that you trust. It holds this machine's addresses: run
    /// `serve` once before, and while the other joins.
    #[command(after_help = "Examples:\n  walytis group invite family\n  walytis group invite servers --uses 10")]
    Invite {
        /// The group's name here, or its DID
        group: String,
        /// How many may join by it
        #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
        uses: u32,
    },
    /// Join a group by an invitation's code
    ///
    /// Runs a node while it lasts, if none is running, and ends when all that the inviter has is here. The inviter has
    /// to run `serve` meanwhile. While it lasts, such a node accepts connections where `serve` would, but is not found on the
    /// local network; with --no-listen it only dials the inviter.
    #[command(after_help = "\
Examples:
  walytis group join walytis1... --as family
  walytis group join walytis1... --no-listen")]
    Join {
        /// The code, which begins with `walytis1`; `-` reads it from standard input, so that no list of processes shows it
        code: String,
        /// What this home will call it [default: one that is free]
        #[arg(long = "as", value_name = "NAME")]
        name: Option<String>,
        /// How the inviter is reached.
        #[command(flatten)]
        joining: JoinArguments,
    },
}

/// `post`
#[derive(Debug, Args)]
pub(crate) struct Post {
    /// The group's name here, or its DID
    pub(crate) group: String,
    /// What is posted.
    #[command(flatten)]
    pub(crate) contents: Contents,
}

/// What is posted.
#[derive(Debug, Args)]
pub(crate) struct Contents {
    /// A file with what to post; `-` is standard input
    #[arg(default_value = "-")]
    pub(crate) file: PathBuf,
    /// Post this text, instead of a file. Lists of processes and the shell's history show it
    #[arg(short = 'm', long, value_name = "TEXT", conflicts_with_all = ["file", "lines"])]
    pub(crate) text: Option<String>,
    /// Post an empty block if standard input, or the text, is empty
    #[arg(long)]
    pub(crate) empty: bool,
    /// Post one block for each line, as they come
    #[arg(long)]
    pub(crate) lines: bool,
    /// A topic of the block; may be given more than once
    #[arg(long = "topic", value_name = "T")]
    pub(crate) topics: Vec<String>,
}

/// `read`
#[derive(Debug, Args)]
pub(crate) struct Read {
    /// The group's name here, or its DID
    pub(crate) group: String,
    /// Only blocks with this topic
    #[arg(long, value_name = "T")]
    pub(crate) topic: Option<String>,
    /// How long, and how it is shown.
    #[command(flatten)]
    pub(crate) showing: Showing,
}

/// How long is read, and how it is shown.
#[derive(Clone, Copy, Debug, Default, Args)]
pub(crate) struct Showing {
    /// Go on with what arrives, until interrupted. A node has to run: `walytis serve`
    #[arg(short, long)]
    pub(crate) follow: bool,
    /// Contents only, each ended by a line feed if it has none
    #[arg(long, conflicts_with = "json")]
    pub(crate) raw: bool,
}

/// `serve`
#[derive(Debug, Args)]
pub(crate) struct Serve {
    /// Where to accept connections; may be given more than once
    #[arg(long, value_name = "MULTIADDR", value_parser = address)]
    pub(crate) listen: Vec<Address>,
    /// A node to connect to, and again whenever the connection is lost; may be given more than once
    #[arg(long = "peer", value_name = "MULTIADDR", value_parser = address)]
    pub(crate) peers: Vec<Address>,
    /// How peers are found beyond that.
    #[command(flatten)]
    pub(crate) reach: ReachArguments,
}

/// `demo`
#[derive(Debug, Args)]
pub(crate) struct Demo {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_name = "N", value_parser = clap::value_parser!(u16).range(2..=16))]
    pub(crate) peers: u16,
    /// The text whose lines are posted [default: this program's README]
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
}

pub(crate) fn address(text: &str) -> Result<Address, String> {
    if !text.starts_with('/') {
        return Err("an address looks like /ip4/192.0.2.7/udp/4001/quic-v1".to_owned());
    }
    Address::new(text).ok_or_else(|| format!("an address has at most {} bytes", Address::BYTES_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_commands_are_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn options_are_understood_before_and_behind_the_command() {
        let check = |line: &[&str], fits: bool| {
            let parsed = Arguments::try_parse_from(std::iter::once("walytis").chain(line.iter().copied()));
            assert_eq!(parsed.is_ok(), fits, "{line:?}: {parsed:?}");
        };
        check(&["--home", "h", "id", "--json"], true);
        check(&["id", "--home", "h", "-q"], true);
        check(&["id", "-q", "-v"], false);
        check(&["--key-file", "k", "--passphrase-file", "p", "id"], false);
        check(&["post", "g"], true);
        check(&["post", "g", "-m", "text", "--topic", "a"], true);
        check(&["post", "g", "f", "-m", "text"], false);
        check(&["post", "g", "--lines", "-m", "text"], false);
        check(&["chain", "join", "walytischain1AAAA", "--no-listen"], true);
        check(&["chain", "delete", "c", "--yes"], true);
        check(&["post", "g", "-", "--topic", "a", "--topic", "b", "--lines"], true);
        check(&["post"], false);
        check(&["read", "g", "--raw", "--json"], false);
        check(&["serve", "--listen", "localhost"], false);
        check(&["serve", "--listen", "/ip4/127.0.0.1/tcp/0", "--peer", "/dns4/example.org/tcp/1"], true);
        check(&["serve", "--relay", "/ip4/192.0.2.7/tcp/1/p2p/x", "--bootstrap", "/ip4/192.0.2.7/tcp/1/p2p/x"], true);
        check(&["serve", "--relay", "/ip4/192.0.2.7/tcp/1/p2p/x", "--no-relay"], false);
        check(&["serve", "--relay-server", "--relay-connections", "0"], false);
        check(&["peers", "--json"], true);
        check(&["group", "invite", "g", "--uses", "0"], false);
        check(&["group", "join", "walytis1AAAA", "--as", "x"], true);
        check(&["chain", "join", "walytischain1AAAA"], true);
        check(&["chain", "invite", "c", "--uses", "3", "--any-number"], false);
        check(&["chain", "rules", "c"], true);
        check(&["chain", "rules", "c", "--block-author", "xyz"], false);
        check(&["chain", "read", "c", "--raw", "--json"], false);
        check(&["chain", "read", "c", "--since", "yesterday"], false);
        check(&["chain", "read", "c", "--since", "2d", "--id", "5f0c", "--latest", "3"], true);
        check(&["chain", "read", "c", "--latest", "0"], false);
        check(&["chain", "ancestry", "c", "5f0c", "xyz"], false);
        check(&["demo", "--peers", "1"], false);
        check(&["completions", "zsh"], true);
        check(&[], false);
    }
}
