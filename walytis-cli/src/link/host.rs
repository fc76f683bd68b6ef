//! The node's side: carries out one request.

use std::collections::VecDeque;
use std::task::Poll;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use walytis_core::{ChainError, StoreError};
use walytis_node::{BlockId, CheckReport, Delivery, EngineError, Entry, History, Listing, Node, NodeError, Post};

use super::messages::{Reply, Request};
use super::views::{GroupDetailsView, GroupView, IdentityView, StatusView};

/// Blocks that are on their way to the disk for one command. Enough to fill the commits, few enough to bound memory.
pub(crate) const POSTS_IN_FLIGHT_MAX: usize = 64;

/// How many problems of a check are told. More than a screen of them say no more.
const PROBLEMS_MAX: usize = 1000;

/// Why a request ended early.
enum Ended {
    /// The node refused.
    Refused(String),
    /// The command is gone.
    Gone,
}

impl From<NodeError> for Ended {
    fn from(error: NodeError) -> Self {
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
    let mut host = Host { node, running, requests, replies };
    let last = match host.first().await {
        Ok(()) => Reply::Done,
        Err(Ended::Refused(reason)) => Reply::Failed(reason),
        Err(Ended::Gone) => return,
    };
    // Nobody may be left to hear it.
    let _ = host.replies.send(last).await;
}

struct Host {
    node: Node,
    running: bool,
    requests: mpsc::Receiver<Request>,
    replies: mpsc::Sender<Reply>,
}

impl Host {
    async fn first(&mut self) -> Result<(), Ended> {
        let reply = match self.requests.recv().await.ok_or(Ended::Gone)? {
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
            Request::Group { group } => Reply::GroupDetails(GroupDetailsView::from(self.node.group(&group).await?)),
            Request::Invite { group, uses } => Reply::Code(self.node.invite(&group, uses).await?),
            Request::Join { code, name } => Reply::Group(self.join(&code, name.as_deref()).await?),
            Request::Post { group, topics } => {
                return self.post(group, topics.into_iter().map(serde_bytes::ByteBuf::into_vec).collect()).await;
            }
            Request::Read { group, topic, follow } => {
                let topic = topic.map(serde_bytes::ByteBuf::into_vec);
                return if follow { self.follow(&group, topic).await } else { self.list(&group, topic, None).await };
            }
            Request::Content(_) | Request::End => {
                return Err(Ended::Refused("the command sent the end of a request first".to_owned()));
            }
        };
        self.say(reply).await
    }

    async fn say(&self, reply: Reply) -> Result<(), Ended> {
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
    async fn post(&mut self, group: String, topics: Vec<Vec<u8>>) -> Result<(), Ended> {
        // An empty listing asks only whether there is such a group, so that nobody types in vain.
        self.node.list(&group, Listing { topic: None, below: Some(0) }).next_page().await?;
        let mut waiting: VecDeque<JoinHandle<Result<BlockId, NodeError>>> = VecDeque::new();
        let mut more = true;
        while more || !waiting.is_empty() {
            tokio::select! {
                biased;
                Some(posted) = front(&mut waiting) => {
                    waiting.pop_front();
                    let id = posted.map_err(|_| Ended::Refused(NodeError::Closed.to_string()))??;
                    self.say(Reply::Posted(id.to_string())).await?;
                }
                request = self.requests.recv(), if more && waiting.len() < POSTS_IN_FLIGHT_MAX => match request {
                    Some(Request::Content(content)) => {
                        let post = Post { topics: topics.clone(), content: content.into_vec() };
                        let (node, group) = (self.node.clone(), group.clone());
                        waiting.push_back(begin(async move { node.post(&group, post).await }).await);
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

/// Waits for the post that is longest on its way; `None` if there is none.
async fn front<T>(waiting: &mut VecDeque<JoinHandle<T>>) -> Option<Result<T, tokio::task::JoinError>> {
    match waiting.front_mut() {
        Some(first) => Some(first.await),
        None => None,
    }
}

/// Begins to post, and goes on beside. It has taken its place among the node's commands when this returns, so posts enter
/// the chain in the order of the calls.
///
/// Without tokio's budget: a task that has used it up finds every queue busy and takes no place in it, and a later post
/// would overtake this one.
async fn begin<T: Send + 'static>(posting: impl Future<Output = T> + Send + 'static) -> JoinHandle<T> {
    let mut posting = Box::pin(tokio::task::unconstrained(posting));
    let first = std::future::poll_fn(|context| match posting.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending => Poll::Ready(None),
    });
    match first.await {
        Some(done) => tokio::spawn(async move { done }),
        None => tokio::spawn(posting),
    }
}

#[cfg(test)]
mod tests {
    use super::begin;

    #[tokio::test]
    async fn what_is_begun_has_its_place_however_much_was_begun_before() {
        let (queue, places) = tokio::sync::mpsc::channel(1_000);
        for number in 0..1_000 {
            let queue = queue.clone();
            drop(begin(async move { queue.send(number).await }).await);
            assert_eq!(places.len(), number + 1, "it may be overtaken");
        }
    }
}
