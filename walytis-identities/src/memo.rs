//! Memberships that were computed before: as many as fit into a number of bytes, those that were used last.

use std::collections::BTreeMap;
use std::sync::Arc;

use walytis_core::{BatchNumber, BlockId, ChainId, Pending, Savepoint};

use crate::membership::{Device, Epoch, Invitation, Member, Membership};

/// The bytes of all memberships that are remembered: a group of 1,024 devices takes about 4 MiB, one of five 18 KiB.
/// Whatever does not fit is computed again when it is needed.
pub(crate) const MEMBERSHIP_BYTES_MAX: usize = 8 * 1024 * 1024;

/// What of a membership is not shared with the one on which it was computed, for each operation between the two: the
/// paths to changed entries in the trees of up to four maps.
const STEP_BYTES: usize = 2048;

/// An entry of a map beside its key and value: a node of the tree, and two counts of references.
const NODE_BYTES: usize = 96;

/// A number of its own for each membership that was ever remembered.
pub(crate) type Serial = u64;

/// A membership that another was computed on.
pub(crate) struct Base {
    pub(crate) serial: Serial,
    /// How many operations the other has more.
    pub(crate) steps: usize,
    /// What it holds alone, see [`whole_bytes`].
    pub(crate) bytes: usize,
}

struct Remembered {
    membership: Arc<Membership>,
    serial: Serial,
    /// The one on which it was computed, with which it shares all but `apart`.
    base: Option<Serial>,
    /// Bytes that it holds beyond those of its base.
    apart: usize,
    /// Bytes that it would hold alone.
    whole: usize,
    /// When it was used last, counted in uses.
    used: u64,
}

/// Where in the memo a membership is.
type Place = (ChainId, Vec<BlockId>);

/// Remembers memberships by chain and heads of operations. See the module's documentation.
///
/// **Invariant:** `bytes` is the sum of all `apart`. What two memberships share is counted once, by the older one; when
/// that one leaves, by one of those that rest on it.
pub(crate) struct Memo {
    chains: BTreeMap<ChainId, BTreeMap<Vec<BlockId>, Remembered>>,
    bytes: usize,
    bytes_max: usize,
    last: Serial,
    uses: u64,
    /// Those of the open step that were computed behind its first write: where the view was then, in order.
    open: Vec<(Savepoint, Place)>,
    /// The open step.
    step: BatchNumber,
}

impl Default for Memo {
    fn default() -> Self {
        Self::of_bytes(MEMBERSHIP_BYTES_MAX)
    }
}

impl Memo {
    /// A memo that holds at most so many bytes, or one membership.
    pub(crate) fn of_bytes(bytes_max: usize) -> Self {
        let chains = BTreeMap::new();
        Self { chains, bytes: 0, bytes_max, last: 0, uses: 0, open: Vec::new(), step: BatchNumber(0) }
    }

    /// The membership at these heads, which are sorted.
    pub(crate) fn find(&mut self, chain: ChainId, heads: &[BlockId]) -> Option<(Arc<Membership>, Base)> {
        let known = self.chains.get_mut(&chain)?.get_mut(heads)?;
        self.uses = self.uses.saturating_add(1);
        known.used = self.uses;
        let base = Base { serial: known.serial, steps: 0, bytes: known.whole };
        Some((Arc::clone(&known.membership), base))
    }

    /// Keeps a membership that was computed over a view, upon `base` if there is one.
    pub(crate) fn keep(&mut self, view: &Pending, place: Place, membership: Arc<Membership>, base: Option<Base>) {
        let whole = whole_bytes(&membership, place.1.len());
        let apart = base.as_ref().map_or(whole, |base| {
            let grown = whole.saturating_sub(base.bytes);
            let copied = base.steps.saturating_mul(STEP_BYTES).saturating_add(size_of::<Membership>());
            whole.min(grown.saturating_add(copied))
        });
        self.last = self.last.saturating_add(1);
        self.uses = self.uses.saturating_add(1);
        let base = base.map(|base| base.serial);
        let kept = Remembered { membership, serial: self.last, base, apart, whole, used: self.uses };
        if self.step != view.open() {
            self.step = view.open();
            self.open.clear();
        }
        if !view.savepoint().is_first() {
            self.open.push((view.savepoint(), place.clone()));
        }
        self.bytes = self.bytes.saturating_add(apart);
        if let Some(before) = self.chains.entry(place.0).or_default().insert(place.1, kept) {
            self.bytes = self.bytes.saturating_sub(before.apart);
        }
        if self.bytes > self.bytes_max {
            self.make_room();
        }
    }

    /// Forgets what was computed behind a point of the open step: the blocks below it are being taken back.
    pub(crate) fn forget_behind(&mut self, view: &Pending, point: Savepoint) {
        if self.step != view.open() {
            return;
        }
        while let Some((at, _)) = self.open.last()
            && *at > point
        {
            let Some((_, place)) = self.open.pop() else { return };
            self.remove(&place);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.chains.clear();
        self.open.clear();
        self.bytes = 0;
    }

    /// How many memberships are remembered.
    pub(crate) fn len(&self) -> usize {
        self.chains.values().map(BTreeMap::len).sum()
    }

    /// The bytes of those that are remembered, as they are counted here.
    pub(crate) const fn bytes(&self) -> usize {
        self.bytes
    }

    fn remove(&mut self, place: &Place) -> Option<Remembered> {
        let of_chain = self.chains.get_mut(&place.0)?;
        let removed = of_chain.remove(&place.1);
        if of_chain.is_empty() {
            self.chains.remove(&place.0);
        }
        let removed = removed?;
        self.bytes = self.bytes.saturating_sub(removed.apart);
        Some(removed)
    }

    /// Lets those go that were used longest ago, until a quarter of the room is free: so the search for them is seldom.
    fn make_room(&mut self) {
        let enough = self.bytes_max / 4 * 3;
        let mut all: Vec<(u64, Place)> = Vec::with_capacity(self.len());
        let mut places: BTreeMap<Serial, Place> = BTreeMap::new();
        let mut heirs: BTreeMap<Serial, Vec<Serial>> = BTreeMap::new();
        for (chain, of_chain) in &self.chains {
            for (heads, known) in of_chain {
                all.push((known.used, (*chain, heads.clone())));
                places.insert(known.serial, (*chain, heads.clone()));
                if let Some(base) = known.base {
                    heirs.entry(base).or_default().push(known.serial);
                }
            }
        }
        all.sort_unstable();
        // The newest stays in any case: it is being used.
        all.pop();
        for (_, place) in all {
            if self.bytes <= enough {
                break;
            }
            let Some(left) = self.remove(&place) else { continue };
            let resting = heirs.remove(&left.serial).unwrap_or_default();
            let mut resting = resting.into_iter().filter_map(|serial| Some((serial, places.get(&serial)?)));
            // What was shared is held by those that rest on it. The first of them counts it from now on.
            let Some((first, place)) = resting.next() else { continue };
            self.change(place, |heir| {
                heir.base = left.base;
                heir.apart = heir.whole.min(heir.apart.saturating_add(left.apart));
            });
            if let Some(base) = left.base {
                heirs.entry(base).or_default().push(first);
            }
            for (other, place) in resting {
                self.change(place, |heir| heir.base = Some(first));
                heirs.entry(first).or_default().push(other);
            }
        }
    }

    fn change(&mut self, (chain, heads): &Place, change: impl FnOnce(&mut Remembered)) {
        let Some(known) = self.chains.get_mut(chain).and_then(|of_chain| of_chain.get_mut(heads)) else { return };
        let before = known.apart;
        change(known);
        self.bytes = self.bytes.saturating_sub(before).saturating_add(known.apart);
    }
}

/// About how many bytes a membership holds if it shares nothing, with the heads of operations that it is found by.
fn whole_bytes(membership: &Membership, heads: usize) -> usize {
    let of = |entries: usize, bytes: usize| entries.saturating_mul(bytes.saturating_add(NODE_BYTES));
    // An author's and a peer's entry for each device, a path of two identities in each.
    let devices = of(membership.devices.len(), size_of::<Device>().saturating_add(NODE_BYTES).saturating_add(256));
    let members = of(membership.members.len(), size_of::<Member>().saturating_add(128));
    let epochs = of(membership.epochs.len(), size_of::<Epoch>().saturating_add(96));
    let invitations = of(membership.invitations.len(), size_of::<Invitation>().saturating_add(32));
    let named = of(membership.named.len(), 256);
    let own = size_of::<Membership>().saturating_add(size_of::<Remembered>()).saturating_add(heads.saturating_mul(64));
    [devices, members, epochs, invitations, named, own].into_iter().fold(0, usize::saturating_add)
}

#[cfg(test)]
mod tests;
