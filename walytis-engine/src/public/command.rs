//! What applications ask for.

use super::publish::entry;
use super::records::{Followed, Rules};
use super::{
    ArchiveCommand, ChainAnswer, ChainCommand, ChainDetails, ChainEffect, ChainName, ChainPage, ChainPeer,
    ChainSummary, ChainTimer, DeliveryCommand, Desk, Fresh, GENESIS, KeptChain, PublicChains, PublicError, Rule,
    Standing, Sweep, subscribers,
};
use crate::Ticket;
use walytis_core::chains::query::{self, AncestryStep, AncestryWalk, Counted, Cursor, Query, Span};
use walytis_core::{
    AuthorKey, AuthorSecret, BlockId, BlockKind, ChainError, ChainId, Draft, FormatVersion, Pending, Place,
    StoredBlock, chains,
};

/// The longest local name, in characters.
const NAME_CHARACTERS_MAX: usize = 64;
/// A page of a listing ends once it has this many entries.
const PAGE_ENTRIES: usize = 256;
/// How many blocks are removed in one step: a commit of a few milliseconds.
const SWEEP_BLOCKS: u64 = 512;

/// How many blocks the first steps remove. A store needs room for what a step changes before it has back what the step
/// removes, and a chain is often deleted because there is no more room.
const SWEEP_BLOCKS_FIRST: u64 = 8;

/// Later steps remove this share of what was removed before them: less than has become free by that, and soon the most.
const SWEEP_SHARE: u64 = 32;

impl PublicChains {
    /// Carries out a command, or begins to. The answer is among the effects.
    ///
    /// # Errors
    /// Only the store's.
    pub fn command(&mut self, desk: &mut Desk<'_>, ticket: Ticket, command: ChainCommand) -> Result<(), PublicError> {
        let reading = matches!(
            command,
            ChainCommand::Show { .. }
                | ChainCommand::List { .. }
                | ChainCommand::Count { .. }
                | ChainCommand::Ancestry { .. }
                | ChainCommand::Since { .. }
                | ChainCommand::Archive(ArchiveCommand::Read { .. } | ArchiveCommand::Find { .. })
                | ChainCommand::Delivery(DeliveryCommand::Read { .. } | DeliveryCommand::Letters { .. })
        );
        let savepoint = desk.view.savepoint();
        let answer = match command {
            // These are answered later.
            ChainCommand::Join { code, name } => match self.join(desk, ticket, &code, name) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            ChainCommand::Delete { chain } => match self.delete(desk, ticket, &chain) {
                Ok(()) => return Ok(()),
                Err(error) => Err(error),
            },
            other => self.carry_out(desk, ticket, other),
        };
        let fatal = match &answer {
            Ok(_) => None,
            Err(error) => {
                desk.view.rollback(savepoint);
                // A damaged record: what else there is can still be read.
                let damage = reading && !matches!(error, PublicError::Chain(ChainError::Store(_)));
                (error.is_fatal() && !damage).then(|| error.clone())
            }
        };
        desk.out.push(ChainEffect::Reply { ticket, answer });
        fatal.map_or(Ok(()), Err)
    }

    fn carry_out(
        &mut self,
        desk: &mut Desk<'_>,
        ticket: Ticket,
        command: ChainCommand,
    ) -> Result<ChainAnswer, PublicError> {
        match command {
            ChainCommand::New { name } => self.found(desk, name),
            ChainCommand::Chains => self.summaries(desk.view).map(ChainAnswer::Chains),
            ChainCommand::Show { chain } => {
                let chain = self.find(&chain)?;
                self.details(desk.view, chain).map(|details| ChainAnswer::Details(Box::new(details)))
            }
            ChainCommand::Post { chain, topics, content } => {
                let chain = self.find_followed(&chain)?;
                self.post(desk, chain, topics, content).map(ChainAnswer::Posted)
            }
            ChainCommand::List { chain, query, after, limit } => {
                let chain = self.find_named(&chain)?;
                self.list(desk.view, chain, *query, after, limit).map(ChainAnswer::Page)
            }
            ChainCommand::Count { chain, query, after } => {
                let chain = self.find_named(&chain)?;
                let counted = self.count(desk.view, chain, *query, after)?;
                Ok(ChainAnswer::Counted(self.kept(chain)?, counted))
            }
            ChainCommand::Ancestry { chain, walk } => {
                let chain = self.find_named(&chain)?;
                self.ancestry(desk.view, chain, walk)
            }
            ChainCommand::Since { chain, from, limit } => {
                let chain = self.find_named(&chain)?;
                self.since(desk.view, chain, from, limit)
            }
            ChainCommand::Subscribe { chain } => {
                let chain = self.find_followed(&chain)?;
                let from = chains::length(desk.view, chain)?;
                self.subscriptions.insert(ticket, chain);
                Ok(ChainAnswer::Subscribed { chain: self.kept(chain)?, from })
            }
            ChainCommand::Unsubscribe { subscription } => {
                self.subscriptions.remove(&subscription);
                self.live.remove(&subscription);
                Ok(ChainAnswer::Done)
            }
            ChainCommand::Invite { chain, uses, sharing } => {
                let chain = self.find_followed(&chain)?;
                self.invite(desk, chain, uses, sharing).map(ChainAnswer::Invitation)
            }
            ChainCommand::Invitations { chain } => {
                let chain = self.find_followed(&chain)?;
                Ok(ChainAnswer::Invitations(self.invitations(chain)))
            }
            ChainCommand::Revoke { chain, invitation } => {
                let chain = self.find_followed(&chain)?;
                self.revoke(chain, invitation).map(|()| ChainAnswer::Done)
            }
            ChainCommand::Rule { chain, rule } => {
                let chain = self.find(&chain)?;
                if self.sweeps.contains_key(&chain) {
                    return Err(PublicError::Leaving);
                }
                self.rule(desk, chain, rule).map(|()| ChainAnswer::Done)
            }
            ChainCommand::Upgrade { chain, version } => {
                let chain = self.find_followed(&chain)?;
                self.upgrade(chain, version).map(|()| ChainAnswer::Done)
            }
            ChainCommand::Delivery(command) => self.about_delivery(desk, ticket, command),
            ChainCommand::Archive(command) => self.about_archives(desk, command).map(ChainAnswer::Archive),
            ChainCommand::Join { .. } | ChainCommand::Delete { .. } => Ok(ChainAnswer::Done),
        }
    }

    /// The chain of a local name or an id.
    fn find(&self, text: &str) -> Result<ChainId, PublicError> {
        let by_id = text.parse::<ChainId>().ok().filter(|id| self.chains.contains_key(id));
        let by_name = || self.chains.values().find(|chain| chain.name == text).map(|chain| chain.id);
        by_id.or_else(by_name).ok_or_else(|| match self.find_misfiled(text) {
            Some(row) => PublicError::Misfiled(row.name.clone()),
            None => PublicError::Unknown(text.to_owned()),
        })
    }

    /// As [`PublicChains::find`], of a chain that can be read and written.
    pub(super) fn find_followed(&self, text: &str) -> Result<ChainId, PublicError> {
        let chain = self.find(text)?;
        match self.chains.get(&chain).map(|followed| followed.standing) {
            Some(Standing::Joining) => Err(PublicError::NotJoined),
            Some(Standing::Leaving) => Err(PublicError::Leaving),
            _ => Ok(chain),
        }
    }

    /// As [`PublicChains::find_followed`], of a chain that an answer named, too.
    pub(super) fn find_named(&self, name: &ChainName) -> Result<ChainId, PublicError> {
        match name {
            ChainName::Text(text) => self.find_followed(text),
            ChainName::Kept(kept) if self.kept(kept.id) == Ok(*kept) => self.find_followed(&kept.id.to_string()),
            ChainName::Kept(kept) => Err(PublicError::Unknown(kept.id.to_string())),
        }
    }

    /// A chain as answers name it.
    pub(super) fn kept(&self, id: ChainId) -> Result<KeptChain, PublicError> {
        let followed = self.chains.get(&id).ok_or(PublicError::NotPublic)?;
        Ok(KeptChain { id, number: followed.number() })
    }

    pub(super) fn check_name(&self, name: &str) -> Result<(), PublicError> {
        let characters = name.chars().count();
        let fits = (1..=NAME_CHARACTERS_MAX).contains(&characters);
        if !fits || name.chars().any(walytis_core::is_unseen) || name.trim() != name || name.parse::<ChainId>().is_ok()
        {
            return Err(PublicError::BadName);
        }
        if self.chains.values().chain(self.misfiled.values()).any(|chain| chain.name == name) {
            return Err(PublicError::NameTaken(name.to_owned()));
        }
        Ok(())
    }

    fn found(&mut self, desk: &mut Desk<'_>, name: String) -> Result<ChainAnswer, PublicError> {
        self.check_name(&name)?;
        if self.chains.len() >= super::CHAINS_MAX {
            return Err(PublicError::TooManyChains);
        }
        let mut random = [0; 32];
        desk.rng.fill_bytes(&mut random);
        let author = AuthorSecret::generate(desk.rng);
        let draft = Draft {
            kind: BlockKind::Content,
            place: Place::Genesis(random),
            foreign: Vec::new(),
            topics: Vec::new(),
            content: GENESIS.to_vec(),
        };
        let block = draft.sign_alone(&author, desk.now)?;
        chains::insert(desk.view, &block)?;
        let chain = block.chain();
        let followed = Followed::new(self.next_number, chain, name, author, Standing::Followed);
        self.next_number = self.next_number.saturating_add(1);
        self.chains.insert(chain, followed);
        self.inserted(desk, &block, None);
        self.greet_all(desk);
        self.summary(desk.view, chain).map(ChainAnswer::Chain)
    }

    fn post(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        topics: Vec<Vec<u8>>,
        content: Vec<u8>,
    ) -> Result<BlockId, PublicError> {
        let followed = self.chains.get(&chain).ok_or(PublicError::NotPublic)?;
        let draft = Self::draft(desk.view, chain, followed.author.public(), topics, content)?;
        let format = chains::format_at(desk.view, &draft.place, followed.format)?;
        let block = draft.sign_alone_in(format, &followed.author, desk.now)?;
        let chains::Inserted { position, generation, .. } = chains::insert(desk.view, &block)?;
        let stored = StoredBlock { block, position, generation };
        let id = stored.block.id();
        self.inserted(desk, &stored.block, None);
        self.fresh.push(Fresh { chain, id, from: None });
        self.push(desk, chain, &stored);
        Ok(id)
    }

    fn summaries(&self, view: &Pending) -> Result<Vec<ChainSummary>, PublicError> {
        let mut chains: Vec<&Followed> = self.chains.values().chain(self.misfiled.values()).collect();
        chains.sort_by_key(|followed| followed.number());
        chains
            .into_iter()
            .map(|followed| match self.misfiled.contains_key(&followed.id) {
                true => Ok(followed.misfiled_summary()),
                false => self.summary(view, followed.id),
            })
            .collect()
    }

    pub(super) fn summary(&self, view: &Pending, chain: ChainId) -> Result<ChainSummary, PublicError> {
        let followed = self.chains.get(&chain).ok_or(PublicError::NotPublic)?;
        Ok(ChainSummary {
            chain,
            name: followed.name.clone(),
            standing: followed.standing,
            blocks: chains::length(view, chain)?,
            bytes: followed.bytes,
            peers: u64::try_from(self.peers_of(chain).len()).unwrap_or(u64::MAX),
            // A block has more than a byte.
            room: self.room(followed, 1),
        })
    }

    /// The chains in a list, for the host's own answers.
    ///
    /// # Errors
    /// The store's.
    pub fn all(&self, view: &Pending) -> Result<Vec<ChainSummary>, PublicError> {
        self.summaries(view)
    }

    fn details(&self, view: &Pending, chain: ChainId) -> Result<ChainDetails, PublicError> {
        let followed = self.chains.get(&chain).ok_or(PublicError::NotPublic)?;
        let connected = self.peers_of(chain);
        let mut peers: Vec<ChainPeer> = followed
            .peers
            .iter()
            .map(|known| ChainPeer {
                peer: known.peer,
                connected: connected.contains(&known.peer),
                last_seen_ms: known.last_seen_ms,
                addresses: known.addresses.clone(),
            })
            .collect();
        peers.sort_by_key(|peer| std::cmp::Reverse((peer.connected, peer.last_seen_ms)));
        let mut heads = chains::latest_heads(view, chain, crate::sync::IDS_MAX)?;
        heads.sort_unstable();
        let rules = &followed.rules;
        let head_formats = chains::formats(view, &heads)?;
        // Of the parents that the next block will have: with many heads, not those that are told here. A chain that is being
        // deleted has no next block, and no whole set.
        let next_format = if followed.standing == Standing::Leaving {
            followed.format
        } else {
            let next = Self::draft(view, chain, followed.author.public(), Vec::new(), Vec::new())?;
            chains::format_at(view, &next.place, followed.format)?.version
        };
        Ok(ChainDetails {
            summary: self.summary(view, chain)?,
            author: followed.author.public(),
            heads,
            head_count: chains::head_count(view, chain)?,
            next_format,
            head_formats,
            peers,
            serves_anyone: !rules.only_invited,
            blocked_peers: rules.blocked_peers.clone(),
            allowed_peers: rules.allowed_peers.clone(),
            blocked_authors: rules.blocked_authors.clone(),
            allowed_authors: rules.allowed_authors.clone(),
            limits: rules.limits,
            full: self.full.contains(&chain) || followed.bytes >= rules.limits.chain_bytes_max,
            limits_reached: self.limits.clone(),
            newer: self.newer.get(&chain).copied().unwrap_or_default(),
            equivocations: followed.forks.clone(),
        })
    }

    /// This node's next blocks are of a newer format. It tells others by writing: nothing is sent now.
    fn upgrade(&mut self, chain: ChainId, version: FormatVersion) -> Result<(), PublicError> {
        let followed = self.chains.get_mut(&chain).ok_or(PublicError::NotPublic)?;
        if followed.format < version {
            followed.format = version;
            followed.touch();
        }
        Ok(())
    }

    fn rule(&mut self, desk: &mut Desk<'_>, chain: ChainId, rule: Rule) -> Result<(), PublicError> {
        let followed = self.chains.get_mut(&chain).ok_or(PublicError::NotPublic)?;
        let mut rules = followed.rules.clone();
        rules.change(rule)?;
        followed.rules = rules;
        followed.touch();
        for peer in self.peers.keys().copied().collect::<Vec<_>>() {
            self.classify(peer);
        }
        let Some(followed) = self.chains.get(&chain) else { return Ok(()) };
        let rules = followed.rules.clone();
        // Whoever is not let in any more is told nothing further; who is now, is greeted.
        for (peer, known) in &mut self.peers {
            if !rules.lets_in(*peer) && known.shared.remove(&chain) {
                known.announced.remove(&chain);
                known.transfers.remove(&chain);
                known.searches.remove(&chain);
            }
        }
        self.pulls.retain(|of, pull| *of != chain || rules.lets_in(pull.peer));
        self.authors.retain(|(of, _), _| *of != chain);
        // What was held back, or passed over, may be welcome now.
        self.full.remove(&chain);
        self.waiting.remove(&chain);
        self.try_held(desk, chain)?;
        self.stalled.insert(chain);
        self.greet_all(desk);
        for peer in self.peers_of(chain) {
            self.tell_heads(desk, peer, chain)?;
        }
        Ok(())
    }

    fn list(
        &self,
        view: &Pending,
        chain: ChainId,
        query: Query,
        after: Option<Cursor>,
        limit: usize,
    ) -> Result<ChainPage, PublicError> {
        let followed = self.chains.get(&chain).ok_or(PublicError::NotPublic)?;
        let page = query::page(view, chain, &without_genesis(query), after, limit.clamp(1, PAGE_ENTRIES))?;
        let entries = page.blocks.iter().filter_map(entry).filter(|entry| followed.shows(&entry.author)).collect();
        Ok(ChainPage { chain: self.kept(chain)?, entries, next: page.next })
    }

    fn count(
        &self,
        view: &Pending,
        chain: ChainId,
        query: Query,
        after: Option<Cursor>,
    ) -> Result<Counted, PublicError> {
        let followed = self.chains.get(&chain).ok_or(PublicError::NotPublic)?;
        let shows = |author: &AuthorKey| followed.shows(author);
        let shown: Option<&dyn Fn(&AuthorKey) -> bool> = if followed.shows_everybody() { None } else { Some(&shows) };
        Ok(query::count_some(view, chain, &without_genesis(query), after, shown)?)
    }

    /// Takes the next step of a walk. Blocks that are not shown can be asked about: they are ancestors of others.
    fn ancestry(
        &self,
        view: &Pending,
        chain: ChainId,
        mut walk: Box<AncestryWalk>,
    ) -> Result<ChainAnswer, PublicError> {
        match walk.go_on(view, chain)? {
            AncestryStep::Known(stands) => Ok(ChainAnswer::Ancestry(Ok(stands))),
            AncestryStep::GoOn => Ok(ChainAnswer::Ancestry(Err((self.kept(chain)?, walk)))),
            AncestryStep::Unknown(block) => Err(PublicError::NoBlock(block)),
        }
    }

    fn since(&self, view: &Pending, chain: ChainId, from: u64, limit: usize) -> Result<ChainAnswer, PublicError> {
        let query = Query { positions: Span { from, to: u64::MAX }, ..Query::default() };
        let ChainPage { entries, next, .. } = self.list(view, chain, query, None, limit)?;
        let next = match next.and_then(Cursor::position) {
            Some(last) => last.saturating_add(1),
            None => chains::length(view, chain)?.max(from),
        };
        Ok(ChainAnswer::Arrived { entries, next })
    }

    /// Begins to remove a chain. From this step's commit on it is gone for everybody, whatever becomes of the program.
    fn delete(&mut self, desk: &mut Desk<'_>, ticket: Ticket, text: &str) -> Result<(), PublicError> {
        if let Some(chain) = self.find_misfiled(text).map(|row| row.id) {
            desk.view.make_room();
            return self.delete_misfiled(desk, ticket, chain);
        }
        let chain = self.find(text)?;
        desk.view.make_room();
        // Whoever it is that joins, an inviter could keep it going for ever.
        self.end_join(desk, chain, PublicError::Leaving);
        let blocks = chains::length(desk.view, chain)?;
        let Some(followed) = self.chains.get_mut(&chain) else {
            // Nothing of it had come.
            desk.out.push(ChainEffect::Reply { ticket, answer: Ok(ChainAnswer::Deleted { blocks }) });
            return Ok(());
        };
        if followed.standing == Standing::Leaving {
            // One that was cut short goes on, also where it was put off, and is answered when it is done.
            let Some(sweep) = self.sweeps.get_mut(&chain).filter(|sweep| sweep.ticket.is_none()) else {
                return Err(PublicError::Leaving);
            };
            sweep.ticket = Some(ticket);
            desk.out.push(ChainEffect::Timer { after_ms: 0, timer: ChainTimer::Sweep });
            return Ok(());
        }
        followed.standing = Standing::Leaving;
        followed.touch();
        let subscriptions = self.subscriptions.iter().filter(|(_, of)| **of == chain).map(|(ticket, _)| *ticket);
        desk.out.extend(subscriptions.map(|subscription| ChainEffect::Ended { subscription }));
        self.forget_chain(chain);
        self.sweeps.insert(chain, Sweep { ticket: Some(ticket), blocks });
        desk.out.push(ChainEffect::Timer { after_ms: 0, timer: ChainTimer::Sweep });
        Ok(())
    }

    /// Forgets all that was going on about a chain.
    pub(super) fn forget_chain(&mut self, chain: ChainId) {
        for known in self.peers.values_mut() {
            known.shared.remove(&chain);
            known.announced.remove(&chain);
            known.transfers.remove(&chain);
            known.searches.remove(&chain);
            known.shares.forget_chain(chain);
            known.crowded.remove(&chain);
        }
        self.gone.forget_chain(chain);
        self.pulls.remove(&chain);
        self.arrived.remove(&chain);
        self.stalled.remove(&chain);
        self.waiting.remove(&chain);
        self.full.remove(&chain);
        self.put_off.remove(&chain);
        self.paced.remove(&chain);
        self.dials.forget_chain(chain);
        self.orphans.drop_those(|(of, _)| *of == chain);
        self.newer.remove(&chain);
        self.announcing.retain(|(_, of)| *of != chain);
        self.subscriptions.retain(|_, of| *of != chain);
        self.live.retain(|_, live| live.chain != chain);
        self.authors.retain(|(of, _), _| *of != chain);
    }

    /// Removes the next blocks of a chain that is being deleted.
    pub(super) fn sweep(&mut self, desk: &mut Desk<'_>) -> Result<(), PublicError> {
        let Some(chain) = self.sweeps.keys().next().copied() else { return Ok(()) };
        desk.view.make_room();
        let number = self.chains.get(&chain).map(Followed::number);
        let total = self.sweeps.get(&chain).map_or(0, |sweep| sweep.blocks);
        let removed = total.saturating_sub(chains::length(desk.view, chain)?);
        let step = usize::try_from((removed / SWEEP_SHARE).clamp(SWEEP_BLOCKS_FIRST, SWEEP_BLOCKS)).unwrap_or(1);
        let named = number.map_or(Ok(0), |number| subscribers::remove(desk.view, number, step))?;
        if named == 0 && chains::remove(desk.view, chain, step)? == 0 {
            if let Some(followed) = self.chains.remove(&chain) {
                followed.remove(desk.view);
            }
            self.given_up.insert(chain);
            // There is room again for the others, if it was all of them together that were full.
            self.stalled.extend(std::mem::take(&mut self.full));
            if let Some(Sweep { ticket: Some(ticket), blocks }) = self.sweeps.remove(&chain) {
                desk.out.push(ChainEffect::Reply { ticket, answer: Ok(ChainAnswer::Deleted { blocks }) });
            }
        }
        if !self.sweeps.is_empty() {
            desk.out.push(ChainEffect::Timer { after_ms: 0, timer: ChainTimer::Sweep });
        }
        Ok(())
    }
}

/// A genesis says nothing to an application. It is the first block everywhere.
fn without_genesis(mut query: Query) -> Query {
    query.positions.from = query.positions.from.max(1);
    query
}

impl Followed {
    /// Whether no author's blocks are kept from being shown.
    fn shows_everybody(&self) -> bool {
        self.rules.blocked_authors.is_empty() && self.rules.allowed_authors.is_empty()
    }

    /// Whether an author's blocks are shown. One's own are.
    pub(super) fn shows(&self, author: &AuthorKey) -> bool {
        self.rules.takes(author) || *author == self.author.public()
    }
}

impl Rules {
    fn change(&mut self, rule: Rule) -> Result<(), PublicError> {
        match rule {
            Rule::ServeAnyone => self.only_invited = false,
            Rule::ServeInvited => self.only_invited = true,
            Rule::BlockPeer(peer) => {
                self.allowed_peers.retain(|other| *other != peer);
                self.admitted.retain(|other| *other != peer);
                add(&mut self.blocked_peers, peer)?;
            }
            Rule::AllowPeer(peer) => {
                self.blocked_peers.retain(|other| *other != peer);
                add(&mut self.allowed_peers, peer)?;
            }
            Rule::ForgetPeer(peer) => {
                for list in [&mut self.blocked_peers, &mut self.allowed_peers, &mut self.admitted] {
                    list.retain(|other| *other != peer);
                }
            }
            Rule::BlockAuthor(author) => {
                self.allowed_authors.retain(|other| *other != author);
                add(&mut self.blocked_authors, author)?;
            }
            Rule::AllowAuthor(author) => {
                self.blocked_authors.retain(|other| *other != author);
                add(&mut self.allowed_authors, author)?;
            }
            Rule::ForgetAuthor(author) => {
                for list in [&mut self.blocked_authors, &mut self.allowed_authors] {
                    list.retain(|other| *other != author);
                }
            }
            Rule::Limits(limits) => self.limits = limits.sane(),
        }
        Ok(())
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, item: T) -> Result<(), PublicError> {
    if list.contains(&item) {
        return Ok(());
    }
    if list.len() >= super::LISTED_MAX {
        return Err(PublicError::ListFull);
    }
    list.push(item);
    Ok(())
}
