//! The node's side: named subscriptions of public chains, exports and imports.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use walytis_node::{ArchiveError, ChainImport, Imported, Letter, NodeError, Reading, SubscriptionSummary};

use super::host::{Ended, Host};
use super::messages::{Reply, Request};
use super::views::EntryView;
use crate::output::count;

/// A piece of a file in one message.
const PIECE_BYTES: usize = 512 * 1024;

/// A name under which a chain is read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SubscriptionView {
    pub(crate) name: String,
    /// How many blocks it has passed, of whatever topic.
    pub(crate) next: u64,
    /// How many are to come.
    pub(crate) behind: u64,
    pub(crate) letters: u32,
    /// Whether somebody reads now.
    pub(crate) live: bool,
}

impl From<SubscriptionSummary> for SubscriptionView {
    fn from(summary: SubscriptionSummary) -> Self {
        let SubscriptionSummary { name, next, behind, letters, live } = summary;
        Self { name, next, behind, letters, live }
    }
}

/// A dead letter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LetterView {
    pub(crate) entry: EntryView,
    pub(crate) tries: u32,
    pub(crate) reason: String,
    pub(crate) failed_at_ms: u64,
    /// Whether it is to be handed out again.
    pub(crate) again: bool,
}

impl From<Letter> for LetterView {
    fn from(letter: Letter) -> Self {
        let Letter { entry, tries, reason, failed_at_ms, again } = letter;
        Self { entry: entry.into(), tries, reason, failed_at_ms, again }
    }
}

/// What is to be done to dead letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum LetterChange {
    None,
    Replay,
    Discard,
}

/// Says what stays of an import that failed.
fn broken_off(import: &ChainImport, error: NodeError) -> Ended {
    let (taken, blocks) = (import.taken(), import.head().map_or(0, |head| head.blocks));
    let stays = match &error {
        NodeError::Archive(ArchiveError::Trailing { .. }) if taken == blocks => {
            format!(
                "all {} of the chain were imported and stay; what follows them was left out",
                count(blocks, "block")
            )
        }
        // Of a chain that cannot be taken, or from what is no file, none was.
        _ if taken == 0 => return error.into(),
        _ => format!(
            "{taken} of {} were imported and stay; a whole copy of the file goes on there",
            count(blocks, "block")
        ),
    };
    match Ended::from(error) {
        Ended::Refused(reason) => Ended::Refused(format!("{reason}; {stays}")),
        other => other,
    }
}

impl Host {
    /// Carries out a request about named subscriptions or files.
    pub(super) async fn about_delivery(&mut self, request: Request) -> Result<(), Ended> {
        match request {
            Request::ReadNamed { chain, name, topics, follow } => {
                let mut reading = Reading::named(name);
                reading.topics.extend(topics.into_iter().map(ByteBuf::into_vec));
                self.read_named(&chain, reading, follow).await
            }
            Request::Subscriptions { chain } => {
                for subscription in self.node.chain_subscriptions(&chain).await? {
                    self.say(Reply::Subscription(subscription.into())).await?;
                }
                Ok(())
            }
            Request::ForgetSubscription { chain, name } => {
                self.node.forget_chain_subscription(&chain, &name).await?;
                self.say(Reply::Changed).await
            }
            Request::Letters { chain, name, change, block } => self.letters(&chain, &name, change, block).await,
            Request::ExportChain { chain, block } => self.export(&chain, block.as_deref()).await,
            Request::ImportChain { name } => self.import(name.as_deref()).await,
            _ => Err(Ended::Refused("the command asked for nothing that a node can do".to_owned())),
        }
    }

    /// Tells of each block, and acknowledges it once the command has written it.
    async fn read_named(&mut self, chain: &str, reading: Reading, follow: bool) -> Result<(), Ended> {
        let mut reader = self.node.read_chain(chain, reading).await?;
        let acknowledger = reader.acknowledger();
        loop {
            let entry = match reader.next_here().await? {
                Some(entry) => entry,
                None if !follow => return Ok(()),
                None => {
                    self.say(Reply::CaughtUp).await?;
                    let entry = tokio::select! {
                        entry = reader.next() => entry,
                        _ = self.requests.recv() => return Err(Ended::Gone),
                    };
                    match entry {
                        Ok(Some(entry)) => entry,
                        Ok(None) => return Err(self.why_it_ended(chain, NodeError::Closed).await),
                        Err(error) => return Err(self.why_it_ended(chain, error).await),
                    }
                }
            };
            self.say(Reply::Entry(entry.clone().into())).await?;
            match self.requests.recv().await {
                Some(Request::Printed) => acknowledger.acknowledge(&entry).await?,
                _ => return Err(Ended::Gone),
            }
        }
    }

    async fn letters(&self, chain: &str, name: &str, change: LetterChange, id: Option<String>) -> Result<(), Ended> {
        let mut from = Some(0);
        while let Some(position) = from {
            let (letters, next) = self.node.chain_letters(chain, name, position).await?;
            for mut letter in letters {
                if id.as_ref().is_some_and(|id| !letter.entry.id.to_string().starts_with(id.as_str())) {
                    continue;
                }
                let position = Some(letter.entry.position);
                match change {
                    LetterChange::None => {}
                    LetterChange::Replay => {
                        self.node.replay_chain_letters(chain, name, position).await?;
                        letter.again = true;
                    }
                    LetterChange::Discard => {
                        self.node.discard_chain_letters(chain, name, position).await?;
                    }
                }
                self.say(Reply::Letter(letter.into())).await?;
            }
            from = next;
        }
        Ok(())
    }

    async fn export(&self, chain: &str, block: Option<&str>) -> Result<(), Ended> {
        let block =
            block.map(str::parse).transpose().map_err(|_| Ended::Refused("that is no beginning of an id".into()))?;
        let mut export = self.node.export_chain(chain, block).await?;
        while let Some(piece) = export.next_piece().await? {
            for bytes in piece.chunks(PIECE_BYTES) {
                let (blocks, of) = (export.written(), export.head().blocks);
                self.say(Reply::Piece { bytes: ByteBuf::from(bytes), blocks, of }).await?;
            }
        }
        Ok(())
    }

    async fn import(&mut self, name: Option<&str>) -> Result<(), Ended> {
        let mut import = self.node.import_chain(name);
        let mut empty = true;
        loop {
            match self.requests.recv().await {
                Some(Request::Content(bytes)) => {
                    empty &= bytes.is_empty();
                    if let Err(error) = import.write(&bytes).await {
                        return Err(broken_off(&import, error));
                    }
                }
                Some(Request::End) => break,
                _ => return Err(Ended::Gone),
            }
            let of = import.head().map_or(0, |head| head.blocks);
            self.say(Reply::Importing { blocks: import.taken(), of }).await?;
        }
        if empty {
            return Err(Ended::Refused("the file is empty: nothing was imported".to_owned()));
        }
        let Imported { chain, new, known } = match import.finish().await {
            Ok(imported) => imported,
            Err(error) => return Err(broken_off(&import, error)),
        };
        self.say(Reply::Imported { chain: chain.into(), new, known }).await
    }
}
