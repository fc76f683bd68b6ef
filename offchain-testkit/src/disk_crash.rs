//! What a crash leaves of writes that were not synced.

use std::ops::Range;
use std::sync::Arc;

use rand_chacha::ChaCha20Rng;
use rand_core::Rng as _;

use crate::disk_image::{DiskImage, cut_at, page_pieces};

/// What a disk writes at once even when the power goes, in bytes.
pub const DISK_SECTOR_BYTES: usize = 512;

/// What a crash leaves of the writes since the last sync.
///
/// Changes of the disk's length keep their order in every mode, as file systems keep them: some first ones survive. What
/// was written behind the length that survives is lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Survival {
    /// None of them.
    Lost,
    /// All of them.
    Kept,
    /// Any of their pages, in the order in which they were written.
    Subset,
    /// Any of their pages, in any order: of two writes to a page the earlier one may be what is left.
    Reordered,
    /// Any of their pages, and of some only sectors at the beginning or at the end.
    Torn,
}

impl Survival {
    /// Every way.
    pub const ALL: [Self; 5] = [Self::Lost, Self::Kept, Self::Subset, Self::Reordered, Self::Torn];
}

/// A change that is not durable yet.
#[derive(Clone, Debug)]
pub(crate) enum Unsynced {
    Write { offset: u64, bytes: Arc<[u8]> },
    SetLen(u64),
}

impl Unsynced {
    pub(crate) fn apply(&self, image: &mut DiskImage) {
        match self {
            Self::Write { offset, bytes } => image.write_within(*offset, bytes),
            Self::SetLen(bytes) => image.set_len(*bytes),
        }
    }
}

/// A disk at one instant: what is durable, and what was written since the last sync.
#[derive(Clone, Debug, Default)]
pub struct DiskMoment {
    pub(crate) operation: u64,
    pub(crate) durable: DiskImage,
    pub(crate) unsynced: Vec<Unsynced>,
}

/// How pages fared in a crash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Losses {
    pub(crate) lost: u64,
    pub(crate) reordered: u64,
    pub(crate) torn: u64,
}

/// A part of a write, within one page.
struct Piece<'a> {
    offset: u64,
    bytes: &'a [u8],
}

impl DiskMoment {
    /// How many operations the disk had been asked for, this one included.
    #[must_use]
    pub const fn operation(&self) -> u64 {
        self.operation
    }

    /// How many changes were not durable.
    #[must_use]
    pub const fn unsynced(&self) -> usize {
        self.unsynced.len()
    }

    /// Whether a change of the disk's length was not durable.
    #[must_use]
    pub fn changes_length(&self) -> bool {
        self.unsynced.iter().any(|change| matches!(change, Unsynced::SetLen(_)))
    }

    /// What a crash leaves.
    #[must_use]
    pub fn crash(&self, survival: Survival, rng: &mut ChaCha20Rng) -> DiskImage {
        self.crash_counted(survival, rng).0
    }

    pub(crate) fn crash_counted(&self, survival: Survival, rng: &mut ChaCha20Rng) -> (DiskImage, Losses) {
        let mut image = self.durable.clone();
        let mut losses = Losses::default();
        match survival {
            Survival::Lost => losses.lost = self.pieces().count() as u64,
            Survival::Kept => self.unsynced.iter().for_each(|change| change.apply(&mut image)),
            Survival::Subset => self.subset(&mut image, &mut losses, rng),
            Survival::Reordered => self.reordered(&mut image, &mut losses, rng),
            Survival::Torn => self.torn(&mut image, &mut losses, rng),
        }
        (image, losses)
    }

    fn subset(&self, image: &mut DiskImage, losses: &mut Losses, rng: &mut ChaCha20Rng) {
        let mut lengths = self.lengths(rng);
        let dial = below(8, rng);
        for change in &self.unsynced {
            match change {
                Unsynced::SetLen(_) if lengths == 0 => {}
                Unsynced::SetLen(bytes) => {
                    lengths -= 1;
                    image.set_len(*bytes);
                }
                Unsynced::Write { offset, bytes } => {
                    for piece in pieces_of(*offset, bytes) {
                        if below(8, rng) <= dial {
                            image.write_within(piece.offset, piece.bytes);
                        } else {
                            losses.lost += 1;
                        }
                    }
                }
            }
        }
    }

    fn reordered(&self, image: &mut DiskImage, losses: &mut Losses, rng: &mut ChaCha20Rng) {
        self.set_lengths(image, rng);
        let dial = below(8, rng);
        let mut pieces: Vec<(usize, Piece<'_>)> = self.pieces().enumerate().collect();
        let all = pieces.len();
        pieces.retain(|_| below(8, rng) <= dial);
        losses.lost += (all - pieces.len()) as u64;
        for last in (1..pieces.len()).rev() {
            let other = below(last as u64 + 1, rng) as usize;
            pieces.swap(last, other);
        }
        losses.reordered += pieces.windows(2).filter(|pair| pair[0].0 > pair[1].0).count() as u64;
        pieces.iter().for_each(|(_, piece)| image.write_within(piece.offset, piece.bytes));
    }

    fn torn(&self, image: &mut DiskImage, losses: &mut Losses, rng: &mut ChaCha20Rng) {
        self.set_lengths(image, rng);
        for piece in self.pieces() {
            match below(4, rng) {
                0 => losses.lost += 1,
                1 => image.write_within(piece.offset, piece.bytes),
                side => {
                    let sectors: Vec<Range<usize>> =
                        cut_at(DISK_SECTOR_BYTES, piece.offset, piece.bytes.len()).map(|(_, _, part)| part).collect();
                    let cut = below(sectors.len() as u64 + 1, rng) as usize;
                    losses.torn += u64::from(cut > 0 && cut < sectors.len());
                    let left = if side == 2 { &sectors[..cut] } else { &sectors[cut..] };
                    for sector in left {
                        image.write_within(piece.offset + sector.start as u64, &piece.bytes[sector.clone()]);
                    }
                }
            }
        }
    }

    /// How many changes of the length survive.
    fn lengths(&self, rng: &mut ChaCha20Rng) -> u64 {
        let changes = self.unsynced.iter().filter(|change| matches!(change, Unsynced::SetLen(_))).count();
        below(changes as u64 + 1, rng)
    }

    fn set_lengths(&self, image: &mut DiskImage, rng: &mut ChaCha20Rng) {
        let lengths = self.unsynced.iter().filter(|change| matches!(change, Unsynced::SetLen(_)));
        let survive = self.lengths(rng) as usize;
        lengths.take(survive).for_each(|change| change.apply(image));
    }

    fn pieces(&self) -> impl Iterator<Item = Piece<'_>> {
        let writes = self.unsynced.iter().filter_map(|change| match change {
            Unsynced::Write { offset, bytes } => Some((*offset, bytes)),
            Unsynced::SetLen(_) => None,
        });
        writes.flat_map(|(offset, bytes)| pieces_of(offset, bytes))
    }
}

fn pieces_of(offset: u64, bytes: &[u8]) -> impl Iterator<Item = Piece<'_>> {
    let pieces = page_pieces(offset, bytes.len());
    pieces.map(move |(_, _, part)| Piece { offset: offset + part.start as u64, bytes: &bytes[part] })
}

fn below(end: u64, rng: &mut ChaCha20Rng) -> u64 {
    rng.next_u64() % end
}
