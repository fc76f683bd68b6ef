//! Who has a place among the incoming connections, and who makes room: a pure state machine.
//!
//! A connection has a place once its transport has proven its peer's key, so it is known then what that peer has earned.
//! A peer that has earned something takes the place of one that has earned less. Among strangers the limits by address
//! hold, and a newcomer takes the place of one from where most come: keys cost nothing, addresses do.
//!
//! **Invariant:** strangers never have all places, and neither have those that were merely invited or proved themselves on
//! a public chain. Limits by address count strangers alone.

use std::collections::HashMap;
use std::time::Duration;

use libp2p::swarm::ConnectionId;
use tokio::time::Instant;
use walytis_core::{Merit, PeerId};

use crate::merits::Merits;
use crate::origin::{Origin, Prefix};

/// How long a stranger keeps its place from another one that comes from where as many come. Long enough for the handshake
/// of a session and for showing an invitation, over a bad link; and it bounds how often a crowd of honest strangers, who
/// all come back, make each other give up a place.
pub(crate) const STAY_MIN: Duration = Duration::from_secs(3);

/// Connections that were ended for others and are not gone yet. While there are so many, strangers make no room for
/// strangers, so that what is held has a bound.
pub(crate) const LEAVING_MAX: usize = 32;

/// A connection that has, or had, a place.
#[derive(Debug)]
struct Held {
    peer: PeerId,
    origin: Origin,
    /// As what its place counts.
    counts_as: Merit,
    /// Its number among all that came.
    arrival: u64,
    since: Instant,
    /// It was ended for another, and is not gone yet.
    leaving: bool,
}

/// There is no place, and nobody makes room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("all places for peers of its merit and address are taken")]
pub(crate) struct Full;

/// How many connections each may have.
#[derive(Clone, Copy, Debug)]
struct Shares {
    all: usize,
    /// All but members together: their keys are free, and what their windows hold is counted by this. The rest is kept for
    /// members.
    outsiders: usize,
    /// Of these, those who were invited or follow a public chain. The rest is kept for newcomers.
    proven: usize,
    /// Strangers from one IPv4 address or IPv6 /64.
    narrow: usize,
    /// Strangers from one IPv4 /24 or IPv6 /48.
    wide: usize,
}

impl Shares {
    const fn of(all: usize) -> Self {
        let narrow = if all < 8 { 1 } else { all / 8 };
        Self { all, outsiders: all - all / 4, proven: all - all / 2, narrow, wide: narrow * 3 }
    }
}

/// How many of so many places peers have together that are no members.
#[cfg(test)]
pub(crate) const fn outsiders_max(all: usize) -> usize {
    Shares::of(all).outsiders
}

pub(crate) struct Places {
    shares: Shares,
    held: HashMap<ConnectionId, Held>,
    merits: Merits,
    arrivals: u64,
}

impl Places {
    /// So many places, for peers that have earned this.
    pub(crate) fn new(all: u32, merits: Merits) -> Self {
        let shares = Shares::of(usize::try_from(all).unwrap_or(usize::MAX));
        Self { shares, held: HashMap::new(), merits, arrivals: 0 }
    }

    /// What a peer has earned.
    pub(crate) fn merit(&self, peer: PeerId) -> Merit {
        self.merits.of(peer)
    }

    /// Notes what a peer has earned. Its connections count as that from now on, as far as there are places for such.
    pub(crate) fn set_merit(&mut self, peer: PeerId, merit: Merit) {
        self.merits.set(peer, merit);
        let merit = self.merits.of(peer);
        let own: Vec<_> = self.held.iter().filter(|(_, held)| held.peer == peer).map(|(id, _)| *id).collect();
        for id in own {
            let others = self.count(|other, held| other != id && is_proven(held.counts_as));
            let counts_as = self.as_what(merit, others);
            self.held.entry(id).and_modify(|held| held.counts_as = counts_as);
        }
    }

    /// A connection of a peer, whose key is proven, has come. If it gets a place, gives the one that has to be ended for it,
    /// if any.
    pub(crate) fn arrive(
        &mut self,
        id: ConnectionId,
        peer: PeerId,
        origin: Origin,
        now: Instant,
    ) -> Result<Option<ConnectionId>, Full> {
        let proven = self.count(|_, held| is_proven(held.counts_as));
        let counts_as = self.as_what(self.merits.of(peer), proven);
        let victim = match counts_as {
            Merit::Stranger => self.room_for_stranger(origin, now)?,
            merit if self.is_full_for(merit) => Some(self.below(merit).ok_or(Full)?),
            _ => None,
        };
        if let Some(held) = victim.and_then(|victim| self.held.get_mut(&victim)) {
            held.leaving = true;
        }
        self.arrivals = self.arrivals.wrapping_add(1);
        let arrival = self.arrivals;
        self.held.insert(id, Held { peer, origin, counts_as, arrival, since: now, leaving: false });
        Ok(victim)
    }

    /// A connection is gone, or came to nothing.
    pub(crate) fn leave(&mut self, id: ConnectionId) {
        self.held.remove(&id);
    }

    /// As what a connection counts: who was invited or follows a public chain is a stranger where all places for such are
    /// taken, so that nobody who fills public chains or passes codes on keeps everybody else out.
    fn as_what(&self, merit: Merit, proven: usize) -> Merit {
        if is_proven(merit) && proven >= self.shares.proven { Merit::Stranger } else { merit }
    }

    /// Whether somebody has to go before one more comes who counts as this.
    fn is_full_for(&self, merit: Merit) -> bool {
        let has_kept_place = merit == Merit::Member || walytis_core::mutant!(FillAllPlaces);
        let outsiders = || self.count(|_, held| held.counts_as != Merit::Member);
        self.count(|_, _| true) >= self.shares.all || !has_kept_place && outsiders() >= self.shares.outsiders
    }

    fn count(&self, counts: impl Fn(ConnectionId, &Held) -> bool) -> usize {
        self.held.iter().filter(|(id, held)| !held.leaving && counts(**id, held)).count()
    }

    fn strangers(&self) -> impl Iterator<Item = (ConnectionId, &Held)> {
        let held = self.held.iter().map(|(id, held)| (*id, held));
        held.filter(|(_, held)| !held.leaving && held.counts_as == Merit::Stranger)
    }

    /// Who makes room for a stranger from there; `None` if nobody has to.
    fn room_for_stranger(&self, origin: Origin, now: Instant) -> Result<Option<ConnectionId>, Full> {
        let Shares { narrow, wide, .. } = self.shares;
        let crowd = self.crowd();
        let (near, around) = (crowd.narrow(origin), crowd.wide(origin));
        let is_near = |(_, held): &(ConnectionId, &Held)| held.origin.narrow == origin.narrow;
        let is_around = |(_, held): &(ConnectionId, &Held)| held.origin.wide == origin.wide;
        let victim = if near >= narrow && !walytis_core::mutant!(CrowdOneAddress) {
            self.most_crowded(self.strangers().filter(is_near), Some(origin))
        } else if around >= wide {
            self.most_crowded(self.strangers().filter(is_around), Some(origin))
        } else if self.is_full_for(Merit::Stranger) {
            self.most_crowded(self.strangers(), Some(origin))
        } else {
            return Ok(None);
        };
        let victim = victim.ok_or(Full)?;
        let leaving = self.held.values().filter(|held| held.leaving).count();
        let Some(held) = self.held.get(&victim).filter(|_| leaving < LEAVING_MAX) else { return Err(Full) };
        // Strictly fewer have come from where the newcomer is, it counted.
        let fewer = crowd.wide(held.origin) > crowd.wide(origin).saturating_add(1)
            || held.origin.wide == origin.wide && crowd.narrow(held.origin) > crowd.narrow(origin).saturating_add(1);
        if fewer || now.saturating_duration_since(held.since) >= STAY_MIN { Ok(Some(victim)) } else { Err(Full) }
    }

    /// Who makes room for somebody who has earned more: one of those who have earned least.
    fn below(&self, merit: Merit) -> Option<ConnectionId> {
        let there = self.held.iter().filter(|(_, held)| !held.leaving).map(|(id, held)| (*id, held));
        let least = there.clone().map(|(_, held)| held.counts_as).filter(|other| *other < merit).min()?;
        self.most_crowded(there.filter(|(_, held)| held.counts_as == least), None)
    }

    /// One of those from where most come, a newcomer counted. The older half of them stays: who comes again and again
    /// takes the place of others who have just come.
    fn most_crowded<'a>(
        &self,
        among: impl Iterator<Item = (ConnectionId, &'a Held)>,
        newcomer: Option<Origin>,
    ) -> Option<ConnectionId> {
        let mut among: Vec<_> = among.collect();
        let mut crowd = Crowd::default();
        among.iter().map(|(_, held)| held.origin).chain(newcomer).for_each(|origin| crowd.add(origin));
        for count in [Crowd::wide, Crowd::narrow] {
            let most = among.iter().map(|(_, held)| count(&crowd, held.origin)).max()?;
            among.retain(|(_, held)| count(&crowd, held.origin) == most);
        }
        among.sort_by_key(|(_, held)| held.arrival);
        among.get(among.len() / 2).map(|(id, _)| *id)
    }

    fn crowd(&self) -> Crowd {
        let mut crowd = Crowd::default();
        self.strangers().for_each(|(_, held)| crowd.add(held.origin));
        crowd
    }
}

/// Whether somebody has earned something, but is no member.
fn is_proven(merit: Merit) -> bool {
    matches!(merit, Merit::Invited | Merit::Follower)
}

/// How many come from where.
#[derive(Default)]
struct Crowd {
    narrow: HashMap<Prefix, usize>,
    wide: HashMap<Prefix, usize>,
}

impl Crowd {
    fn add(&mut self, origin: Origin) {
        *self.narrow.entry(origin.narrow).or_default() += 1;
        *self.wide.entry(origin.wide).or_default() += 1;
    }

    fn narrow(&self, origin: Origin) -> usize {
        self.narrow.get(&origin.narrow).copied().unwrap_or_default()
    }

    fn wide(&self, origin: Origin) -> usize {
        self.wide.get(&origin.wide).copied().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Incoming connections, each of a key of its own unless it is said.
    struct Hall {
        places: Places,
        now: Instant,
        came: usize,
        inside: Vec<usize>,
    }

    impl Hall {
        fn new(all: u32) -> Self {
            Self { places: Places::new(all, Merits::default()), now: Instant::now(), came: 0, inside: Vec::new() }
        }

        /// Somebody comes from there; gives its number, and who has gone for it, if it got a place.
        fn comes(&mut self, merit: Merit, ip: &str) -> Result<(usize, Option<usize>), Full> {
            self.came += 1;
            let number = self.came;
            let peer = key(number);
            if merit != Merit::Stranger {
                self.places.set_merit(peer, merit);
            }
            let origin = Origin::of(&format!("/{ip}/tcp/1").parse().unwrap());
            let victim = self.places.arrive(ConnectionId::new_unchecked(number), peer, origin, self.now)?;
            let victim = victim.map(|victim| {
                let gone =
                    self.inside.iter().position(|inside| ConnectionId::new_unchecked(*inside) == victim).unwrap();
                let gone = self.inside.remove(gone);
                self.places.leave(victim);
                gone
            });
            self.inside.push(number);
            Ok((number, victim))
        }

        /// So many come from where it says; gives how many got a place.
        fn come(&mut self, merit: Merit, count: usize, ip: impl Fn(usize) -> String) -> usize {
            (0..count).filter(|number| self.comes(merit, &ip(*number)).is_ok()).count()
        }

        fn later(&mut self) {
            self.now += STAY_MIN;
        }
    }

    fn key(number: usize) -> PeerId {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        PeerId(bytes)
    }

    const ENEMY: &str = "ip4/192.0.2.2";

    /// An address of its own, in a network of its own.
    fn apart(number: usize) -> String {
        format!("ip4/10.{}.{}.1", number / 256, number % 256)
    }

    #[test]
    fn many_keys_of_one_address_hold_an_eighth_of_the_places() {
        for (one, of_its_64, of_its_48) in [
            ("ip4/192.0.2.2", "ip4/192.0.2.2", "ip4/192.0.2."),
            ("ip6/2001:db8:0:1::2", "ip6/2001:db8:0:1::", "ip6/2001:db8:0:"),
        ] {
            let mut hall = Hall::new(128);
            assert_eq!(hall.come(Merit::Stranger, 160, |_| one.into()), 16);
            if one.starts_with("ip6") {
                assert_eq!(hall.come(Merit::Stranger, 160, |number| format!("{of_its_64}{number:x}")), 0, "one /64");
            }
            let around = hall.come(Merit::Stranger, 160, |number| match one.starts_with("ip6") {
                true => format!("{of_its_48}{:x}::1", number + 16),
                false => format!("{of_its_48}{}", number % 200 + 20),
            });
            assert_eq!(hall.inside.len(), 48, "one /24 or /48");
            assert!(around >= 32);
        }
    }

    #[test]
    fn strangers_never_have_all_places_and_members_may() {
        let mut hall = Hall::new(128);
        assert_eq!(hall.come(Merit::Stranger, 200, apart), 96);
        assert_eq!(hall.come(Merit::Member, 32, |_| ENEMY.into()), 32, "limits by address are for strangers");
        assert_eq!(hall.inside.len(), 128);
        for left in (0..96).rev() {
            let (_, gone) = hall.comes(Merit::Member, ENEMY).unwrap();
            assert!(gone.is_some_and(|gone| gone <= 200), "a stranger makes room, {left} are left");
        }
        assert_eq!(hall.comes(Merit::Member, ENEMY), Err(Full), "members make no room for one another");
        assert_eq!(hall.comes(Merit::Stranger, "ip4/198.51.100.1"), Err(Full));
    }

    #[test]
    fn who_fills_public_chains_or_passes_codes_on_leaves_half() {
        for merit in [Merit::Invited, Merit::Follower] {
            let mut hall = Hall::new(128);
            hall.come(merit, 500, apart);
            let proven = hall.places.held.values().filter(|held| held.counts_as == merit).count();
            assert_eq!(proven, 64);
            // What is left is for strangers, who may prove themselves, and for members.
            hall.later();
            assert!(hall.comes(Merit::Stranger, ENEMY).is_ok());
            assert!(hall.comes(Merit::Member, ENEMY).is_ok());
        }
    }

    #[test]
    fn whose_keys_are_free_leave_a_fourth_to_members() {
        for (first, then) in [(Merit::Stranger, Merit::Invited), (Merit::Follower, Merit::Stranger)] {
            let mut hall = Hall::new(128);
            hall.come(first, 500, apart);
            hall.later();
            hall.come(then, 500, |number| apart(1_000 + number));
            assert_eq!(hall.inside.len(), 96, "{first:?}, then {then:?}");
            assert_eq!(hall.come(Merit::Member, 32, |_| ENEMY.into()), 32);
            assert_eq!(hall.inside.len(), 128);
        }
    }

    #[test]
    fn who_has_earned_least_makes_room_first() {
        let mut hall = Hall::new(4);
        for merit in [Merit::Follower, Merit::Stranger, Merit::Member, Merit::Invited] {
            hall.comes(merit, ENEMY).unwrap();
        }
        let gone: Vec<_> = (0..4).map(|_| hall.comes(Merit::Member, ENEMY).map(|(_, gone)| gone)).collect();
        assert_eq!(gone, [Ok(Some(2)), Ok(Some(4)), Ok(Some(1)), Err(Full)]);
    }

    #[test]
    fn a_newcomer_takes_the_place_of_one_from_where_most_come() {
        let mut hall = Hall::new(128);
        hall.come(Merit::Stranger, 90, apart);
        hall.come(Merit::Stranger, 6, |_| ENEMY.into());
        // At once: the six from one address make room for others from elsewhere, until one is left.
        for number in 0..5 {
            let (_, gone) = hall.comes(Merit::Stranger, &apart(1000 + number)).unwrap();
            assert!(gone.is_some_and(|gone| gone > 90), "{gone:?}");
        }
        // Then all are alike, and whoever has been there for a while may have to go, but none of the older half.
        assert_eq!(hall.comes(Merit::Stranger, &apart(2000)), Err(Full));
        hall.later();
        for number in 0..200 {
            if let Ok((_, gone)) = hall.comes(Merit::Stranger, &apart(2001 + number)) {
                assert!(gone.is_some_and(|gone| gone > 48), "the older half stays");
            }
        }
        let stay: Vec<_> = (1..=48).collect();
        assert_eq!(hall.inside[..48], stay);
    }

    #[test]
    fn who_comes_in_has_a_while_to_prove_itself_and_then_counts_no_more() {
        let mut hall = Hall::new(128);
        hall.come(Merit::Stranger, 16, |_| ENEMY.into());
        hall.later();
        let (newcomer, gone) = hall.comes(Merit::Stranger, ENEMY).unwrap();
        assert_eq!(gone, Some(9), "the older half stays");
        assert_eq!(hall.come(Merit::Stranger, 500, |_| ENEMY.into()), 7, "those that have been there for a while");
        assert!(hall.inside.contains(&newcomer));
        hall.places.set_merit(key(newcomer), Merit::Member);
        assert_eq!(hall.come(Merit::Stranger, 1, |_| ENEMY.into()), 1, "one stranger less is there");
        hall.places.set_merit(key(newcomer), Merit::Stranger);
        assert_eq!(hall.places.merit(key(newcomer)), Merit::Stranger);
    }

    #[test]
    fn strangers_that_do_not_go_are_bounded() {
        let mut places = Places::new(128, Merits::default());
        let mut now = Instant::now();
        let mut inside = 0;
        for number in 0..2000 {
            now += STAY_MIN;
            let origin = Origin::of(&format!("/{}/tcp/1", apart(number)).parse().unwrap());
            inside += usize::from(places.arrive(ConnectionId::new_unchecked(number), key(number), origin, now).is_ok());
        }
        assert_eq!(inside, 96 + LEAVING_MAX);
        assert_eq!(places.held.len(), 96 + LEAVING_MAX);
    }
}
