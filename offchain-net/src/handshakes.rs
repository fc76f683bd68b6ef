//! Incoming connections whose peer is not proven yet: few, for a short time, and never all from one place.

use std::collections::HashMap;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;

use crate::config::HANDSHAKES_INCOMING_MAX;
use crate::origin::{Origin, Prefix};

/// Handshakes under way from one IPv4 address or IPv6 /64. Members behind the same router share them with whoever else is
/// there, so it is most of them; what is left is for everybody else.
pub(crate) const HANDSHAKES_PER_ADDRESS_MAX: usize = 192;

/// Handshakes under way over UDP, whose sender may have written any address: what is left is for TCP.
pub(crate) const HANDSHAKES_UDP_MAX: usize = 192;

const _: () =
    assert!(HANDSHAKES_PER_ADDRESS_MAX < HANDSHAKES_INCOMING_MAX && HANDSHAKES_UDP_MAX < HANDSHAKES_INCOMING_MAX);

/// There are too many handshakes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many handshakes are under way")]
pub(crate) struct Busy;

/// The handshakes under way.
#[derive(Default)]
pub(crate) struct Handshakes {
    under_way: HashMap<ConnectionId, (Prefix, bool)>,
}

impl Handshakes {
    /// A connection from there begins its handshake, if it may.
    pub(crate) fn begin(&mut self, id: ConnectionId, remote: &Multiaddr) -> Result<(), Busy> {
        let (from, udp) = (Origin::of(remote).narrow, remote.iter().any(|part| matches!(part, Protocol::Udp(_))));
        let count =
            |counts: &dyn Fn(&(Prefix, bool)) -> bool| self.under_way.values().filter(|one| counts(one)).count();
        if self.under_way.len() >= HANDSHAKES_INCOMING_MAX
            || count(&|(other, _)| *other == from) >= HANDSHAKES_PER_ADDRESS_MAX
            || udp && count(&|(_, udp)| *udp) >= HANDSHAKES_UDP_MAX
        {
            return Err(Busy);
        }
        self.under_way.insert(id, (from, udp));
        Ok(())
    }

    /// A handshake has ended, well or not.
    pub(crate) fn end(&mut self, id: ConnectionId) {
        self.under_way.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of so many that begin are let in, each from where `place` says.
    fn begun(handshakes: &mut Handshakes, ids: std::ops::Range<usize>, place: impl Fn(usize) -> String) -> usize {
        let begin = |id: &usize| {
            let remote = place(*id).parse().unwrap();
            handshakes.begin(ConnectionId::new_unchecked(*id), &remote).is_ok()
        };
        ids.filter(begin).count()
    }

    #[test]
    fn handshakes_of_one_address_leave_some_to_others() {
        let mut handshakes = Handshakes::default();
        let tcp = |port| format!("/ip4/192.0.2.1/tcp/{port}");
        assert_eq!(begun(&mut handshakes, 0..1000, tcp), HANDSHAKES_PER_ADDRESS_MAX);
        let left = HANDSHAKES_INCOMING_MAX - HANDSHAKES_PER_ADDRESS_MAX;
        assert_eq!(begun(&mut handshakes, 1000..2000, |id| format!("/ip4/192.0.2.2/tcp/{id}")), left);
        handshakes.end(ConnectionId::new_unchecked(0));
        assert_eq!(begun(&mut handshakes, 2000..2002, tcp), 1, "one has ended");
    }

    #[test]
    fn forged_addresses_leave_some_to_tcp() {
        let mut handshakes = Handshakes::default();
        let udp = |id: usize| format!("/ip4/198.51.{}.{}/udp/1/quic-v1", id / 256, id % 256);
        assert_eq!(begun(&mut handshakes, 0..1000, udp), HANDSHAKES_UDP_MAX);
        assert_eq!(begun(&mut handshakes, 1000..1001, |_| "/ip4/192.0.2.1/tcp/1".into()), 1);
    }
}
