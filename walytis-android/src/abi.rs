//! The functions of `include/walytis.h`, which says what each does. Here they are short: look at what came, do it, write the
//! result.

use std::ffi::c_char;
use std::sync::Arc;

use walytis_core::limits::{CONTENT_BYTES_MAX, TOPIC_BYTES_MAX, TOPICS_MAX};
use walytis_node::{Post, ServeOptions, Unlock};

use crate::boundary::{guarded, last_error};
use crate::error::AbiError;
use crate::events::{Event, Events, From};
use crate::handles::{self, Held, Place, Text};
use crate::layout::{self, Bytes, EventView, Options, Status};
use crate::node::{self, OpenNode, SECRET_BYTES_MAX};
use crate::pointers::{Out, bytes, optional_text, optional_value, text, values};

/// The longest path that Linux takes.
const PATH_BYTES_MAX: usize = 4096;

/// Several times what a name of a group, or its DID, may have.
const NAME_BYTES_MAX: usize = 1024;

/// Far more than a code has, with every address that it may carry: the engine says it exactly.
const CODE_BYTES_MAX: usize = 64 * 1024;

/// Addresses and the blanks between them, a hundred of the longest.
const ADDRESSES_BYTES_MAX: usize = 64 * 1024;

/// What the functions take, as their errors call it.
const NODE: &str = "a node";
const EVENTS: &str = "events";
const EVENT: &str = "an event";
const TEXT: &str = "a text";
const RELEASED: &str = "an event, a text or events";

/// The interface's number.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub extern "C" fn walytis_abi_version() -> u32 {
    layout::ABI_VERSION
}

/// What went wrong in the thread's last call.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub extern "C" fn walytis_last_error() -> *const c_char {
    last_error()
}

/// Makes a home.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_create(
    home: *const c_char,
    secret_kind: i32,
    secret: *const u8,
    secret_length: usize,
) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for both.
        let (home, unlock) = unsafe { (path(home)?, secret_of(secret_kind, secret, secret_length)?) };
        node::create(home, &unlock)
    })
}

/// Opens a home and serves it.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_open(
    home: *const c_char,
    secret_kind: i32,
    secret: *const u8,
    secret_length: usize,
    options: *const Options,
    node: *mut u64,
) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for each.
        let (home, unlock, options, out) = unsafe {
            let unlock = secret_of(secret_kind, secret, secret_length)?;
            (path(home)?, unlock, options_of(options)?, Out::needed("node", node)?)
        };
        let place = Place::take()?;
        let opened = OpenNode::open(home, &unlock, options)?;
        out.set(place.fill(Held::Node(Arc::new(opened))));
        Ok(())
    })
}

/// Stops a node.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub extern "C" fn walytis_close(node: u64) -> Status {
    guarded(|| match handles::take(node, NODE, |held| matches!(held, Held::Node(_)))? {
        Held::Node(node) => node.close(),
        _ => Ok(()),
    })
}

/// Makes a group.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_group_create(node: u64, name: *const c_char, history: i32) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for it.
        let name = unsafe { text("name", name, NAME_BYTES_MAX) }?;
        let (node, history) = (node_of(node)?, node::history(history)?);
        node.wait(node.node.new_group(name, history))?;
        Ok(())
    })
}

/// Opens an invitation.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_group_invite(node: u64, group: *const c_char, uses: u32, code: *mut u64) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for both.
        let (group, out) = unsafe { (text("group", group, NAME_BYTES_MAX)?, Out::needed("code", code)?) };
        let (node, place) = (node_of(node)?, Place::take()?);
        let code = node.wait(node.node.invite(group, uses))?;
        out.set(place.fill(held_text(code)));
        Ok(())
    })
}

/// Joins a group.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_group_join(
    node: u64,
    code: *const c_char,
    name: *const c_char,
    joined: *mut u64,
) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for each.
        let (code, name, out) = unsafe {
            let name = optional_text("name", name, NAME_BYTES_MAX)?;
            (text("code", code, CODE_BYTES_MAX)?, name, Out::optional(joined))
        };
        let node = node_of(node)?;
        let place = if out.is_wanted() { Some(Place::take()?) } else { None };
        let name = node.join(code, name)?;
        if let Some(place) = place {
            out.set(place.fill(held_text(name)));
        }
        Ok(())
    })
}

/// Lists the groups.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_groups(node: u64, names: *mut u64) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for it.
        let out = unsafe { Out::needed("names", names) }?;
        let (node, place) = (node_of(node)?, Place::take()?);
        let names = node.groups()?;
        out.set(place.fill(held_text(names)));
        Ok(())
    })
}

/// Adds a block.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_post(
    node: u64,
    group: *const c_char,
    content: *const u8,
    content_length: usize,
    topics: *const Bytes,
    topics_count: usize,
    id: *mut [u8; 32],
) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for each.
        let (group, post, out) = unsafe {
            let content = values("content", content, content_length, CONTENT_BYTES_MAX)?.to_vec();
            let topics = values("topics", topics, topics_count, TOPICS_MAX)?.iter();
            let topics = topics.map(|topic| Ok(bytes("topic", *topic, TOPIC_BYTES_MAX)?.to_vec()));
            let topics = topics.collect::<Result<_, AbiError>>()?;
            (text("group", group, NAME_BYTES_MAX)?, Post { topics, content }, Out::optional(id))
        };
        out.set(node_of(node)?.post(group, post)?);
        Ok(())
    })
}

/// Begins to hand out a group's blocks.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_subscribe(node: u64, group: *const c_char, from: i32, events: *mut u64) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for both.
        let (group, out) = unsafe { (text("group", group, NAME_BYTES_MAX)?, Out::needed("events", events)?) };
        let (node, from, place) = (node_of(node)?, From::read(from)?, Place::take()?);
        let events = Events::begin(&node, group, from)?;
        out.set(place.fill(Held::Events(Arc::new(events))));
        Ok(())
    })
}

/// Waits for the next event.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_next_event(events: u64, timeout_ms: i64, event: *mut u64) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for it.
        let out = unsafe { Out::needed("event", event) }?;
        let events =
            handles::find(events, EVENTS, |held| if let Held::Events(found) = held { Some(found) } else { None })?;
        let place = Place::take()?;
        let event = events.next(timeout_ms)?;
        out.set(place.fill(Held::Event(Arc::new(event))));
        Ok(())
    })
}

/// Shows an event.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_event_read(event: u64, view: *mut EventView) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for it.
        let out = unsafe { Out::needed("view", view) }?;
        let event = event_of(event)?;
        let (entry, content) = (&event.entry, event.entry.content.as_ref());
        out.set(EventView {
            kind: event.kind,
            topics_count: content.map_or(0, |content| u32::try_from(content.topics.len()).unwrap_or(u32::MAX)),
            content: content.map_or(std::ptr::null(), |content| content.bytes.as_ptr()),
            content_length: content.map_or(0, |content| content.bytes.len()),
            generation: entry.generation,
            position: entry.position,
            created_at_ms: entry.created_at_ms,
            id: entry.id.0,
            author: entry.author.0,
            device: entry.device.0,
        });
        Ok(())
    })
}

/// Shows a topic.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_event_topic(event: u64, number: u32, topic: *mut Bytes) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for it.
        let out = unsafe { Out::needed("topic", topic) }?;
        let event = event_of(event)?;
        let topics = event.entry.content.as_ref().map_or(&[][..], |content| &content.topics);
        let found = usize::try_from(number).ok().and_then(|number| topics.get(number));
        let allowed = "the event has fewer topics";
        let found = found.ok_or(AbiError::Value { what: "number", value: number.into(), allowed })?;
        out.set(Bytes { bytes: found.as_ptr(), length: found.len() });
        Ok(())
    })
}

/// Shows a text.
///
/// # Safety
/// Each pointer is null or as the header says.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn walytis_text_read(text: u64, characters: *mut *const c_char, length: *mut usize) -> Status {
    guarded(|| {
        // SAFETY: the caller vouches for both.
        let (characters, length) = unsafe { (Out::needed("characters", characters)?, Out::optional(length)) };
        let text = handles::find(text, TEXT, |held| if let Held::Text(found) = held { Some(found) } else { None })?;
        characters.set(text.as_ptr().cast());
        length.set(text.len().saturating_sub(1));
        Ok(())
    })
}

/// Lets go of what is no node.
#[expect(unsafe_code, reason = "C calls it by this name, and vouches for its pointers")]
#[unsafe(no_mangle)]
pub extern "C" fn walytis_release(handle: u64) -> Status {
    guarded(|| {
        if let Held::Events(events) = handles::take(handle, RELEASED, |held| !matches!(held, Held::Node(_)))? {
            events.release();
        }
        Ok(())
    })
}

/// A node that is open.
fn node_of(handle: u64) -> Result<Arc<OpenNode>, AbiError> {
    handles::find(handle, NODE, |held| if let Held::Node(node) = held { Some(node) } else { None })
}

/// An event that was given.
fn event_of(handle: u64) -> Result<Arc<Event>, AbiError> {
    handles::find(handle, EVENT, |held| if let Held::Event(event) = held { Some(event) } else { None })
}

/// A text to be given, with a 0 behind it. It is moved into memory of its size, so that no copy of it is left.
fn held_text(text: String) -> Held {
    let mut held = Text::new(Vec::with_capacity(text.len().saturating_add(1)));
    let text = Text::new(text.into_bytes());
    held.extend_from_slice(&text);
    held.push(0);
    Held::Text(Arc::new(held))
}

/// A home's folder.
///
/// # Safety
/// As [`text`].
#[expect(unsafe_code, reason = "C's texts are pointers")]
unsafe fn path<'a>(home: *const c_char) -> Result<&'a str, AbiError> {
    // SAFETY: the caller vouches for the same.
    unsafe { text("home", home, PATH_BYTES_MAX) }
}

/// A secret. An empty one is said to be so, a null one to be null.
///
/// # Safety
/// As [`values`].
#[expect(unsafe_code, reason = "C's secrets are pointers")]
unsafe fn secret_of(kind: i32, secret: *const u8, length: usize) -> Result<Unlock, AbiError> {
    if secret.is_null() {
        return Err(AbiError::Null("secret"));
    }
    // SAFETY: the caller vouches for the same.
    node::unlock(kind, unsafe { values("secret", secret, length, SECRET_BYTES_MAX) }?)
}

/// How a node is served.
///
/// # Safety
/// As [`optional_value`], and its texts as [`text`].
#[expect(unsafe_code, reason = "C's structures come as pointers")]
unsafe fn options_of(options: *const Options) -> Result<ServeOptions, AbiError> {
    // SAFETY: the caller vouches for the same.
    let Some(options) = (unsafe { optional_value(options) }) else { return node::options(None, None, 0) };
    // SAFETY: the caller vouches for both.
    let (listen, relays) = unsafe {
        let listen = optional_text("listen", options.listen, ADDRESSES_BYTES_MAX)?;
        (listen, optional_text("relays", options.relays, ADDRESSES_BYTES_MAX)?)
    };
    node::options(listen, relays, options.reach)
}
