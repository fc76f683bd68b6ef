//! Incoming connections whose peer is not proven yet: few, for a short time, and never all from one place.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;
use libp2p::swarm::ConnectionId;
use tokio::time::Instant;

use crate::config::HANDSHAKES_INCOMING_MAX;
use crate::origin::{Origin, Prefix};

/// Handshakes under way from one IPv4 address or IPv6 /64. Members behind the same router share them with whoever else is
/// there, so it is most of them; what is left is for everybody else.
pub(crate) const HANDSHAKES_PER_ADDRESS_MAX: usize = 192;

/// Handshakes under way over UDP, whose sender may have written any address: what is left is for TCP.
pub(crate) const HANDSHAKES_UDP_MAX: usize = 192;

/// How long a handshake keeps its place from another one that comes from where as many are: some round trips on a bad link.
pub(crate) const HANDSHAKE_STAY_MIN: Duration = Duration::from_secs(2);

/// Handshakes that were ended for others, and whose sockets are not gone yet.
pub(crate) const HANDSHAKES_LEAVING_MAX: usize = 64;

const _: () =
    assert!(HANDSHAKES_PER_ADDRESS_MAX < HANDSHAKES_INCOMING_MAX && HANDSHAKES_UDP_MAX < HANDSHAKES_INCOMING_MAX);

/// There are too many handshakes under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("too many handshakes are under way")]
pub(crate) struct Busy;

/// Our end of a connection, and the other one.
pub(crate) type Ends = (Multiaddr, Multiaddr);

#[derive(Debug)]
struct UnderWay {
    from: Prefix,
    udp: bool,
    ends: Ends,
    since: Instant,
    number: u64,
    /// Whether it makes room for another: it counts no more.
    leaving: bool,
}

/// The handshakes under way.
#[derive(Default)]
pub(crate) struct Handshakes {
    under_way: HashMap<ConnectionId, UnderWay>,
    begun: u64,
}

impl Handshakes {
    /// A connection begins its handshake, if it may; gives the one that is to be cut for it, if any. Sockets that say nothing
    /// cost nobody anything, so where all places are taken the oldest of those from where most are makes room.
    pub(crate) fn begin(&mut self, id: ConnectionId, ends: Ends, now: Instant) -> Result<Option<Ends>, Busy> {
        let (from, udp) = (Origin::of(&ends.1).narrow, ends.1.iter().any(|part| matches!(part, Protocol::Udp(_))));
        let near = self.count(|other| other.from == from);
        let victim = if udp && self.count(|other| other.udp) >= HANDSHAKES_UDP_MAX {
            return Err(Busy);
        } else if near >= HANDSHAKES_PER_ADDRESS_MAX {
            Some(self.oldest(from).filter(|id| self.has_stayed(*id, now)).ok_or(Busy)?)
        } else if self.count(|_| true) >= HANDSHAKES_INCOMING_MAX {
            let (crowded, most) = self.crowded().ok_or(Busy)?;
            let fewer = most > near.saturating_add(1) && !walytis_core::mutant!(KeepSilent);
            Some(self.oldest(crowded).filter(|id| fewer || self.has_stayed(*id, now)).ok_or(Busy)?)
        } else {
            None
        };
        if victim.is_some() && self.under_way.values().filter(|one| one.leaving).count() >= HANDSHAKES_LEAVING_MAX {
            return Err(Busy);
        }
        let victim = victim.and_then(|id| self.under_way.get_mut(&id)).map(|one| {
            one.leaving = true;
            one.ends.clone()
        });
        self.begun = self.begun.wrapping_add(1);
        let number = self.begun;
        self.under_way.insert(id, UnderWay { from, udp, ends, since: now, number, leaving: false });
        Ok(victim)
    }

    /// A handshake has ended, well or not.
    pub(crate) fn end(&mut self, id: ConnectionId) {
        self.under_way.remove(&id);
    }

    fn count(&self, counts: impl Fn(&UnderWay) -> bool) -> usize {
        self.under_way.values().filter(|one| !one.leaving && counts(one)).count()
    }

    /// From where most come whose sockets can be cut, and how many these are.
    fn crowded(&self) -> Option<(Prefix, usize)> {
        let mut crowd: HashMap<Prefix, usize> = HashMap::new();
        for one in self.under_way.values().filter(|one| !one.leaving && !one.udp) {
            let count = crowd.entry(one.from).or_insert(0);
            *count = count.saturating_add(1);
        }
        crowd.into_iter().max_by_key(|(_, count)| *count)
    }

    /// The oldest from there whose socket can be cut.
    fn oldest(&self, from: Prefix) -> Option<ConnectionId> {
        let there = self.under_way.iter().filter(|(_, one)| !one.leaving && !one.udp && one.from == from);
        there.min_by_key(|(_, one)| one.number).map(|(id, _)| *id)
    }

    fn has_stayed(&self, id: ConnectionId, now: Instant) -> bool {
        let since = self.under_way.get(&id).map(|one| one.since);
        since.is_some_and(|since| now.saturating_duration_since(since) >= HANDSHAKE_STAY_MIN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Sockets of others that say nothing.
    struct Door {
        handshakes: Handshakes,
        now: Instant,
        came: usize,
    }

    impl Door {
        fn new() -> Self {
            Self { handshakes: Handshakes::default(), now: Instant::now(), came: 0 }
        }

        /// One comes from there. Gives who has to go for it, and that one goes.
        fn comes(&mut self, remote: &str) -> Result<Option<String>, Busy> {
            self.came += 1;
            let ends = ("/ip4/203.0.113.1/tcp/1".parse().unwrap(), remote.parse().unwrap());
            let victim = self.handshakes.begin(ConnectionId::new_unchecked(self.came), ends, self.now)?;
            let Some((_, victim)) = victim else { return Ok(None) };
            let is_victim = |(id, one): (&ConnectionId, &UnderWay)| (one.ends.1 == victim).then_some(*id);
            let gone = self.handshakes.under_way.iter().find_map(is_victim).unwrap();
            self.handshakes.end(gone);
            Ok(Some(victim.to_string()))
        }

        /// How many of so many are let in, each from where `place` says.
        fn come(&mut self, count: usize, place: impl Fn(usize) -> String) -> usize {
            (0..count).filter(|number| self.comes(&place(*number)).is_ok()).count()
        }
    }

    fn tcp(host: usize, port: usize) -> String {
        format!("/ip4/192.0.2.{host}/tcp/{port}")
    }

    #[test]
    fn handshakes_of_one_address_leave_some_to_others() {
        let mut door = Door::new();
        assert_eq!(door.come(1000, |port| tcp(1, port)), HANDSHAKES_PER_ADDRESS_MAX);
        let left = HANDSHAKES_INCOMING_MAX - HANDSHAKES_PER_ADDRESS_MAX;
        assert_eq!(door.come(left, |port| tcp(2, port)), left);
        door.handshakes.end(ConnectionId::new_unchecked(1));
        assert_eq!(door.come(2, |port| tcp(1, 2000 + port)), 1, "one has ended");
    }

    #[test]
    fn silent_sockets_of_two_addresses_keep_no_third_one_out() {
        let mut door = Door::new();
        door.come(192, |port| tcp(1, port));
        door.come(64, |port| tcp(2, port));
        assert_eq!(door.comes(&tcp(3, 1)), Ok(Some(tcp(1, 0))), "the oldest of those from where most are");
        // Until as many are from there as from anywhere; then whoever has been there for a while.
        let more = door.come(1000, |port| tcp(3, 2 + port));
        assert!((90..=100).contains(&more), "{more}");
        assert_eq!(door.comes(&tcp(3, 5000)), Err(Busy));
        door.now += HANDSHAKE_STAY_MIN;
        assert!(matches!(door.comes(&tcp(3, 5001)), Ok(Some(_))));
    }

    #[test]
    fn at_an_address_where_sockets_say_nothing_others_get_their_turn() {
        let mut door = Door::new();
        assert_eq!(door.come(200, |port| tcp(1, port)), 192);
        door.now += HANDSHAKE_STAY_MIN;
        assert_eq!(door.comes(&tcp(1, 999)), Ok(Some(tcp(1, 0))));
    }

    #[test]
    fn what_is_being_ended_is_bounded() {
        let mut door = Door::new();
        door.come(192, |port| tcp(1, port));
        door.come(64, |port| tcp(2, port));
        let begin = |number: &usize| {
            let ends = (tcp(9, 1).parse().unwrap(), tcp(3 + number % 50, *number).parse().unwrap());
            door.handshakes.begin(ConnectionId::new_unchecked(10_000 + number), ends, door.now).is_ok()
        };
        assert_eq!((0..1000).filter(begin).count(), HANDSHAKES_LEAVING_MAX, "none of those cut is gone yet");
    }

    #[test]
    fn forged_addresses_leave_some_to_tcp() {
        let mut door = Door::new();
        let udp = |number: usize| format!("/ip4/198.51.{}.{}/udp/1/quic-v1", number / 256, number % 256);
        assert_eq!(door.come(1000, udp), HANDSHAKES_UDP_MAX);
        assert_eq!(door.come(1, |port| tcp(1, port)), 1);
    }
}
