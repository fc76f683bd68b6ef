//! A running node with the threads on which it runs.

use tokio::runtime::{Builder, Runtime};
use walytis_core::Address;
use walytis_node::{Accept, HELPERS_MAX, History, Home, KdfCost, Node, NodeError, Post, Reach, ServeOptions, Unlock};
use zeroize::Zeroizing;

use crate::error::AbiError;
use crate::layout;

/// The threads of a node. One would do; with two, a long step of the store holds up no connection.
const THREADS: usize = 2;

/// The most places to listen at: more than any phone has interfaces.
const LISTEN_MAX: usize = 16;

/// The most bytes of a passphrase.
pub(crate) const SECRET_BYTES_MAX: usize = 4096;

/// A node, and what it runs on. Callers wait on their own threads, so that is never dropped on one of these.
pub(crate) struct OpenNode {
    pub(crate) node: Node,
    runtime: Runtime,
}

impl OpenNode {
    /// Opens a home and serves it.
    pub(crate) fn open(home: &str, unlock: &Unlock, options: ServeOptions) -> Result<Self, AbiError> {
        let runtime =
            Builder::new_multi_thread().worker_threads(THREADS).thread_name("walytis").enable_all().build()?;
        let node = runtime.block_on(async { Home::open(home, unlock)?.serve(options).await })?;
        Ok(Self { node, runtime })
    }

    /// Waits on the calling thread for what the node does on its own.
    pub(crate) fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    /// Stops it; an error if it had stopped by itself.
    pub(crate) fn close(&self) -> Result<(), AbiError> {
        self.wait(async {
            self.node.shutdown().await;
            self.node.stopped().await.map_or(Ok(()), |error| Err(error.into()))
        })
    }

    /// Joins a group, and gives its name here.
    pub(crate) fn join(&self, code: &str, name: Option<&str>) -> Result<String, NodeError> {
        self.wait(async { Ok(self.node.join(code, name).await?.finish().await?.name) })
    }

    /// The groups' names, a line each.
    pub(crate) fn groups(&self) -> Result<String, NodeError> {
        let groups = self.wait(self.node.groups())?;
        Ok(groups.into_iter().map(|group| format!("{}\n", group.name)).collect())
    }

    /// Adds a block, and gives its id.
    pub(crate) fn post(&self, group: &str, post: Post) -> Result<[u8; 32], NodeError> {
        Ok(self.wait(self.node.post(group, post))?.0)
    }
}

/// Makes a home.
pub(crate) fn create(home: &str, unlock: &Unlock) -> Result<(), AbiError> {
    Home::create(home, unlock, KdfCost::DEFAULT)?;
    Ok(())
}

/// The secret of a kind. What is copied here is overwritten when it goes.
pub(crate) fn unlock(kind: i32, secret: &[u8]) -> Result<Unlock, AbiError> {
    let wrong_length = |allowed| Err(AbiError::Value { what: "secret_length", value: length(secret), allowed });
    match kind {
        layout::PASSPHRASE if secret.is_empty() => wrong_length("a passphrase has 1 to 4,096 bytes"),
        layout::PASSPHRASE => match std::str::from_utf8(secret) {
            // One copy, which the receiver overwrites.
            Ok(words) => Ok(Unlock::passphrase(words)),
            Err(_) => Err(AbiError::NotUtf8("secret")),
        },
        layout::KEY => match <[u8; 32]>::try_from(secret).map(Zeroizing::new) {
            Ok(key) => Ok(Unlock::key(*key)),
            Err(_) => wrong_length("a key has 32 bytes"),
        },
        other => Err(AbiError::Value {
            what: "secret_kind",
            value: other.into(),
            allowed: "1 is a passphrase, 2 a key of 32 bytes",
        }),
    }
}

fn length(secret: &[u8]) -> i64 {
    i64::try_from(secret.len()).unwrap_or(i64::MAX)
}

/// What newcomers may read.
pub(crate) fn history(number: i32) -> Result<History, AbiError> {
    match number {
        layout::HISTORY_ALL => Ok(History::All),
        layout::HISTORY_SINCE_JOIN => Ok(History::SinceJoin),
        other => Err(AbiError::Value {
            what: "history",
            value: other.into(),
            allowed: "1 is everything, 2 what is written after a member is let in",
        }),
    }
}

/// How a node is served.
pub(crate) fn options(listen: Option<&str>, relays: Option<&str>, reach: u32) -> Result<ServeOptions, AbiError> {
    if reach & !(layout::REACH_LOCAL | layout::REACH_RELAYED) != 0 {
        let allowed = "the sum of 1, the local network, and 2, addresses through relays";
        return Err(AbiError::Value { what: "reach", value: reach.into(), allowed });
    }
    let mut found = Reach::default();
    found.mdns = reach & layout::REACH_LOCAL != 0;
    found.relay = reach & layout::REACH_RELAYED != 0;
    found.hole_punching = found.relay;
    found.relays = addresses("relays", relays.unwrap_or_default(), HELPERS_MAX)?;
    let places = addresses("listen", listen.unwrap_or_default(), LISTEN_MAX)?;
    let accept = if listen.is_some() && places.is_empty() { Accept::Nothing } else { Accept::Connections };
    Ok(ServeOptions { accept, listen: places, connect: Vec::new(), reach: found })
}

/// Addresses with blanks between them.
fn addresses(what: &'static str, text: &str, count_max: usize) -> Result<Vec<Address>, AbiError> {
    let mut found = Vec::new();
    for address in text.split_ascii_whitespace() {
        let address = Address::new(address).filter(|_| found.len() < count_max);
        found.push(address.ok_or(AbiError::Addresses { what, count_max })?);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use walytis_node::Accept;

    use super::{history, options, unlock};
    use crate::layout;

    #[test]
    fn secrets_are_of_a_kind() {
        for (kind, secret) in [(layout::PASSPHRASE, &b"\0words"[..]), (layout::KEY, &[0xFF; 32])] {
            let unlock = unlock(kind, secret).expect("a secret");
            assert!(!format!("{unlock:?}").contains("words"));
        }
        let wrong: [(i32, &[u8]); 5] = [
            (layout::PASSPHRASE, b""),
            (layout::PASSPHRASE, b"\xFF"),
            (layout::KEY, &[1; 31]),
            (layout::KEY, &[1; 33]),
            (3, b"words"),
        ];
        for (kind, secret) in wrong {
            let error = unlock(kind, secret).expect_err("no secret");
            assert_eq!(error.status(), layout::ARGUMENT, "{error}");
            assert!(!error.to_string().contains("words"), "{error}");
        }
    }

    #[test]
    fn options_are_read() {
        let default = options(None, None, 0).expect("options");
        assert_eq!((default.accept, default.listen.len()), (Accept::Connections, 0));
        assert!(!default.reach.mdns && !default.reach.relay);
        let dials = options(Some(" "), None, layout::REACH_RELAYED).expect("options");
        assert_eq!(dials.accept, Accept::Nothing);
        assert!(dials.reach.relay && dials.reach.hole_punching && !dials.reach.mdns);
        let both = options(Some("/ip4/127.0.0.1/tcp/0  /ip6/::1/tcp/0"), Some("/x"), layout::REACH_LOCAL);
        let both = both.expect("options");
        assert_eq!((both.accept, both.listen.len(), both.reach.relays.len()), (Accept::Connections, 2, 1));
        assert!(both.reach.mdns);
    }

    #[test]
    fn what_means_nothing_is_refused() {
        let long = "x".repeat(513);
        let many = "/x ".repeat(5);
        for wrong in [options(None, None, 4), options(Some(&long), None, 0), options(None, Some(&many), 0)] {
            assert_eq!(wrong.expect_err("no options").status(), layout::ARGUMENT);
        }
        assert_eq!(history(0).expect_err("no history").status(), layout::ARGUMENT);
    }
}
