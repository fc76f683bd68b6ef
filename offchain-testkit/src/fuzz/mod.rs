//! A harness for each decoder that reads what a peer, a person or a disk gives: a plain function over bytes.
//!
//! `tests/malformed.rs` gives each of them tens of thousands of malformed inputs in every run of the gate, and replays the
//! corpus in `fuzz/corpus`; `cargo fuzz` merely gives them more (`fuzz/README.md` says how). Each asserts that nothing panics and that what is accepted encodes to exactly the bytes
//! that came in (B1), and that no more memory was held meanwhile than the bytes pay for: [`HELD_TIMES`] times as many, and
//! [`HELD_BESIDE_BYTES`]. That needs a process that counts, whose allocator is `peak_alloc::PeakAlloc`, as those of
//! `tests/decoding_memory.rs` and of `cargo fuzz` are.

mod comparison;
mod corpus;
mod damage;
mod fixture;

use std::sync::{Arc, OnceLock};

use peak_alloc::PeakAlloc;
use walytis_core::{Header, ParsedBlock, Timestamp, codec};
use walytis_engine::public::{ArchiveReader, Archived, ChainCode, ChainCommand, PublicMessage, archived};
use walytis_engine::sync::WireBlock;
use walytis_identities::session::{Initiator, LocalDevice, OPERATIONS_BYTES_MAX, Responder, SessionError};
use walytis_identities::{GivenWrap, InvitationCode, Operation, Wraps};
use walytis_offchain::{Attachment, Command, Engine, Event, Message, OpenContent, PrivateBody, Ticket};

pub use comparison::{compare, differ};
pub use corpus::corpus;
pub use damage::Damager;
use fixture::Fixture;

use crate::MemoryStore;

/// What a decoder said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The bytes are an encoding.
    Accepted,
    /// They are not.
    Refused,
}

impl Verdict {
    fn of<T, E>(result: &Result<T, E>) -> Self {
        if result.is_ok() { Self::Accepted } else { Self::Refused }
    }
}

/// A decoder, with what is asserted of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, which is the fuzz target's too.
    pub name: &'static str,
    /// Decodes, and panics if something about it does not hold.
    pub run: fn(&[u8]) -> Verdict,
}

/// All of them.
pub const TARGETS: &[Target] = &[
    Target { name: "header", run: header },
    Target { name: "block", run: block },
    Target { name: "operation", run: operation },
    Target { name: "private_body", run: private_body },
    Target { name: "message", run: message },
    Target { name: "attachment", run: attachment },
    Target { name: "open_content", run: open_content },
    Target { name: "sealed_content", run: sealed_content },
    Target { name: "wraps", run: wraps },
    Target { name: "given_wrap", run: given_wrap },
    Target { name: "invitation_code", run: invitation_code },
    Target { name: "first_flight", run: first_flight },
    Target { name: "second_flight", run: second_flight },
    Target { name: "stored_row", run: stored_row },
    Target { name: "public_message", run: public_message },
    Target { name: "chain_code", run: chain_code },
    Target { name: "archive", run: archive },
    Target { name: "compare", run: compare },
    Target { name: "differ", run: differ },
];

/// How many times the bytes of an input its decoder may hold, the result included.
pub const HELD_TIMES: usize = 4;
/// What a decoder may hold beside that, however short the input is, in bytes.
pub const HELD_BESIDE_BYTES: usize = 4096;

/// Decodes, and gives the most bytes that were held meanwhile, beside those that were held before: 0 where nobody counts.
pub fn held<T>(decode: impl FnOnce() -> T) -> (T, usize) {
    let before = PeakAlloc.current_usage();
    PeakAlloc.reset_peak_usage();
    let decoded = decode();
    (decoded, PeakAlloc.peak_usage().saturating_sub(before))
}

/// Decodes, and asserts that no more was held meanwhile than these bytes pay for.
fn paid<T>(bytes: &[u8], decode: impl FnOnce() -> T) -> T {
    let (decoded, held) = held(decode);
    assert_paid(bytes, held);
    decoded
}

fn assert_paid(bytes: &[u8], held: usize) {
    let allowed = bytes.len().saturating_mul(HELD_TIMES).saturating_add(HELD_BESIDE_BYTES);
    assert!(held <= allowed, "{} bytes had {held} held, of {allowed}", bytes.len());
}

/// Decodes, and asserts that what is accepted encodes to itself.
fn same_again<T, E>(bytes: &[u8], decoded: &Result<T, E>, encode: impl FnOnce(&T) -> Vec<u8>) -> Verdict {
    if let Ok(value) = decoded {
        assert!(encode(value) == bytes, "accepted bytes encode to themselves");
    }
    Verdict::of(decoded)
}

/// A block's header.
///
/// # Panics
/// If it is accepted, and encodes otherwise.
#[must_use]
pub fn header(bytes: &[u8]) -> Verdict {
    same_again(bytes, &paid(bytes, || Header::decode(bytes)), Header::encode)
}

/// A whole block as it travels: parsed, with its signature verified if it parses.
///
/// # Panics
/// If parsing changes it.
#[must_use]
pub fn block(bytes: &[u8]) -> Verdict {
    let decoded = paid(bytes, || codec::decode::<WireBlock>(bytes));
    let parsed = paid(bytes, || Some(ParsedBlock::parse(codec::decode::<WireBlock>(bytes).ok()?.block)));
    let (Ok(wire), Some(Ok(parsed))) = (decoded, parsed) else { return Verdict::Refused };
    assert!(*parsed.raw() == wire.block && parsed.header().encode() == wire.block.header, "parsing changes nothing");
    // Whether the signature holds is another matter; verifying it is total.
    let _ = parsed.verify(None);
    Verdict::Accepted
}

/// An operation of an identity.
///
/// # Panics
/// If it is accepted, and encodes otherwise.
#[must_use]
pub fn operation(bytes: &[u8]) -> Verdict {
    same_again(bytes, &paid(bytes, || Operation::decode(bytes)), Operation::encode)
}

/// What a private block says of its content.
///
/// # Panics
/// If it is accepted, and encodes otherwise.
#[must_use]
pub fn private_body(bytes: &[u8]) -> Verdict {
    same_again(bytes, &paid(bytes, || PrivateBody::decode(bytes)), PrivateBody::encode)
}

/// A message between two devices, all of catching up and joining included.
///
/// # Panics
/// If it is accepted, and encodes otherwise.
#[must_use]
pub fn message(bytes: &[u8]) -> Verdict {
    same_again(bytes, &paid(bytes, || Message::decode(bytes)), Message::encode)
}

/// A message about public chains, as its frame has it behind the kind.
///
/// # Panics
/// If it is accepted, and encodes otherwise.
#[must_use]
pub fn public_message(bytes: &[u8]) -> Verdict {
    let walked = paid(bytes, || PublicMessage::walk(bytes));
    let decoded = PublicMessage::decode(bytes);
    assert!(walked.map(|_| ()) == decoded.as_ref().map(|_| ()).map_err(Clone::clone), "both read the same");
    same_again(bytes, &decoded, |message: &PublicMessage| message.frame().split_off(1))
}

/// The code of an invitation to a public chain, as a person pastes it.
///
/// # Panics
/// If a code that is accepted has a text that means something else.
#[must_use]
pub fn chain_code(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let code = paid(bytes, || text.parse::<ChainCode>());
    if let Ok(code) = &code {
        assert!(code.to_text() == text.trim().to_ascii_lowercase(), "a code has one text, in either case");
        assert!(code.to_text().parse().as_ref() == Ok(code), "its text means the same");
    }
    Verdict::of(&code)
}

/// A file of exported blocks, read in pieces, and what its blocks are by themselves.
///
/// # Panics
/// If other bytes than those that were read make the same file, or if it is read otherwise in other pieces.
#[must_use]
pub fn archive(bytes: &[u8]) -> Verdict {
    let read = |piece: usize| {
        let (mut reader, mut parts) = (ArchiveReader::new(), Vec::new());
        for piece in bytes.chunks(piece) {
            reader.push(piece);
            while let Some(part) = reader.next_part()? {
                parts.push(part);
            }
        }
        reader.finish().map(|_| parts)
    };
    paid(bytes, || {
        let mut reader = ArchiveReader::new();
        bytes.chunks(4096).all(|piece| {
            reader.push(piece);
            while matches!(reader.next_part(), Ok(Some(_))) {}
            reader.next_part().is_ok()
        })
    });
    let parts = read(4096);
    assert!(parts == read(7), "pieces are no matter");
    let Ok(parts) = parts else { return Verdict::Refused };
    let again = parts.iter().flat_map(|part| match part {
        Archived::Head(head) => head.encode().to_vec(),
        Archived::Block(block) => archived(block),
    });
    assert!(again.eq(bytes.iter().copied()), "accepted bytes encode to themselves");
    let blocks = parts.into_iter().filter_map(|part| match part {
        Archived::Block(block) => Some(ParsedBlock::parse(block)),
        Archived::Head(_) => None,
    });
    let mut verdict = Verdict::Accepted;
    for block in blocks {
        verdict = if block.and_then(|block| block.verify(None)).is_ok() { verdict } else { Verdict::Refused };
    }
    verdict
}

/// What travels beside a block.
///
/// # Panics
/// If it is accepted, and encodes otherwise.
#[must_use]
pub fn attachment(bytes: &[u8]) -> Verdict {
    same_again(bytes, &paid(bytes, || Attachment::decode(bytes)), Attachment::encode)
}

/// Content in the clear, which must be what its block commits to.
///
/// # Panics
/// If other bytes are accepted than those that the block commits to.
#[must_use]
pub fn open_content(bytes: &[u8]) -> Verdict {
    let fixture = Fixture::shared();
    let decoded = paid(bytes, || OpenContent::decode(bytes, &fixture.body));
    assert!(decoded.is_err() || bytes == fixture.open, "a block commits to one content");
    same_again(bytes, &decoded, OpenContent::encode)
}

/// Content as it is sealed under its epoch.
///
/// # Panics
/// If it opens to anything but what was sealed.
#[must_use]
pub fn sealed_content(bytes: &[u8]) -> Verdict {
    let fixture = Fixture::shared();
    let opened = paid(bytes, || OpenContent::open(bytes, &fixture.epoch_key, &fixture.place, &fixture.body));
    if let Ok(content) = &opened {
        assert!(content.encode() == fixture.open, "what opens is what was sealed");
    }
    Verdict::of(&opened)
}

/// The wraps of an epoch.
///
/// # Panics
/// If other bytes are accepted than those whose root the epoch's operation names.
#[must_use]
pub fn wraps(bytes: &[u8]) -> Verdict {
    let fixture = Fixture::shared();
    let decoded = paid(bytes, || Wraps::decode(bytes, &fixture.wraps_root, &fixture.leaves));
    assert!(decoded.is_err() || bytes == fixture.wraps, "a root names one list of wraps");
    same_again(bytes, &decoded, Wraps::encode)
}

/// One device's wrap, as a member gives it.
///
/// # Panics
/// If a wrap is read that is not written again as it was.
#[must_use]
pub fn given_wrap(bytes: &[u8]) -> Verdict {
    let decoded = paid(bytes, || GivenWrap::decode(bytes));
    same_again(bytes, &decoded, GivenWrap::encode)
}

/// An invitation code, as a person pastes it.
///
/// # Panics
/// If a code that is accepted has a text that means something else.
#[must_use]
pub fn invitation_code(bytes: &[u8]) -> Verdict {
    let Ok(text) = std::str::from_utf8(bytes) else { return Verdict::Refused };
    let code = paid(bytes, || text.parse::<InvitationCode>());
    if let Ok(code) = &code {
        assert!(code.to_text() == text.trim().to_ascii_lowercase(), "a code has one text, in either case");
        assert!(code.to_text().parse().as_ref() == Ok(code), "its text means the same");
    }
    Verdict::of(&code)
}

/// What a stranger's first frame is, as a node reads it that knows no such device and has every invitation open.
///
/// # Panics
/// If more is held than the bytes pay for, beside what it takes to answer an honest one.
#[must_use]
pub fn first_flight(bytes: &[u8]) -> Verdict {
    static HONEST: OnceLock<usize> = OnceLock::new();
    let fixture = Fixture::shared();
    let answer = |bytes: &[u8]| {
        let me = LocalDevice { secret: &fixture.device, peer: fixture.peer };
        held(|| Responder::answer(me, fixture.other_peer, bytes, &fixture::Inviting, &mut fixture.generator()))
    };
    let honest = *HONEST.get_or_init(|| fixture.first_flights.iter().map(|flight| answer(flight).1).max().unwrap_or(0));
    let (answered, held) = answer(bytes);
    assert_paid(bytes, held.saturating_sub(honest));
    // Who looks for the device has read the flight.
    let is_read = matches!(answered, Ok(_) | Err(SessionError::UnknownDevice { .. }));
    if is_read { Verdict::Accepted } else { Verdict::Refused }
}

/// The answer to a first flight, as its sender reads it.
///
/// # Panics
/// If an answer is accepted that the responder did not give, or if more is held than the bytes pay for, beside what it
/// takes to go on with an honest one.
#[must_use]
pub fn second_flight(bytes: &[u8]) -> Verdict {
    static HONEST: OnceLock<usize> = OnceLock::new();
    let fixture = Fixture::shared();
    let me = LocalDevice { secret: &fixture.other_device, peer: fixture.other_peer };
    let their_key = fixture.device.public().clone();
    let begun = Initiator::member(me, fixture.peer, their_key, Vec::new(), &mut fixture.generator());
    let Ok((initiator, _)) = begun else { unreachable!("no operations are fewer than {OPERATIONS_BYTES_MAX}") };
    let receive = |bytes: &[u8]| held(|| initiator.receive(fixture.peer, bytes));
    let honest = *HONEST.get_or_init(|| receive(&fixture.second_flight).1);
    let (ready, held) = receive(bytes);
    assert_paid(bytes, held.saturating_sub(honest));
    assert!(ready.is_err() || bytes == fixture.second_flight, "a session is with who answered");
    Verdict::of(&ready)
}

/// A row of a store, as an engine reads it when it opens the store and lists what is there. The first byte says which row
/// is replaced, the others are the new value.
#[must_use]
pub fn stored_row(bytes: &[u8]) -> Verdict {
    let fixture = Fixture::shared();
    let Some((row, value)) = bytes.split_first() else { return Verdict::Refused };
    static SOUND: OnceLock<usize> = OnceLock::new();
    let sound = *SOUND.get_or_init(|| held(|| open_and_list(fixture.sound_store())).1);
    let store = fixture.store_with(usize::from(*row), value);
    let (verdict, held) = held(|| open_and_list(store));
    // What opening takes with sound rows is no matter of these bytes.
    assert_paid(bytes, held.saturating_sub(sound));
    verdict
}

/// Opens a store, and lists what is there.
fn open_and_list(store: MemoryStore) -> Verdict {
    let fixture = Fixture::shared();
    let store = Arc::new(store);
    let Ok(mut engine) = Engine::open(store, Timestamp(0), Box::new(fixture.generator())) else {
        return Verdict::Refused;
    };
    let list = Command::List { group: fixture::GROUP.to_owned(), after: None, below: None, topic: None };
    let mut effects = Vec::new();
    let show = Command::Group { group: fixture::GROUP.to_owned() };
    let chain = Command::Chain(ChainCommand::Show { chain: fixture::CHAIN.to_owned() });
    for (number, command) in (0..).zip([Command::Groups, list, show, chain]) {
        engine.handle(Timestamp(0), Event::Command { ticket: Ticket(number), command }, &mut effects);
    }
    let refused = effects.iter().any(|effect| matches!(effect, walytis_offchain::Effect::Reply { answer: Err(_), .. }));
    if refused { Verdict::Refused } else { Verdict::Accepted }
}
