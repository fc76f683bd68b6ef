//! Frames that are longer than any may be. Aims at R1 and R2.

use walytis_core::FRAME_BYTES_MAX;
use walytis_offchain::FrameKind;

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class = Class::stranger("oversized_frames", || Tricks::outside(&[flight, data, kindless]));

fn large(kind: u8) -> Vec<u8> {
    let mut frame = vec![kind];
    frame.resize(FRAME_BYTES_MAX.saturating_add(1), 0);
    frame
}

fn flight(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.frame(to, large(FrameKind::Flight1 as u8))
}

fn data(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.frame(to, large(FrameKind::Data as u8))?;
    // One frame of no session is forgiven. So many are not.
    (0..16).try_for_each(|_| turn.frame(to, vec![FrameKind::Data as u8, 0]))
}

fn kindless(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    turn.frame(to, large(0))
}
