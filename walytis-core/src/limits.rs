//! The limits of a block. Each is part of format version 1: changing one changes what is valid.

/// The most parents of a block, its author's previous block aside. More heads than this are merged over several blocks.
pub const PARENTS_MAX: usize = 32;

/// The most heads on other chains that one operation may name.
pub const FOREIGN_MAX: usize = 64;

/// The most blocks of other chains that one operation may have as ancestors: what a receiver has to verify before it can
/// judge a single block.
pub const FOREIGN_ANCESTORS_MAX: usize = 4096;

/// The most bytes that those blocks may have: they travel with the operation, in one frame.
pub const FOREIGN_BYTES_MAX: usize = 256 * 1024;

/// How many levels of chains may stand below one. Below a group there are two: its users, and their devices.
pub const NESTING_MAX: usize = 8;

/// The most topics of a block.
pub const TOPICS_MAX: usize = 32;

/// The most bytes of one topic.
pub const TOPIC_BYTES_MAX: usize = 256;

/// The most bytes of a block's content that travels inline. Overlays chunk what is larger.
pub const CONTENT_BYTES_MAX: usize = 1024 * 1024;

/// The most bytes of a header: all parents, foreign heads and topics at their limits need about 14 KiB.
pub const HEADER_BYTES_MAX: usize = 16 * 1024;
