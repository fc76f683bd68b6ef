//! The node's side: named subscriptions of public chains, exports and imports.

use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use walytis_node::{Imported, Letter, NodeError, Reading, SubscriptionSummary};

use super::host::{Ended, Host};
use super::messages::{Reply, Request};
use super::views::EntryView;

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
                        entry = reader.next() => entry?,
                        _ = self.requests.recv() => return Err(Ended::Gone),
                    };
                    entry.ok_or_else(|| Ended::from(NodeError::Closed))?
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
        loop {
            match self.requests.recv().await {
                Some(Request::Content(bytes)) => import.write(&bytes).await?,
                Some(Request::End) => break,
                _ => return Err(Ended::Gone),
            }
            let of = import.head().map_or(0, |head| head.blocks);
            self.say(Reply::Importing { blocks: import.taken(), of }).await?;
        }
        let Imported { chain, new, known } = import.finish().await?;
        self.say(Reply::Imported { chain: chain.into(), new, known }).await
    }
}
