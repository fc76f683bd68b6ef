//! What happens in a demonstration, step by step.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use tokio::task::JoinSet;
use walytis_core::Network;
use walytis_node::{History, Node, Post};

use super::check::{self, Listings};
use super::member::{AtRest, Folder, Member, wait_for};
use super::plan::{Fault, Plan};
use super::report::{Report, Row};
use super::search::{Search, files};

/// Posts of one node that are on their way to its disk at a time.
const IN_FLIGHT: usize = 16;

/// What a demonstration tells while it goes on. Nodes count from zero.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum News {
    /// Something begins.
    Step(String),
    /// So many blocks, of all that there will be, are at a node.
    Held {
        /// The node.
        node: usize,
        /// How many.
        held: usize,
        /// Of how many.
        of: usize,
    },
}

/// Whoever listens to the news.
pub type Tell = Arc<dyn Fn(News) + Send + Sync>;

/// Runs a demonstration. What does not hold is in the report.
///
/// # Errors
/// It could not be carried out at all.
pub async fn run(plan: Plan, tell: Tell) -> anyhow::Result<Report> {
    let began = Instant::now();
    ensure!(plan.peers >= 2, "a demonstration needs two nodes at least");
    let stage = Stage::set(plan, tell)?;
    let (members, group) = stage.play().await?;
    let last_posted = Instant::now();
    stage.step("waiting until all have everything");
    let converged = stage.converge(&members, last_posted).await;
    if let Fault::LeakedFrame { node } = stage.plan.fault {
        stage.leak(member(&members, node)?).await?;
    }
    let listings = Listings::of(&members, &group).await?;
    stage.step("stopping the nodes, and looking through their files");
    for member in &members {
        member.stop().await;
    }
    let rows = stage.rows(&members, &listings, &converged)?;
    let frames: Vec<_> = members.iter().map(|member| (member.tap.frames(), member.tap.leaks())).collect();
    // The last handles go, and with them what still holds a store.
    let folders: Vec<Folder> = members.into_iter().map(|member| member.folder).collect();
    stage.damage(&folders, &listings)?;
    let contents: Vec<&[u8]> = stage.posts.iter().map(|post| post.content.as_slice()).collect();
    let search = Arc::clone(&stage.search);
    let checks = vec![
        listings.same_set(&contents),
        listings.same_listing(),
        check::frames(&frames, &search),
        check::files(&folders, &search),
        tokio::task::spawn_blocking(move || check::signatures(&folders)).await?,
    ];
    Ok(Report { rows, checks, took: began.elapsed() })
}

/// What is posted, by whom, and who has which part.
struct Stage {
    plan: Plan,
    tell: Tell,
    search: Arc<Search>,
    posts: Vec<Post>,
    group_name: String,
    /// The node that is cut off for a while.
    away: usize,
    /// The node that joins late.
    late: usize,
}

impl Stage {
    fn set(plan: Plan, tell: Tell) -> anyhow::Result<Self> {
        let canary = |of: &str| format!("canary of {of} {:032x}", rand::random::<u128>());
        let (group_name, topic, text) = (canary("a name"), canary("a topic"), canary("a text"));
        let bytes: [u8; 32] = rand::random();
        let mut posts: Vec<Post> = plan.lines.iter().cloned().map(Post::new).collect();
        // One in each third, so that each part of the story has one.
        let third = posts.len() / 3;
        posts.insert(third.saturating_mul(2), Post::new(bytes).topic("bytes"));
        posts.insert(third, Post::new("with a topic").topic(topic.clone()));
        posts.insert(0, Post::new(text.clone()));
        let canaries = [group_name.clone().into_bytes(), topic.into_bytes(), text.into_bytes(), bytes.to_vec()];
        let search = Arc::new(Search::new(&plan.lines, &canaries)?);
        let late = plan.peers.saturating_sub(1);
        Ok(Self { away: 1, late, plan, tell, search, posts, group_name })
    }

    fn step(&self, text: &str) {
        (self.tell)(News::Step(text.to_owned()));
    }

    /// Everything up to the last post. Gives the nodes, and the group's DID.
    async fn play(&self) -> anyhow::Result<(Vec<Member>, String)> {
        let (first, rest) = self.posts.split_at(self.posts.len() / 3);
        let (second, third) = rest.split_at(rest.len() / 2);

        self.step("starting nodes, each with its own keys, store and sockets");
        let mut members = Vec::new();
        for node in 0..self.late {
            members.push(self.start(node).await?);
        }
        let founder = member(&members, 0)?.node.clone();
        let group = founder.new_group(&self.group_name, History::All).await?;
        let group = walytis_identities::Did(group.group).to_string();
        let uses = u32::try_from(self.late).context("too many nodes")?;
        let code = founder.invite(&group, uses).await?;
        self.step("joining the group");
        for joiner in members.iter().skip(1) {
            joiner.node.join(&code, None).await?.finish().await?;
        }
        for member in &members {
            member.count(&group).await?;
        }
        self.step("posting in turn");
        self.post(&members, &group, first).await?;

        // With two nodes the one that joins late is also the one that is cut off.
        if self.late == self.away {
            members.push(self.join_late(&code, &group).await?);
        }
        self.step("cutting a node off; all post on, that one too");
        let away = member(&members, self.away)?;
        away.tap.cut_off().await;
        self.post(&members, &group, second).await?;
        if members.len() < self.plan.peers {
            members.push(self.join_late(&code, &group).await?);
        }
        self.step("the node that was cut off comes back");
        let away = member(&members, self.away)?;
        away.tap.come_back();
        for address in &member(&members, 0)?.addresses {
            away.node.connect(address.clone()).await?;
        }
        if let Fault::Withheld { node } = self.plan.fault {
            member(&members, node)?.tap.withhold();
        }
        self.step("posting the rest");
        self.post(&members, &group, third).await?;
        Ok((members, group))
    }

    async fn start(&self, node: usize) -> anyhow::Result<Member> {
        let at_rest = if self.plan.fault == (Fault::Unsealed { node }) { AtRest::Unsealed } else { AtRest::Sealed };
        let path = self.plan.folder.join(format!("node-{}", node.saturating_add(1)));
        let member = Member::start(&path, at_rest, Arc::clone(&self.search)).await?;
        let (tell, mut held, of) = (Arc::clone(&self.tell), member.held.clone(), self.posts.len());
        tokio::spawn(async move {
            while held.changed().await.is_ok() {
                let held = *held.borrow_and_update();
                tell(News::Held { node, held, of });
            }
        });
        Ok(member)
    }

    async fn join_late(&self, code: &str, group: &str) -> anyhow::Result<Member> {
        self.step("a node joins late");
        let member = self.start(self.late).await?;
        member.node.join(code, None).await?.finish().await?;
        member.count(group).await?;
        Ok(member)
    }

    /// Posts in turn: the first by the first node, the second by the second, and so on round.
    async fn post(&self, members: &[Member], group: &str, posts: &[Post]) -> anyhow::Result<()> {
        let mut authors = JoinSet::new();
        for (number, member) in members.iter().enumerate() {
            let own: Vec<Post> = posts.iter().skip(number).step_by(members.len()).cloned().collect();
            member.posted.fetch_add(own.len(), Ordering::Relaxed);
            authors.spawn(post_all(member.node.clone(), group.to_owned(), own));
        }
        while let Some(posted) = authors.join_next().await {
            posted??;
        }
        Ok(())
    }

    /// Waits until all have all, or nothing moves any more. Gives how long each took.
    async fn converge(&self, members: &[Member], since: Instant) -> Vec<Option<Duration>> {
        let mut waiting = JoinSet::new();
        for (node, member) in members.iter().enumerate() {
            let (held, of, patience) = (member.held.clone(), self.posts.len(), self.plan.patience);
            waiting.spawn(async move { (node, wait_for(held, of, patience).await) });
        }
        let mut converged = vec![None; members.len()];
        while let Some(waited) = waiting.join_next().await {
            if let Ok((node, moment)) = waited
                && let Some(place) = converged.get_mut(node)
            {
                *place = moment.map(|moment| moment.saturating_duration_since(since));
            }
        }
        converged
    }

    /// Hands a frame to a node's transport that a sealed group would never have.
    async fn leak(&self, member: &Member) -> anyhow::Result<()> {
        let peer = member.tap.any_peer().context("no peer is connected")?;
        let line = self.plan.lines.iter().max_by_key(|line| line.len()).context("there are no lines")?;
        Ok(member.tap.send(peer, line.clone()).await?)
    }

    /// Changes what the plan says on a node's disk.
    fn damage(&self, folders: &[Folder], listings: &Listings) -> anyhow::Result<()> {
        match self.plan.fault {
            Fault::ChangedContent { node } => {
                let folder = folders.get(node).context("there is no such node")?;
                folder.change_content(listings.first_block().context("there are no blocks")?)
            }
            Fault::ChangedFile { node } => {
                let file = folders.get(node).context("there is no such node")?.store_file();
                let mut bytes = std::fs::read(&file)?;
                // Not the first page, which says how the file is made.
                for byte in bytes.iter_mut().skip(PAGE_BYTES + BYTE_IN_PAGE).step_by(PAGE_BYTES) {
                    *byte ^= 1;
                }
                Ok(std::fs::write(&file, bytes)?)
            }
            _ => Ok(()),
        }
    }

    fn rows(
        &self,
        members: &[Member],
        listings: &Listings,
        converged: &[Option<Duration>],
    ) -> anyhow::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for (node, (member, took)) in members.iter().zip(converged).enumerate() {
            let (sent_bytes, received_bytes) = member.tap.bytes();
            let mut stored_bytes = 0_u64;
            for file in files(&member.folder.path)? {
                stored_bytes = stored_bytes.saturating_add(std::fs::metadata(file)?.len());
            }
            rows.push(Row {
                node: node.saturating_add(1),
                story: match node {
                    0 => "founded the group",
                    _ if node == self.away && node == self.late => "joined late, was cut off",
                    _ if node == self.away => "was cut off, came back",
                    _ if node == self.late => "joined late",
                    _ => "was there all along",
                },
                posted: member.posted.load(Ordering::Relaxed),
                blocks: listings.blocks(node),
                converged_ms: took.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
                sent_bytes,
                received_bytes,
                stored_bytes,
            });
        }
        Ok(rows)
    }
}

/// A page of the store's file, and a place in it where something always is.
const PAGE_BYTES: usize = 4096;
const BYTE_IN_PAGE: usize = 64;

/// Posts one node's part, in order, several at a time.
async fn post_all(node: Node, group: String, posts: Vec<Post>) -> anyhow::Result<()> {
    let mut on_their_way = JoinSet::new();
    for post in posts {
        if on_their_way.len() >= IN_FLIGHT
            && let Some(posted) = on_their_way.join_next().await
        {
            posted??;
        }
        let (node, group) = (node.clone(), group.clone());
        on_their_way.spawn(async move { node.post(&group, post).await });
    }
    while let Some(posted) = on_their_way.join_next().await {
        posted??;
    }
    Ok(())
}

fn member(members: &[Member], node: usize) -> anyhow::Result<&Member> {
    members.get(node).context("there is no such node")
}
