//! What applications ask for.

use walytis_core::chains::{self, Owner};
use walytis_core::{Address, BlockId, BlockKind, CODE_ADDRESSES_MAX, ChainError, ChainId, planted};
use walytis_identities::{
    Did, Entry as Writing, EpochContext, History, InvitationCode, InvitationSecret, Inviter, OpenInvitation, Operation,
    Role, keyring,
};

use super::event::{
    Answer, Command, Cursor, EngineError, GroupDetails, GroupSummary, MemberDetails, Page, Status, Ticket,
};
use super::{Engine, Fresh, Parts, Subscription};
use crate::content::{OpenContent, PrivateBody, SealedPlace};
use crate::message::Attachment;
use crate::newer::Newer;
use crate::records;

/// How many contents an epoch may seal before a new one is begun.
const EPOCH_CONTENTS_MAX: u64 = 10_000;
/// The longest local name, in characters.
const NAME_CHARACTERS_MAX: usize = 64;
/// A page of a listing ends once it has this many entries, or this many bytes of content.
const PAGE_ENTRIES: usize = 256;
const PAGE_BYTES: usize = 1024 * 1024;

impl Engine {
    pub(super) fn command(&mut self, ticket: Ticket, command: Command) -> Result<(), EngineError> {
        if let Command::Chain(command) = command {
            return self.public_command(ticket, command);
        }
        if let Command::Join { code, name } = command {
            let mark = self.mark();
            if let Err(error) = self.join(ticket, &code, name) {
                self.take_back(mark);
                return self.refuse(ticket, error);
            }
            return Ok(());
        }
        let reading = matches!(
            command,
            Command::Group { .. } | Command::List { .. } | Command::Since { .. } | Command::Block { .. }
        );
        let mark = self.mark();
        match self.carry_out(ticket, command) {
            Ok(answer) => {
                self.reply(ticket, Ok(answer));
                Ok(())
            }
            Err(error) => {
                self.take_back(mark);
                if reading && !matches!(error, EngineError::Chain(ChainError::Store(_))) {
                    // A damaged record: what else there is can still be read.
                    self.reply(ticket, Err(error));
                    return Ok(());
                }
                self.refuse(ticket, error)
            }
        }
    }

    pub(super) fn refuse(&mut self, ticket: Ticket, error: EngineError) -> Result<(), EngineError> {
        let fatal = error.is_fatal().then(|| error.clone());
        self.reply(ticket, Err(error));
        fatal.map_or(Ok(()), Err)
    }

    fn carry_out(&mut self, ticket: Ticket, command: Command) -> Result<Answer, EngineError> {
        match command {
            Command::NewGroup { name, history } => self.new_group(&name, history),
            Command::Groups => self.summaries().map(Answer::Groups),
            Command::Group { group } => {
                let group = self.find(&group)?;
                self.details(group).map(Answer::GroupDetails)
            }
            Command::Invite { group, uses } => {
                let group = self.find(&group)?;
                self.invite(group, uses).map(Answer::Invitation)
            }
            Command::Post { group, topics, content } => {
                let group = self.find(&group)?;
                self.post(group, topics, content).map(Answer::Posted)
            }
            Command::List { group, after, below, topic } => {
                let group = self.find(&group)?;
                self.list(group, after, below, topic.as_deref()).map(Answer::Page)
            }
            Command::Since { group, from, limit } => {
                let group = self.find(&group)?;
                self.since(group, from, limit).map(Answer::Page)
            }
            Command::Block { group, id } => {
                let group = self.find(&group)?;
                self.one(group, id).map(Answer::Page)
            }
            Command::Subscribe { group } => {
                let group = self.find(&group)?;
                let from = chains::length(&self.parts.view, group)?;
                self.subscriptions.insert(ticket, Subscription { group });
                Ok(Answer::Subscribed { from })
            }
            Command::Unsubscribe { subscription } => {
                self.subscriptions.remove(&subscription);
                Ok(Answer::Done)
            }
            Command::Status => Ok(Answer::Status(Status {
                addresses: Address::for_others(&self.listening, usize::MAX),
                peers: self.peers.iter().filter(|(_, peer)| peer.open.is_some()).map(|(id, _)| *id).collect(),
                groups: self.summaries()?,
                chains: self.public.all(&self.parts.view)?,
                newer: self.newer.all(),
            })),
            Command::Peers => Ok(Answer::Peers(self.known_peers())),
            Command::Connect { address } => {
                self.connect_to(address);
                Ok(Answer::Done)
            }
            Command::Join { .. } | Command::Chain(_) => Ok(Answer::Done),
        }
    }

    /// The group of a local name or a DID.
    fn find(&self, group: &str) -> Result<ChainId, EngineError> {
        let unknown = || EngineError::UnknownGroup(group.to_owned());
        let found = match group.parse() {
            Ok(Did(chain)) => self.name_of(chain).map(|_| chain),
            Err(_) => self.names.iter().find(|(_, name)| name == group).map(|(chain, _)| *chain),
        };
        let chain = found.ok_or_else(unknown)?;
        // A named group without a chain is no empty one.
        if !chains::knows_chain(&self.parts.view, chain)? {
            let what = "it begins a group that is named here, and is not there";
            return Err(ChainError::Inconsistent { id: chain.into(), what }.into());
        }
        Ok(chain)
    }

    pub(super) fn check_name(&self, name: &str) -> Result<(), EngineError> {
        let characters = name.chars().count();
        let fits = (1..=NAME_CHARACTERS_MAX).contains(&characters);
        if !fits || name.chars().any(walytis_core::is_unseen) || name.starts_with("did:") || name.trim() != name {
            return Err(EngineError::BadName);
        }
        if self.names.iter().any(|(_, known)| known == name) {
            return Err(EngineError::NameTaken(name.to_owned()));
        }
        Ok(())
    }

    pub(super) fn add_name(&mut self, group: ChainId, name: String) {
        self.names.push((group, name));
        self.members.changed(group);
        records::put_names(&mut self.parts.view, &self.names);
    }

    fn new_group(&mut self, name: &str, history: History) -> Result<Answer, EngineError> {
        self.check_name(name)?;
        let group = self.device.found_group(&mut self.parts.desk(), history)?;
        self.claim(group, Owner::Group)?;
        self.add_name(group, name.to_owned());
        self.summary(group, name).map(Answer::Group)
    }

    fn summaries(&mut self) -> Result<Vec<GroupSummary>, EngineError> {
        self.names.clone().into_iter().map(|(group, name)| self.summary(group, &name)).collect()
    }

    pub(super) fn summary(&mut self, group: ChainId, name: &str) -> Result<GroupSummary, EngineError> {
        let members = self.parts.membership(group)?.members.len();
        Ok(GroupSummary {
            group,
            name: name.to_owned(),
            blocks: chains::length(&self.parts.view, group)?,
            missing: u64::try_from(self.missing.of(group).count()).unwrap_or(u64::MAX),
            members: u64::try_from(members).unwrap_or(u64::MAX),
            newer: self.newer_on(group)?,
        })
    }

    /// What came on a group's chain that this program cannot read.
    fn newer_on(&self, group: ChainId) -> Result<Vec<Newer>, EngineError> {
        Ok(records::newer(&self.parts.view, group)?)
    }

    fn details(&mut self, group: ChainId) -> Result<GroupDetails, EngineError> {
        let name = self.name_of(group).unwrap_or_default().to_owned();
        let summary = self.summary(group, &name)?;
        let membership = self.parts.membership(group)?;
        let mut members: Vec<_> = membership.members.iter().collect();
        members.sort_by(|(_, a), (_, b)| a.rank.cmp(&b.rank));
        let members = members
            .into_iter()
            .map(|(identity, member)| MemberDetails {
                identity: *identity,
                role: member.role,
                devices: membership
                    .devices
                    .values()
                    .filter(|device| device.member() == Some(*identity))
                    .filter_map(|device| Some((device.identity()?, device.peer)))
                    .collect(),
            })
            .collect();
        let epoch = self.usable_epoch(group)?;
        let heads = chains::heads(&self.parts.view, group)?;
        Ok(GroupDetails { summary, members, epoch, history: membership.history, heads })
    }

    fn invite(&mut self, group: ChainId, uses: u32) -> Result<String, EngineError> {
        let author = self.device.author(&self.parts.view, group)?.public();
        if self.parts.membership(group)?.device(&author, Role::Manage).is_none() {
            return Err(EngineError::NotManager);
        }
        if uses == 0 {
            return Err(EngineError::NoUses);
        }
        let listening =
            if self.listening.is_empty() { records::listening(&self.parts.view)? } else { self.listening.clone() };
        if listening.is_empty() {
            return Err(EngineError::NoAddresses);
        }
        let addresses = Address::for_others(&listening, CODE_ADDRESSES_MAX);
        let secret = InvitationSecret::generate(&mut *self.parts.rng);
        let open = OpenInvitation { invitation: secret.id().0, role: Role::Write, uses, expires_at_ms: None };
        let entry = Writing::operation(&Operation::OpenInvitation(open));
        let inviter = Inviter { peer: self.device.peer(), addresses };
        let code = InvitationCode::new(group, secret, vec![inviter])?.to_text();
        self.merge_operations(group)?;
        let stored = self.device.append(&mut self.parts.desk(), group, entry)?;
        self.own_operation(group, stored.block.id());
        Ok(code)
    }

    /// Notes a block of our own. Members are sent it at the step's end, when nothing is taken back any more: who told of a
    /// block and lost it would write another with the same number.
    pub(super) fn own(&mut self, chain: ChainId, id: BlockId) {
        self.fresh.push(Fresh { chain, id, from: None });
    }

    /// As [`Engine::own`], for an operation: it may change who is a member.
    pub(super) fn own_operation(&mut self, chain: ChainId, id: BlockId) {
        self.members.changed(chain);
        self.own(chain, id);
    }

    /// Before a block: lets it have all operations of the view among its ancestors.
    pub(super) fn merge_operations(&mut self, group: ChainId) -> Result<(), EngineError> {
        for merge in self.device.merge_operations(&mut self.parts.desk(), group)? {
            self.own_operation(group, merge.block.id());
        }
        Ok(())
    }

    /// The epoch under which this device may seal: made for exactly the readers of the current view, not ended, and
    /// opened here. Of several, the one with the lowest id.
    fn usable_epoch(&mut self, group: ChainId) -> Result<Option<BlockId>, EngineError> {
        let operations = chains::operation_heads(&self.parts.view, group)?;
        if let Some((seen, epoch)) = self.epochs.get(&group)
            && *seen == operations
            && records::sealed_under(&self.parts.view, *epoch)? < EPOCH_CONTENTS_MAX
        {
            return Ok(Some(*epoch));
        }
        self.epochs.remove(&group);
        let membership = self.parts.membership(group)?;
        let any = planted!(ForgetRotation);
        // Of thousands of epochs, few are younger than the last reader, and not among those that lack their wrap.
        let mut young: Vec<_> = membership.epochs.iter().collect();
        young.retain(|(id, epoch)| {
            let above = epoch.generation > membership.readers_since || any;
            above && membership.device(&epoch.maker, Role::Read).is_some() && !self.missing.contains(group, **id)
        });
        // From the oldest on, the membership of each view follows from the one before at little cost.
        young.sort_by_key(|(id, epoch)| (epoch.generation, **id));
        let Parts { view, fold, .. } = &mut self.parts;
        let mut fitting = Vec::new();
        for (id, epoch) in young {
            let tag = fold.readers_tag(view, group, *id, &epoch.view)?;
            if tag == membership.readers_tag || any {
                fitting.push((*id, epoch));
            }
        }
        fitting.sort_by_key(|(id, _)| *id);
        for (id, epoch) in fitting {
            if keyring::epoch(view, id)?.is_none() || records::sealed_under(view, id)? >= EPOCH_CONTENTS_MAX {
                continue;
            }
            if fold.at(view, group, &epoch.view)?.has_readers_of(&membership) || any {
                self.epochs.insert(group, (operations, id));
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    pub(super) fn post(
        &mut self,
        group: ChainId,
        topics: Vec<Vec<u8>>,
        content: Vec<u8>,
    ) -> Result<BlockId, EngineError> {
        let author = self.device.author(&self.parts.view, group)?.public();
        if self.parts.membership(group)?.device(&author, Role::Write).is_none() {
            return Err(EngineError::NotWriter);
        }
        let content = OpenContent::new(topics, content, &mut *self.parts.rng)?;
        self.merge_operations(group)?;
        let epoch = match self.usable_epoch(group)? {
            Some(epoch) => epoch,
            None => {
                let epoch = self.device.begin_epoch(&mut self.parts.desk(), group)?;
                self.own_operation(group, epoch);
                epoch
            }
        };
        let body = PrivateBody::new(epoch, &content);
        let entry = Writing { kind: BlockKind::Private, content: body.encode(), foreign: Vec::new() };
        let (author, place) = self.device.place(&self.parts.desk(), group)?;
        let stored = self.device.append_at(&mut self.parts.desk(), &author, place, entry)?;
        let id = stored.block.id();
        records::put_content(&mut self.parts.view, id, &content);
        records::count_sealed(&mut self.parts.view, epoch)?;
        self.own(group, id);
        Ok(id)
    }

    pub(super) fn seal(
        &mut self,
        group: ChainId,
        id: BlockId,
        epoch: BlockId,
        content: &OpenContent,
    ) -> Result<Option<Attachment>, EngineError> {
        let membership = self.parts.membership(group)?;
        let Some(begun) = membership.epochs.get(&epoch) else { return Ok(None) };
        let Some(seed) = keyring::epoch(&self.parts.view, epoch)? else { return Ok(None) };
        let key = seed.epoch_key(&EpochContext::new(group, &begun.view));
        let place = SealedPlace { chain: group, block: id, epoch };
        let sealed = content.seal(&key, &place, &mut *self.parts.rng);
        Ok(Some(Attachment::Sealed(serde_bytes::ByteBuf::from(sealed))))
    }

    fn list(
        &mut self,
        group: ChainId,
        after: Option<Cursor>,
        below: Option<u64>,
        topic: Option<&[u8]>,
    ) -> Result<Page, EngineError> {
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        let mut last = after;
        let from = after.map_or(0, |cursor| cursor.generation);
        let (blocks, next) = chains::in_order(&self.parts.view, group, from, PAGE_ENTRIES)?;
        for stored in blocks {
            let cursor = Cursor { generation: stored.generation, id: stored.block.id() };
            if after.is_some_and(|after| cursor <= after) {
                continue;
            }
            if bytes >= PAGE_BYTES {
                return Ok(Page { entries, next: last });
            }
            last = Some(cursor);
            if below.is_some_and(|below| stored.position >= below) {
                continue;
            }
            let Some(entry) = self.entry(&stored)? else { continue };
            let fits = |topic: &[u8]| {
                entry.content.as_ref().is_some_and(|content| content.topics.iter().any(|known| known == topic))
            };
            if topic.is_none_or(fits) {
                bytes = bytes.saturating_add(entry.content.as_ref().map_or(0, |content| content.bytes.len()));
                entries.push(entry);
            }
        }
        // Every id is above this one, so the next page begins with the generation's first block.
        let next = next.map(|generation| Cursor { generation, id: BlockId([0; 32]) });
        Ok(Page { entries, next })
    }

    fn since(&mut self, group: ChainId, from: u64, limit: usize) -> Result<Page, EngineError> {
        let mut entries = Vec::new();
        let mut bytes = 0_usize;
        let from = if planted!(RepeatLast) { from.saturating_sub(1) } else { from };
        for position in from..chains::length(&self.parts.view, group)? {
            if entries.len() >= limit.min(PAGE_ENTRIES) || bytes >= PAGE_BYTES {
                break;
            }
            let Some(stored) = chains::block_at(&self.parts.view, group, position)? else { break };
            let Some(entry) = self.entry(&stored)? else { continue };
            bytes = bytes.saturating_add(entry.content.as_ref().map_or(0, |content| content.bytes.len()));
            entries.push(entry);
        }
        Ok(Page { entries, next: None })
    }

    /// One private block, if it is on the group's chain.
    fn one(&mut self, group: ChainId, id: BlockId) -> Result<Page, EngineError> {
        let stored = chains::block(&self.parts.view, id)?.filter(|stored| stored.block.chain() == group);
        let entry = stored.map_or(Ok(None), |stored| self.entry(&stored))?;
        Ok(Page { entries: entry.into_iter().collect(), next: None })
    }
}
