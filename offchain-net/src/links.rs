//! Which connection to a peer carries the frames: a pure state machine, one [`Link`] for each peer.
//!
//! Two nodes may have several connections to each other, over TCP and QUIC, dialled by both at once. Exactly one of
//! them carries one bidirectional stream, and **only the peer with the smaller key opens streams**. So both sides
//! cannot open at once, and nothing has to be agreed on: the opener takes its first connection, the other takes what
//! is opened, and a newer stream replaces an older one, since the opener never has two. The connections that carry no
//! stream end after a while.

use std::collections::BTreeMap;

use libp2p::swarm::ConnectionId;
use walytis_core::{Address, PeerId};

/// Who opened a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Opener {
    Us,
    Peer,
}

/// What has to be done next, in this order.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Action<S> {
    /// Open a frame stream on this connection.
    Open(ConnectionId),
    /// Start a session on this connection's stream. The address is the one that we dialled, if we did.
    Start { connection: ConnectionId, stream: S, dialled: Option<Address> },
    /// Stop the session; [`Link::session_ended`] is to follow.
    Stop,
    /// Close this connection.
    Close(ConnectionId),
    /// Tell the caller that what it dialled came to nothing.
    DialFailed(Address),
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// We stopped it.
    Stopped,
    /// The stream ended or broke.
    Lost,
    /// The peer broke the framing, or stopped reading or writing halfway.
    Misbehaved,
}

#[derive(Debug)]
struct Connection {
    dialled: Option<Address>,
    /// The caller dialled this and has not heard of the outcome.
    unanswered: bool,
    closing: bool,
    /// It leads through a relay: a direct one is better.
    relayed: bool,
    /// The peer opened it for something else, and takes no frames on it.
    mute: bool,
}

impl Connection {
    const fn takes_frames(&self) -> bool {
        !self.closing && !self.mute
    }
}

/// Everything about one peer.
#[derive(Debug)]
pub(crate) struct Link<S> {
    opener: Opener,
    connections: BTreeMap<ConnectionId, Connection>,
    opening: Option<ConnectionId>,
    /// The stream that is being opened takes longer than it should: its connection may be dead, unnoticed.
    overdue: bool,
    /// The connection of the session that runs. It may be gone already, until the session has noticed.
    session: Option<ConnectionId>,
    stopping: bool,
    /// A stream that waits for the session before it to end.
    next: Option<(ConnectionId, S)>,
}

impl<S> Link<S> {
    pub(crate) fn new(us: PeerId, peer: PeerId) -> Self {
        let opener = if us < peer { Opener::Us } else { Opener::Peer };
        Self {
            opener,
            connections: BTreeMap::new(),
            opening: None,
            overdue: false,
            session: None,
            stopping: false,
            next: None,
        }
    }

    /// Nothing is left to remember.
    pub(crate) fn is_empty(&self) -> bool {
        self.connections.is_empty() && self.session.is_none()
    }

    /// Frames can be sent, as far as we know.
    pub(crate) fn is_connected(&self) -> bool {
        self.session.is_some_and(|connection| self.is_open(connection)) && !self.stopping
    }

    /// The connection that carries the frames.
    pub(crate) fn carrying(&self) -> Option<ConnectionId> {
        self.session.filter(|_| self.is_connected())
    }

    /// A connection was established; with the address, if we dialled it.
    pub(crate) fn established(
        &mut self,
        connection: ConnectionId,
        dialled: Option<Address>,
        relayed: bool,
    ) -> Vec<Action<S>> {
        let unanswered = dialled.is_some() && !self.is_connected();
        let entry = Connection { dialled, unanswered, closing: false, relayed, mute: false };
        self.connections.insert(connection, entry);
        self.replace_overdue()
    }

    /// A connection is gone.
    pub(crate) fn closed(&mut self, connection: ConnectionId) -> Vec<Action<S>> {
        let mut actions = Vec::new();
        if let Some(Connection { dialled: Some(address), unanswered: true, .. }) = self.connections.remove(&connection)
        {
            actions.push(Action::DialFailed(address));
        }
        self.opening.take_if(|opening| *opening == connection);
        self.next.take_if(|(next, _)| *next == connection);
        actions.extend(self.open_if_needed());
        actions
    }

    /// A frame stream is open on a connection.
    pub(crate) fn opened(&mut self, connection: ConnectionId, opener: Opener, stream: S) -> Vec<Action<S>> {
        if opener == Opener::Us {
            self.opening.take_if(|opening| *opening == connection);
        }
        if (opener != self.opener && !walytis_core::mutant!(AnyoneOpens)) || !self.is_open(connection) {
            return Vec::new(); // Dropping the stream resets it.
        }
        if self.session.is_none() {
            return self.start(connection, stream);
        }
        self.next = Some((connection, stream));
        self.stop().into_iter().collect()
    }

    /// The stream that we asked for cannot be opened.
    pub(crate) fn open_failed(&mut self, connection: ConnectionId) -> Vec<Action<S>> {
        self.opening.take_if(|opening| *opening == connection);
        self.close(connection).into_iter().chain(self.open_if_needed()).collect()
    }

    /// The peer takes no frames on this connection. If it opened it, it did so for something else; if we did, there is
    /// nothing for which we would keep it.
    pub(crate) fn unsupported(&mut self, connection: ConnectionId) -> Vec<Action<S>> {
        match self.connections.get_mut(&connection).filter(|entry| entry.dialled.is_none()) {
            Some(entry) => {
                entry.mute = true;
                self.opening.take_if(|opening| *opening == connection);
                self.open_if_needed().into_iter().collect()
            }
            None => self.open_failed(connection),
        }
    }

    /// A stream was asked for on this connection a while ago.
    pub(crate) fn overdue(&mut self, connection: ConnectionId) -> Vec<Action<S>> {
        self.overdue |= self.opening == Some(connection);
        self.replace_overdue()
    }

    /// The session that was started last is over.
    pub(crate) fn session_ended(&mut self, ended: Ended) -> Vec<Action<S>> {
        let connection = self.session.take();
        self.stopping = false;
        if ended == Ended::Misbehaved {
            return self.close_all();
        }
        if let Some((connection, stream)) = self.next.take() {
            return self.start(connection, stream);
        }
        // A connection that lost its stream without closing is of no more use.
        let close = connection.and_then(|connection| self.close(connection));
        close.into_iter().chain(self.open_if_needed()).collect()
    }

    /// The peer does not answer on a connection. Its session is over now: closing a dead connection may take long.
    pub(crate) fn unanswered(&mut self, connection: ConnectionId) -> Vec<Action<S>> {
        self.next.take_if(|(next, _)| *next == connection);
        let stop = if self.session == Some(connection) { self.stop() } else { None };
        stop.into_iter().chain(self.close(connection)).chain(self.open_if_needed()).collect()
    }

    /// A connection has had its time to get a stream.
    pub(crate) fn expired(&mut self, connection: ConnectionId) -> Vec<Action<S>> {
        let carries = self.session == Some(connection) || self.next.as_ref().is_some_and(|next| next.0 == connection);
        if carries { Vec::new() } else { self.close(connection).into_iter().collect() }
    }

    /// The caller wants to be rid of the peer.
    pub(crate) fn close_all(&mut self) -> Vec<Action<S>> {
        self.next = None;
        let connections: Vec<_> = self.connections.keys().copied().collect();
        let mut actions: Vec<_> = self.stop().into_iter().collect();
        actions.extend(connections.into_iter().filter_map(|connection| self.close(connection)));
        actions
    }

    fn start(&mut self, connection: ConnectionId, stream: S) -> Vec<Action<S>> {
        self.session = Some(connection);
        for other in self.connections.values_mut() {
            other.unanswered = false;
        }
        let dialled = self.connections.get(&connection).and_then(|connection| connection.dialled.clone());
        let mut actions = vec![Action::Start { connection, stream, dialled }];
        if !self.is_relayed(connection) {
            // What passes the relay costs its owner.
            let relayed = self.connections.iter().filter(|(_, entry)| entry.relayed).map(|(other, _)| *other);
            let relayed: Vec<_> = relayed.collect();
            actions.extend(relayed.into_iter().filter_map(|other| self.close(other)));
        }
        actions
    }

    fn is_relayed(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|entry| entry.relayed)
    }

    fn stop(&mut self) -> Option<Action<S>> {
        let first = self.session.is_some() && !self.stopping;
        self.stopping |= first;
        first.then_some(Action::Stop)
    }

    fn close(&mut self, connection: ConnectionId) -> Option<Action<S>> {
        let entry = self.connections.get_mut(&connection).filter(|entry| !entry.closing)?;
        entry.closing = true;
        self.opening.take_if(|opening| *opening == connection);
        Some(Action::Close(connection))
    }

    /// Gives up a connection whose stream is overdue, if there is another; then opens a stream, if one is needed.
    fn replace_overdue(&mut self) -> Vec<Action<S>> {
        let late = self.opening.filter(|_| self.overdue);
        let other = self.connections.iter().any(|(other, entry)| Some(*other) != late && entry.takes_frames());
        let close = late.filter(|_| other).and_then(|late| self.close(late));
        close.into_iter().chain(self.open_if_needed()).collect()
    }

    /// If it is ours to open a stream, and none is there or under way, opens one on the first connection; on a direct one,
    /// if there is one, even if a relayed one carries frames.
    fn open_if_needed(&mut self) -> Option<Action<S>> {
        if self.opener == Opener::Peer || self.opening.is_some() || self.next.is_some() {
            return None;
        }
        let carrier = self.session.filter(|connection| self.is_open(*connection));
        let usable = self.connections.iter().filter(|(_, entry)| entry.takes_frames());
        let (first, entry) = usable.min_by_key(|(id, entry)| (entry.relayed, **id))?;
        if carrier.is_some_and(|carrier| entry.relayed || !self.is_relayed(carrier)) {
            return None;
        }
        self.opening = Some(*first);
        self.overdue = false;
        self.opening.map(Action::Open)
    }

    fn is_open(&self, connection: ConnectionId) -> bool {
        self.connections.get(&connection).is_some_and(|entry| !entry.closing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Action::{Close, DialFailed, Open, Start, Stop};

    const LOW: PeerId = PeerId([1; 32]);
    const HIGH: PeerId = PeerId([2; 32]);

    enum Event {
        Established(usize, Option<&'static str>),
        Relayed(usize, Option<&'static str>),
        Unsupported(usize),
        Closed(usize),
        Opened(usize, Opener, u32),
        OpenFailed(usize),
        Ended(Ended),
        Expired(usize),
        Overdue(usize),
        Unanswered(usize),
        CloseAll,
    }

    fn id(number: usize) -> ConnectionId {
        ConnectionId::new_unchecked(number)
    }

    fn address(text: &str) -> Address {
        Address::new(text).unwrap()
    }

    fn start(connection: usize, stream: u32, dialled: Option<&str>) -> Action<u32> {
        Start { connection: id(connection), stream, dialled: dialled.map(address) }
    }

    fn check(us: PeerId, peer: PeerId, steps: Vec<(Event, Vec<Action<u32>>)>) {
        let mut link = Link::new(us, peer);
        for (number, (event, expected)) in steps.into_iter().enumerate() {
            let actions = match event {
                Event::Established(connection, dialled) => {
                    link.established(id(connection), dialled.map(address), false)
                }
                Event::Relayed(connection, dialled) => link.established(id(connection), dialled.map(address), true),
                Event::Unsupported(connection) => link.unsupported(id(connection)),
                Event::Closed(connection) => link.closed(id(connection)),
                Event::Opened(connection, opener, stream) => link.opened(id(connection), opener, stream),
                Event::OpenFailed(connection) => link.open_failed(id(connection)),
                Event::Ended(ended) => link.session_ended(ended),
                Event::Expired(connection) => link.expired(id(connection)),
                Event::Overdue(connection) => link.overdue(id(connection)),
                Event::Unanswered(connection) => link.unanswered(id(connection)),
                Event::CloseAll => link.close_all(),
            };
            assert_eq!(actions, expected, "step {number}");
        }
    }

    #[test]
    fn the_smaller_key_opens_one_stream_on_its_first_connection() {
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(4, Some("/a")), vec![Open(id(4))]),
                (Event::Established(5, None), vec![]),
                (Event::Opened(5, Opener::Peer, 9), vec![]),
                (Event::Opened(4, Opener::Us, 1), vec![start(4, 1, Some("/a"))]),
                (Event::Expired(4), vec![]),
                (Event::Expired(5), vec![Close(id(5))]),
                (Event::Closed(5), vec![]),
            ],
        );
    }

    #[test]
    fn a_connection_on_which_no_stream_opens_makes_room_for_another() {
        // One that is there already, and one that comes later.
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(4, None), vec![Open(id(4))]),
                (Event::Established(5, None), vec![]),
                (Event::Overdue(4), vec![Close(id(4)), Open(id(5))]),
                (Event::Opened(4, Opener::Us, 1), vec![]),
                (Event::Overdue(5), vec![]),
                (Event::Closed(4), vec![]),
                (Event::Established(6, None), vec![Close(id(5)), Open(id(6))]),
                (Event::Established(7, None), vec![]),
                (Event::Opened(6, Opener::Us, 2), vec![start(6, 2, None)]),
                (Event::Overdue(6), vec![]),
            ],
        );
    }

    #[test]
    fn the_larger_key_takes_what_is_opened_and_the_newest_wins() {
        check(
            HIGH,
            LOW,
            vec![
                (Event::Established(1, None), vec![]),
                (Event::Established(2, Some("/b")), vec![]),
                (Event::Opened(1, Opener::Peer, 1), vec![start(1, 1, None)]),
                (Event::Opened(2, Opener::Peer, 2), vec![Stop]),
                (Event::Opened(2, Opener::Peer, 3), vec![]),
                (Event::Ended(Ended::Stopped), vec![start(2, 3, Some("/b"))]),
                (Event::Closed(2), vec![]),
                (Event::Ended(Ended::Lost), vec![]),
            ],
        );
    }

    #[test]
    fn frames_move_to_another_connection_when_theirs_is_lost() {
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(1, None), vec![Open(id(1))]),
                (Event::Established(2, None), vec![]),
                (Event::Opened(1, Opener::Us, 1), vec![start(1, 1, None)]),
                (Event::Closed(1), vec![Open(id(2))]),
                (Event::Opened(2, Opener::Us, 2), vec![Stop]),
                (Event::Ended(Ended::Lost), vec![start(2, 2, None)]),
                (Event::Ended(Ended::Lost), vec![Close(id(2))]),
            ],
        );
    }

    #[test]
    fn a_connection_on_which_the_peer_does_not_answer_ends_at_once() {
        // The only one; one beside another; and one that carries nothing.
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(1, None), vec![Open(id(1))]),
                (Event::Opened(1, Opener::Us, 1), vec![start(1, 1, None)]),
                (Event::Unanswered(1), vec![Stop, Close(id(1))]),
                (Event::Ended(Ended::Stopped), vec![]),
                (Event::Established(2, Some("/a")), vec![Open(id(2))]),
                (Event::Opened(2, Opener::Us, 2), vec![start(2, 2, Some("/a"))]),
                (Event::Established(3, None), vec![]),
                (Event::Unanswered(2), vec![Stop, Close(id(2)), Open(id(3))]),
                (Event::Opened(3, Opener::Us, 3), vec![]),
                (Event::Ended(Ended::Stopped), vec![start(3, 3, None)]),
                (Event::Established(4, None), vec![]),
                (Event::Unanswered(4), vec![Close(id(4))]),
                (Event::Closed(1), vec![]),
            ],
        );
    }

    #[test]
    fn a_dial_that_leads_to_no_session_has_failed() {
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(1, Some("/a")), vec![Open(id(1))]),
                (Event::OpenFailed(1), vec![Close(id(1))]),
                (Event::Closed(1), vec![DialFailed(address("/a"))]),
            ],
        );
        check(
            HIGH,
            LOW,
            vec![
                (Event::Established(1, Some("/a")), vec![]),
                (Event::Expired(1), vec![Close(id(1))]),
                (Event::Expired(1), vec![]),
                (Event::Opened(1, Opener::Peer, 1), vec![]),
                (Event::Closed(1), vec![DialFailed(address("/a"))]),
            ],
        );
    }

    #[test]
    fn a_peer_that_misbehaves_or_is_unwanted_loses_every_connection() {
        check(
            HIGH,
            LOW,
            vec![
                (Event::Established(1, None), vec![]),
                (Event::Established(2, None), vec![]),
                (Event::Opened(1, Opener::Peer, 1), vec![start(1, 1, None)]),
                (Event::Opened(2, Opener::Peer, 2), vec![Stop]),
                (Event::CloseAll, vec![Close(id(1)), Close(id(2))]),
                (Event::Established(3, None), vec![]),
                (Event::Opened(3, Opener::Peer, 3), vec![]),
                (Event::Ended(Ended::Stopped), vec![start(3, 3, None)]),
                (Event::Ended(Ended::Misbehaved), vec![Close(id(3))]),
            ],
        );
    }

    #[test]
    fn frames_move_from_a_relay_to_a_direct_connection_and_not_back() {
        check(
            LOW,
            HIGH,
            vec![
                (Event::Relayed(1, Some("/r")), vec![Open(id(1))]),
                (Event::Opened(1, Opener::Us, 1), vec![start(1, 1, Some("/r"))]),
                (Event::Established(2, None), vec![Open(id(2))]),
                (Event::Opened(2, Opener::Us, 2), vec![Stop]),
                (Event::Ended(Ended::Stopped), vec![start(2, 2, None), Close(id(1))]),
                (Event::Closed(1), vec![]),
                (Event::Relayed(3, None), vec![]),
            ],
        );
        check(
            HIGH,
            LOW,
            vec![
                (Event::Relayed(1, None), vec![]),
                (Event::Opened(1, Opener::Peer, 1), vec![start(1, 1, None)]),
                (Event::Established(2, None), vec![]),
                (Event::Opened(2, Opener::Peer, 2), vec![Stop]),
                (Event::Ended(Ended::Lost), vec![start(2, 2, None), Close(id(1))]),
            ],
        );
    }

    #[test]
    fn a_connection_that_the_peer_opened_for_something_else_is_let_be() {
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(1, None), vec![Open(id(1))]),
                (Event::Unsupported(1), vec![]),
                (Event::Established(2, None), vec![Open(id(2))]),
                (Event::Opened(2, Opener::Us, 2), vec![start(2, 2, None)]),
                (Event::Expired(1), vec![Close(id(1))]),
                (Event::Established(3, Some("/a")), vec![]),
            ],
        );
        check(
            LOW,
            HIGH,
            vec![
                (Event::Established(1, Some("/a")), vec![Open(id(1))]),
                (Event::Unsupported(1), vec![Close(id(1))]),
                (Event::Closed(1), vec![DialFailed(address("/a"))]),
            ],
        );
    }
}
