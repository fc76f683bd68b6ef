//! The protocol's number, and how two builds of different numbers tell each other.
//!
//! The number is in the name under which frames are negotiated. What a peer speaks is read off the list of its protocols,
//! which identify sends on every connection, so each side learns the other's number whoever is newer.

use std::time::Duration;

use libp2p::StreamProtocol;
use walytis_core::{NetworkEvent, OtherProtocol, PeerId};

/// The number of the protocol that this build speaks: of the frames, and of all messages in them. It changes whenever bytes
/// between peers change their meaning. `docs/format.md` has a table of the numbers.
pub const PROTOCOL_NUMBER: u32 = 3;

/// What the name of frames has before the number.
const FRAMES: &str = "/walytis/frames/";

/// How long a connection to a peer of another number stays: the peer has to learn our number, too.
pub(crate) const PARTING: Duration = Duration::from_secs(2);

/// The name under which frames of a number are negotiated.
pub(crate) fn name(number: u32) -> StreamProtocol {
    let name = StreamProtocol::try_from_owned(format!("{FRAMES}{number}"));
    name.unwrap_or(StreamProtocol::new("/walytis/frames"))
}

/// The number that a peer speaks instead of ours, by the list of its protocols: `None` if it takes no frames, or ours among
/// others, as a newer build may.
pub(crate) fn other_number(protocols: &[StreamProtocol], ours: u32) -> Option<u32> {
    if protocols.contains(&name(ours)) {
        return None;
    }
    let numbers = protocols.iter().filter_map(|protocol| {
        let text = protocol.as_ref().strip_prefix(FRAMES)?;
        // One number has one name.
        text.parse::<u32>().ok().filter(|number| number.to_string() == text)
    });
    numbers.max()
}

/// What the caller hears of a peer that speaks another protocol.
pub(crate) const fn other(peer: PeerId, theirs: u32, ours: u32) -> NetworkEvent {
    NetworkEvent::OtherProtocol(OtherProtocol { peer, theirs, ours })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_has_one_name() {
        let all = |names: &[&'static str]| names.iter().map(|name| StreamProtocol::new(name)).collect::<Vec<_>>();
        let of = |names: &[&'static str]| other_number(&all(names), PROTOCOL_NUMBER);
        assert_eq!(name(PROTOCOL_NUMBER).as_ref(), crate::PROTOCOL);
        assert_eq!(other_number(&all(&[crate::PROTOCOL]), PROTOCOL_NUMBER + 1), Some(PROTOCOL_NUMBER));
        assert_eq!(of(&["/ipfs/id/1.0.0", "/walytis/frames/1"]), Some(1));
        assert_eq!(of(&["/walytis/frames/6", "/walytis/frames/7"]), Some(7));
        for not_ours in ["/walytis/frames/", "/walytis/frames/01", "/walytis/frames/+1", "/walytis/frames/4294967296"] {
            assert_eq!(of(&[not_ours]), None, "{not_ours}");
        }
        assert_eq!(of(&["/walytis/kad/1", "/ipfs/ping/1.0.0"]), None);
    }

    #[test]
    fn a_build_that_speaks_our_number_among_others_speaks_no_other() {
        let all = [1, 2, 3].map(name);
        for ours in 1..=3 {
            assert_eq!(other_number(&all, ours), None, "{ours}");
        }
        assert_eq!(other_number(&all, 4), Some(3));
    }
}
