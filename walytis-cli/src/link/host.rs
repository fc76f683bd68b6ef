//! The node's side: carries out one request.

use std::collections::VecDeque;
use std::pin::Pin;

use tokio::sync::mpsc;
use walytis_core::{ChainError, StoreError};
use walytis_node::{
    BlockId, CheckReport, Delivery, EngineError, Entry, History, Listing, Node, NodeError, Post, PublicError,
};

use super::kinds::Named;
use super::messages::{Reply, Request};
use super::views::{GroupDetailsView, GroupView, IdentityView, StatusView};

/// Blocks that are on their way to the disk for one command. Enough to fill the commits, few enough to bound memory.
pub(crate) const POSTS_IN_FLIGHT_MAX: usize = 64;

/// How many problems of a check are told. More than a screen of them say no more.
const PROBLEMS_MAX: usize = 1000;

/// A block that is not durable yet.
type OnItsWay = Pin<Box<dyn Future<Output = Result<BlockId, NodeError>> + Send>>;

/// Where posts go.
enum Destination {
    Group(String),
    Chain(String),
}

/// Why a request ended early.
pub(super) enum Ended {
    /// The node refused.
    Refused(String),
    /// The node knows nothing of this name.
    Unknown(String),
    /// The command is gone.
    Gone,
}

impl From<NodeError> for Ended {
    fn from(error: NodeError) -> Self {
        if let NodeError::Engine(EngineError::UnknownGroup(_) | EngineError::Public(PublicError::Unknown(_))) = error {
            return Self::Unknown(error.to_string());
        }
        Self::Refused(match &error {
            NodeError::Engine(EngineError::Chain(ChainError::Store(StoreError::Damaged { .. }))) => {
                format!("{error}. `walytis check` tells more, and what to do")
            }
            _ => error.to_string(),
        })
    }
}

/// Carries out the request that comes first, and replies. `running` is told to whoever asks for the status.
///
/// It waits for a command that does not take its replies, and holds up nobody else meanwhile.
pub(crate) async fn answer(node: Node, running: bool, requests: mpsc::Receiver<Request>, replies: mpsc::Sender<Reply>) {
    let mut host = Host { node, running, requests, replies, named: None };
    let last = match host.first().await {
        Ok(()) => Reply::Done,
        Err(Ended::Refused(reason)) => Reply::Failed(reason),
        Err(Ended::Unknown(reason)) => Reply::Failed(host.of_another_kind().await.unwrap_or(reason)),
        Err(Ended::Gone) => return,
    };
    // Nobody may be left to hear it.
    let _ = host.replies.send(last).await;
}

pub(super) struct Host {
    pub(super) node: Node,
    running: bool,
    pub(super) requests: mpsc::Receiver<Request>,
    replies: mpsc::Sender<Reply>,
    /// The group or chain that is asked about.
    pub(super) named: Option<Named>,
}

impl Host {
    async fn first(&mut self) -> Result<(), Ended> {
        let request = self.requests.recv().await.ok_or(Ended::Gone)?;
        self.named = Named::by(&request);
        self.one_kind_has_a_name(&request).await?;
        let reply = match request {
            Request::Identity => Reply::Identity(IdentityView::from(self.node.identity())),
            Request::Status => Reply::Status(StatusView::new(self.running, self.node.status().await?)),
            Request::NewGroup { name } => Reply::Group(self.node.new_group(&name, History::All).await?.into()),
            Request::Check => {
                let report = self.node.check().await?;
                let CheckReport { chains, blocks, contents, mut problems } = report;
                problems.truncate(PROBLEMS_MAX);
                Reply::Checked { chains, blocks, contents, problems }
            }
            Request::Groups => {
                for group in self.node.groups().await? {
                    self.say(Reply::Group(group.into())).await?;
                }
                return Ok(());
            }
            Request::Peers => {
                for peer in self.node.peers().await? {
                    self.say(Reply::Peer(peer.into())).await?;
                }
                return Ok(());
            }
            Request::Group { group } => Reply::GroupDetails(GroupDetailsView::from(self.node.group(&group).await?)),
            Request::Invite { group, uses } => Reply::Code(self.node.invite(&group, uses).await?),
            Request::Join { code, name } => Reply::Group(self.join(&code, name.as_deref()).await?),
            Request::Post { group, topics } => {
                // An empty listing asks only whether there is such a group, so that nobody types in vain.
                self.node.list(&group, Listing { topic: None, below: Some(0) }).next_page().await?;
                return self.post(Destination::Group(group), topics).await;
            }
            Request::PostToChain { chain, topics } => {
                self.node.list_chain(&chain, Listing { topic: None, below: Some(0) }).next_page().await?;
                return self.post(Destination::Chain(chain), topics).await;
            }
            Request::Read { group, topic, follow } => {
                let topic = topic.map(serde_bytes::ByteBuf::into_vec);
                return if follow { self.follow(&group, topic).await } else { self.list(&group, topic, None).await };
            }
            Request::Content(_) | Request::End => {
                return Err(Ended::Refused("the command sent the end of a request first".to_owned()));
            }
            other => return self.about_chains(other).await,
        };
        self.say(reply).await
    }

    pub(super) async fn say(&self, reply: Reply) -> Result<(), Ended> {
        self.replies.send(reply).await.map_err(|_| Ended::Gone)
    }

    async fn join(&self, code: &str, name: Option<&str>) -> Result<GroupView, Ended> {
        let mut join = self.node.join(code, name).await?;
        while let Some(progress) = join.progress().await {
            self.say(Reply::Progress(progress.into())).await?;
        }
        Ok(join.finish().await?.into())
    }

    /// Posts what comes, up to [`POSTS_IN_FLIGHT_MAX`] at a time, and tells of each in the order in which it came.
    ///
    /// After a refusal it tells of those before, and of none behind.
    async fn post(&mut self, to: Destination, topics: Vec<serde_bytes::ByteBuf>) -> Result<(), Ended> {
        let topics: Vec<Vec<u8>> = topics.into_iter().map(serde_bytes::ByteBuf::into_vec).collect();
        let mut waiting: VecDeque<OnItsWay> = VecDeque::new();
        let mut more = true;
        while more || !waiting.is_empty() {
            tokio::select! {
                biased;
                Some(posted) = front(&mut waiting) => {
                    waiting.pop_front();
                    self.say(Reply::Posted(posted?.to_string())).await?;
                }
                request = self.requests.recv(), if more && waiting.len() < POSTS_IN_FLIGHT_MAX => match request {
                    Some(Request::Content(content)) => {
                        let post = Post { topics: topics.clone(), content: content.into_vec() };
                        // Only this loop enqueues, and it waits until it has: lines keep their order.
                        let posting = match &to {
                            Destination::Group(group) => self.node.enqueue(group, post).await?,
                            Destination::Chain(chain) => self.node.enqueue_to_chain(chain, post).await?,
                        };
                        waiting.push_back(Box::pin(posting.durable()));
                    }
                    Some(Request::End) => more = false,
                    // What is on its way becomes durable all the same.
                    None => return Err(Ended::Gone),
                    Some(_) => return Err(Ended::Refused("only blocks can follow a post".to_owned())),
                },
            }
        }
        Ok(())
    }

    /// Tells of what is here; below a position, if one is given.
    async fn list(&self, group: &str, topic: Option<Vec<u8>>, below: Option<u64>) -> Result<(), Ended> {
        let mut pager = self.node.list(group, Listing { topic, below });
        while let Some(page) = pager.next_page().await? {
            for entry in page {
                self.say(Reply::Entry(entry.into())).await?;
            }
        }
        Ok(())
    }

    /// Tells of what is here, then of what arrives, until the command is gone.
    async fn follow(&mut self, group: &str, topic: Option<Vec<u8>>) -> Result<(), Ended> {
        let mut subscription = self.node.subscribe(group).await?;
        self.list(group, topic.clone(), Some(subscription.from())).await?;
        self.say(Reply::CaughtUp).await?;
        loop {
            let delivery = tokio::select! {
                delivery = subscription.next() => delivery,
                _ = self.requests.recv() => return Err(Ended::Gone),
            };
            let entry = match delivery.ok_or_else(|| Ended::from(NodeError::Closed))? {
                Delivery::Block(entry) | Delivery::Content(entry) => entry,
                _ => continue,
            };
            if topic.as_ref().is_none_or(|topic| has_topic(&entry, topic)) {
                self.say(Reply::Entry(entry.into())).await?;
            }
        }
    }
}

/// Whether the block is known to have the topic.
fn has_topic(entry: &Entry, topic: &[u8]) -> bool {
    entry.content.as_ref().is_some_and(|content| content.topics.iter().any(|each| each == topic))
}

/// Waits for the post that is longest on its way; `None` if there is none. Safe to cancel.
async fn front<F: Future + Unpin>(waiting: &mut VecDeque<F>) -> Option<F::Output> {
    match waiting.front_mut() {
        Some(first) => Some(first.await),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use walytis_node::{Home, KdfCost, Unlock};

    use super::*;

    /// More of them than a task may take without a pause, at a pace at which nothing ever waits.
    const LINES: usize = 3_000;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn lines_keep_their_order() {
        let folder = tempfile::tempdir().expect("a folder");
        let unlock = Unlock::key([7; 32]);
        Home::create(folder.path().join("home"), &unlock, KdfCost::default()).expect("a new home");
        let node = Home::open(folder.path().join("home"), &unlock).expect("a home").offline().expect("sound");
        node.new_group("g", History::All).await.expect("a new group");
        let (requests, received) = mpsc::channel(LINES + 2);
        let (replies, mut replied) = mpsc::channel(LINES + 2);
        requests.try_send(Request::Post { group: "g".to_owned(), topics: Vec::new() }).expect("place");
        for line in 0..LINES {
            requests.try_send(Request::Content(format!("{line}").into_bytes().into())).expect("place");
        }
        requests.try_send(Request::End).expect("place");
        tokio::spawn(answer(node.clone(), false, received, replies)).await.expect("no panic");
        let mut told = Vec::new();
        while let Some(Reply::Posted(id)) = replied.recv().await {
            told.push(id);
        }
        let mut pager = node.list("g", Listing::default());
        let (mut ids, mut lines) = (Vec::new(), Vec::new());
        while let Some(page) = pager.next_page().await.expect("sound") {
            for entry in page {
                ids.push(entry.id.to_string());
                lines.push(String::from_utf8(entry.content.expect("its own").bytes).expect("text"));
            }
        }
        assert_eq!(lines, (0..LINES).map(|line| line.to_string()).collect::<Vec<_>>());
        assert_eq!(told, ids);
    }
}
