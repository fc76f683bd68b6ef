//! What an engine and whoever runs it say to each other, whichever engine it is.
//!
//! An engine is a state machine with one method, `handle(now, event, out)`. The shell turns sockets, commits and timers
//! into [`Event`]s, and carries out [`Effect`]s in their order. What commands there are, and what they are answered with,
//! is each engine's own: see [`Protocol`].

use std::fmt;

use walytis_core::{Address, Batch, BatchNumber, Dialer, Merit, PeerId, StoreError};

/// Names a question, so that its answer finds back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Ticket(pub u64);

/// What is an engine's own in what it hears and says.
pub trait Protocol {
    /// What applications ask for.
    type Command: Clone + fmt::Debug;
    /// What they are answered with.
    type Answer: fmt::Debug;
    /// Why something could not be done.
    type Error: fmt::Debug;
    /// What timers are for.
    type Timer: Clone + fmt::Debug;
    /// What is handed to those who subscribed.
    type Delivery: fmt::Debug;
}

/// How much room the disk has on which a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DiskSpace {
    /// How many bytes can still be written.
    pub free_bytes: u64,
    /// How many bytes it has in all.
    pub total_bytes: u64,
}

impl DiskSpace {
    /// The least that is kept free for what strangers do not write: far more than is on its way to the disk while it is asked
    /// once. A disk that has less in all takes nothing of strangers.
    pub const FLOOR_BYTES_MIN: u64 = 64 * 1024 * 1024;
    /// The most that is kept free: days of a busy group.
    pub const FLOOR_BYTES_MAX: u64 = 1024 * 1024 * 1024;

    /// How many bytes are kept free: a 16th of the disk, within these bounds.
    #[must_use]
    pub fn floor_bytes(&self) -> u64 {
        (self.total_bytes / 16).clamp(Self::FLOOR_BYTES_MIN, Self::FLOOR_BYTES_MAX)
    }
}

/// What an engine is told.
pub enum Event<P: Protocol> {
    /// The network is there: dial whom we remember.
    Online,
    /// The node accepts connections at this address.
    Listening(Address),
    /// The node no longer accepts connections at this address.
    ListenEnded(Address),
    /// This machine has lost an address, or got one: who could not be reached before may be reached now.
    AddressesChanged,
    /// A peer can be sent frames.
    Connected {
        /// The peer.
        peer: PeerId,
        /// Who opened the connection.
        dialer: Dialer,
        /// The address, if we dialled it.
        address: Option<Address>,
    },
    /// A peer is gone.
    Disconnected(PeerId),
    /// A frame of a peer.
    Frame {
        /// The peer.
        peer: PeerId,
        /// The frame.
        bytes: Vec<u8>,
    },
    /// Dialling an address did not work.
    DialFailed(Address),
    /// Somebody says that a peer is at this address. Nothing is proven by it.
    Discovered(Address),
    /// An application asks for something.
    Command {
        /// Comes back with the answer.
        ticket: Ticket,
        /// What it asks for.
        command: P::Command,
    },
    /// All batches up to this one are durable.
    Committed(BatchNumber),
    /// A batch could not be written.
    CommitFailed(StoreError),
    /// How much room the store's disk has, if [`Effect::AskDiskSpace`] asked for it.
    DiskSpace(DiskSpace),
    /// A timer that was asked for is due.
    Timer(P::Timer),
}

/// What the shell has to do.
pub enum Effect<P: Protocol> {
    /// Make a batch durable, then say so; batches in the order of their numbers.
    Commit {
        /// Its number.
        number: BatchNumber,
        /// Its changes.
        batch: Batch,
    },
    /// Send a frame.
    Send {
        /// To whom.
        peer: PeerId,
        /// The frame.
        frame: Vec<u8>,
    },
    /// End the connections to a peer.
    Disconnect(PeerId),
    /// Dial an address.
    Dial(Address),
    /// Look for addresses of a peer, if the network can.
    Find(PeerId),
    /// Tell the network what a peer has earned, connected or not.
    Merit {
        /// The peer.
        peer: PeerId,
        /// What it has earned.
        merit: Merit,
    },
    /// Give the timer back after so many milliseconds.
    Timer {
        /// How long, measured by a clock that does not jump.
        after_ms: u64,
        /// What to give back.
        timer: P::Timer,
    },
    /// Say how much room the store's disk has, by [`Event::DiskSpace`]; whoever cannot know it says nothing.
    AskDiskSpace,
    /// Answer a command.
    Reply {
        /// Whose.
        ticket: Ticket,
        /// The answer.
        answer: Result<P::Answer, P::Error>,
    },
    /// Hand something to the application that subscribed.
    Delivered {
        /// The ticket of the command by which it subscribed.
        subscription: Ticket,
        /// What arrived.
        delivery: P::Delivery,
    },
    /// A command goes on.
    Progress {
        /// Whose.
        ticket: Ticket,
        /// How far it is.
        progress: Progress,
    },
    /// The store failed, so nothing can be done any more. Opening it anew helps once the cause is gone.
    Stopped(P::Error),
}

/// How far a join is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Progress {
    /// Inviters are being dialled.
    Dialling,
    /// An inviter answered, and is asked for admission.
    Asking,
    /// Blocks are arriving.
    Receiving {
        /// How many are here.
        blocks: u64,
        /// How many the inviter still has.
        left: u64,
    },
}

/// Whom to dial.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// A peer, at the addresses that are remembered.
    Peer(PeerId),
    /// An address that a person gave.
    Address(Address),
}

// By hand, because deriving would ask the marker itself to have the trait.
impl<P: Protocol> Clone for Event<P> {
    fn clone(&self) -> Self {
        match self {
            Self::Online => Self::Online,
            Self::Listening(address) => Self::Listening(address.clone()),
            Self::ListenEnded(address) => Self::ListenEnded(address.clone()),
            Self::AddressesChanged => Self::AddressesChanged,
            Self::Connected { peer, dialer, address } => {
                Self::Connected { peer: *peer, dialer: *dialer, address: address.clone() }
            }
            Self::Disconnected(peer) => Self::Disconnected(*peer),
            Self::Frame { peer, bytes } => Self::Frame { peer: *peer, bytes: bytes.clone() },
            Self::DialFailed(address) => Self::DialFailed(address.clone()),
            Self::Discovered(address) => Self::Discovered(address.clone()),
            Self::Command { ticket, command } => Self::Command { ticket: *ticket, command: command.clone() },
            Self::Committed(number) => Self::Committed(*number),
            Self::CommitFailed(error) => Self::CommitFailed(error.clone()),
            Self::DiskSpace(space) => Self::DiskSpace(*space),
            Self::Timer(timer) => Self::Timer(timer.clone()),
        }
    }
}

impl<P: Protocol> fmt::Debug for Event<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Online => f.write_str("Online"),
            Self::Listening(address) => f.debug_tuple("Listening").field(address).finish(),
            Self::ListenEnded(address) => f.debug_tuple("ListenEnded").field(address).finish(),
            Self::AddressesChanged => f.write_str("AddressesChanged"),
            Self::Connected { peer, dialer, address } => f
                .debug_struct("Connected")
                .field("peer", peer)
                .field("dialer", dialer)
                .field("address", address)
                .finish(),
            Self::Disconnected(peer) => f.debug_tuple("Disconnected").field(peer).finish(),
            Self::Frame { peer, bytes } => {
                f.debug_struct("Frame").field("peer", peer).field("bytes", &bytes.len()).finish()
            }
            Self::DialFailed(address) => f.debug_tuple("DialFailed").field(address).finish(),
            Self::Discovered(address) => f.debug_tuple("Discovered").field(address).finish(),
            Self::Command { ticket, command } => {
                f.debug_struct("Command").field("ticket", ticket).field("command", command).finish()
            }
            Self::Committed(number) => f.debug_tuple("Committed").field(number).finish(),
            Self::CommitFailed(error) => f.debug_tuple("CommitFailed").field(error).finish(),
            Self::DiskSpace(space) => f.debug_tuple("DiskSpace").field(space).finish(),
            Self::Timer(timer) => f.debug_tuple("Timer").field(timer).finish(),
        }
    }
}

impl<P: Protocol> fmt::Debug for Effect<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Commit { number, batch } => {
                f.debug_struct("Commit").field("number", number).field("batch", batch).finish()
            }
            Self::Send { peer, frame } => {
                f.debug_struct("Send").field("peer", peer).field("bytes", &frame.len()).finish()
            }
            Self::Disconnect(peer) => f.debug_tuple("Disconnect").field(peer).finish(),
            Self::Dial(address) => f.debug_tuple("Dial").field(address).finish(),
            Self::Find(peer) => f.debug_tuple("Find").field(peer).finish(),
            Self::Merit { peer, merit } => f.debug_struct("Merit").field("peer", peer).field("merit", merit).finish(),
            Self::Timer { after_ms, timer } => {
                f.debug_struct("Timer").field("after_ms", after_ms).field("timer", timer).finish()
            }
            Self::AskDiskSpace => f.write_str("AskDiskSpace"),
            Self::Reply { ticket, answer } => {
                f.debug_struct("Reply").field("ticket", ticket).field("answer", answer).finish()
            }
            Self::Delivered { subscription, delivery } => {
                f.debug_struct("Delivered").field("subscription", subscription).field("delivery", delivery).finish()
            }
            Self::Progress { ticket, progress } => {
                f.debug_struct("Progress").field("ticket", ticket).field("progress", progress).finish()
            }
            Self::Stopped(error) => f.debug_tuple("Stopped").field(error).finish(),
        }
    }
}
