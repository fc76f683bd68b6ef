//! Blocks that this node's user exports and imports.
//!
//! An import is the user's own wish: what peers and authors may send in a time does not count, and a blocked author's
//! blocks are taken, since others may build on them; they are not shown. How much the chain may hold does count.

use super::accept::bytes_of;
use super::archive::{ArchiveAnswer, ArchiveCommand, ImportError};
use super::join::free_name;
use super::records::Followed;
use super::{ChainName, Desk, Fresh, PublicChains, PublicError, Standing};
use walytis_core::chains::query::{self, Cursor, IdPrefix, Query};
use walytis_core::chains::{self, ChainKind, Owner};
use walytis_core::{AuthorSecret, BlockKind, ChainError, ChainId, ParsedBlock, Pending, RawBlock, VerifiedBlock};

/// A page of blocks ends once it has this many, or this many bytes.
const PAGE_BLOCKS: u64 = 256;
const PAGE_BYTES: u64 = 1024 * 1024;

/// Why a block is not taken: our own store's failure, or the block itself.
enum Trouble {
    Ours(PublicError),
    Theirs(ImportError),
}

impl From<ChainError> for Trouble {
    fn from(error: ChainError) -> Self {
        match error {
            ChainError::Rule { id, rule } => Self::Theirs(ImportError::Rule { id, rule }),
            ChainError::Format { id, fault } => Self::Theirs(ImportError::Format { id, fault }),
            ChainError::Orphan { id } => Self::Theirs(ImportError::Parents { id }),
            other => Self::Ours(other.into()),
        }
    }
}

impl From<ImportError> for Trouble {
    fn from(error: ImportError) -> Self {
        Self::Theirs(error)
    }
}

/// The block, if it can be one of this chain: with a signature that holds, and of a public chain's kind.
fn verified(raw: RawBlock, chain: ChainId) -> Result<VerifiedBlock, ImportError> {
    let block = ParsedBlock::parse(raw)?;
    let header = block.header();
    let fits = block.chain() == chain
        && header.kind == BlockKind::Content
        && header.foreign.is_empty()
        && (header.genesis.is_none() || super::is_public_genesis(&block));
    if !fits {
        return Err(ImportError::Foreign { id: block.id() });
    }
    Ok(block.verify(None)?)
}

impl PublicChains {
    pub(super) fn about_archives(
        &mut self,
        desk: &mut Desk<'_>,
        command: ArchiveCommand,
    ) -> Result<ArchiveAnswer, PublicError> {
        match command {
            ArchiveCommand::Read { chain, from } => self.raw_blocks(desk.view, &chain, from),
            ArchiveCommand::Find { chain, id, after } => self.find_by_id(desk.view, &chain, id, after),
            ArchiveCommand::Take { chain, name, blocks } => self.import(desk, chain, name, blocks),
        }
    }

    fn raw_blocks(&self, view: &Pending, chain: &ChainName, from: u64) -> Result<ArchiveAnswer, PublicError> {
        let chain = self.find_named(chain)?;
        let length = chains::length(view, chain)?;
        let (mut blocks, mut bytes) = (Vec::new(), 0_u64);
        for position in from..length.min(from.saturating_add(PAGE_BLOCKS)) {
            if bytes >= PAGE_BYTES {
                break;
            }
            let missing = ChainError::Inconsistent { id: chain.into(), what: "its chain lacks a block in the middle" };
            let stored = chains::block_at(view, chain, position)?.ok_or(missing)?;
            bytes = bytes.saturating_add(bytes_of(&stored.block));
            blocks.push(stored.block.raw().clone());
        }
        Ok(ArchiveAnswer::Blocks { chain: self.kept(chain)?, blocks, length })
    }

    fn find_by_id(
        &self,
        view: &Pending,
        chain: &ChainName,
        id: IdPrefix,
        after: Option<Cursor>,
    ) -> Result<ArchiveAnswer, PublicError> {
        let chain = self.find_named(chain)?;
        let page = query::page(view, chain, &Query { id, ..Query::default() }, after, 2)?;
        let blocks = page.blocks.iter().map(|stored| stored.block.raw().clone()).collect();
        Ok(ArchiveAnswer::Found { chain: self.kept(chain)?, blocks, next: page.next })
    }

    fn import(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        name: Option<String>,
        blocks: Vec<RawBlock>,
    ) -> Result<ArchiveAnswer, PublicError> {
        self.check_kind(desk.view, chain)?;
        match self.chains.get(&chain).map(|followed| followed.standing) {
            Some(Standing::Leaving) => return Err(PublicError::Leaving),
            Some(Standing::Joining) if self.joins.contains_key(&chain) => return Err(PublicError::AlreadyJoining),
            _ => {}
        }
        let (mut new, mut known, mut refused) = (0_u64, 0_u64, None);
        for raw in blocks {
            let savepoint = desk.view.savepoint();
            match self.import_block(desk, chain, name.as_deref(), raw) {
                Ok(true) => new = new.saturating_add(1),
                Ok(false) => known = known.saturating_add(1),
                Err(Trouble::Ours(error)) => return Err(error),
                Err(Trouble::Theirs(error)) => {
                    desk.view.rollback(savepoint);
                    refused = Some(error);
                    break;
                }
            }
        }
        if new > 0 {
            // What peers sent, and waited for one of these, goes the way that it would have gone.
            self.take_freed(desk)?;
            self.announce_later(desk, chain, None);
        }
        let followed = self.chains.contains_key(&chain);
        let chain = followed.then(|| self.summary(desk.view, chain)).transpose()?;
        Ok(ArchiveAnswer::Taken { chain, new, known, refused })
    }

    /// Takes one block in. Returns `false` if it was here.
    fn import_block(
        &mut self,
        desk: &mut Desk<'_>,
        chain: ChainId,
        name: Option<&str>,
        raw: RawBlock,
    ) -> Result<bool, Trouble> {
        // What is here is passed over without asking its signature again: so an import that goes on is quick.
        let id = walytis_core::Header::id_of(&raw.header);
        if self.chains.contains_key(&chain) && chains::contains_on(desk.view, chain, id)? {
            return Ok(false);
        }
        let block = verified(raw, chain)?;
        let parents = chains::find_parents(desk.view, &block)?;
        if parents.missing().next().is_some() {
            return Err(ImportError::Parents { id }.into());
        }
        if !self.chains.contains_key(&chain) {
            self.follow_imported(desk, chain, name).map_err(Trouble::Ours)?;
        }
        let Some(followed) = self.chains.get(&chain) else { return Ok(false) };
        if followed.bytes.saturating_add(bytes_of(&block)) > followed.rules.limits.chain_bytes_max {
            return Err(ImportError::Full.into());
        }
        self.insert_other(desk, &block, parents, self.me)?;
        // A join that broke off was waiting for just these. What was refused changes nothing.
        if let Some(followed) = self.chains.get_mut(&chain).filter(|followed| followed.standing == Standing::Joining) {
            followed.standing = Standing::Followed;
            followed.touch();
            Self::claim(desk.view, chain, Owner::Public).map_err(Trouble::Ours)?;
        }
        self.fresh.push(Fresh { chain, id, from: None });
        self.orphans.arrived(id);
        Ok(true)
    }

    /// Follows a chain whose genesis is about to be inserted.
    fn follow_imported(&mut self, desk: &mut Desk<'_>, chain: ChainId, name: Option<&str>) -> Result<(), PublicError> {
        // One that is kept here and is nobody's is not told of publicly either.
        if chains::kind(desk.view, chain)? == Some(ChainKind::Public) {
            return Err(PublicError::NotPublic);
        }
        if self.chains.len() >= super::CHAINS_MAX {
            return Err(PublicError::TooManyChains);
        }
        let name = name.map_or_else(|| free_name(chain), ToOwned::to_owned);
        self.check_name(&name)?;
        Self::claim(desk.view, chain, Owner::Public)?;
        let author = AuthorSecret::generate(desk.rng);
        self.chains.insert(chain, Followed::new(self.next_number, chain, name, author, Standing::Followed));
        self.next_number = self.next_number.saturating_add(1);
        self.greet_all(desk);
        Ok(())
    }
}
