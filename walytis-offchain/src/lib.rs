#![doc = include_str!("../README.md")]

mod check;
mod content;
mod engine;
mod message;
mod newer;
mod policy;
mod records;

pub use check::{CheckReport, check};
pub use content::{CONTENT_VERSION, ContentError, OpenContent, PrivateBody, SealedPlace};
pub use engine::{
    Answer, Command, Cursor, Delivery, Effect, Engine, EngineError, Entry, EntryContent, Event, GroupDetails,
    GroupSummary, Identity, Limit, LimitsReached, MemberDetails, Offchain, Page, Progress, RefusedJoin, Status, Target,
    Ticket, Timer,
};
pub use message::{ADDRESSES_MAX, Attachment, FrameKind, JoinRefusal, JoinRequest, Message};
pub use newer::{Newer, NewerKind};
