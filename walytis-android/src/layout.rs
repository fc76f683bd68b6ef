//! The header's numbers and structures, as Rust sees them. What they mean stands in `include/walytis.h`; a test compares both.

/// How a call ended.
pub type Status = i32;

/// A table of constants, with their names for the comparison with the header.
macro_rules! constants {
    ($(#[$list:meta])* $list_name:ident: $($name:ident: $type:ty = $value:expr;)*) => {
        $(
            #[doc = concat!("`WALYTIS_", stringify!($name), "` of the header.")]
            pub const $name: $type = $value;
        )*
        $(#[$list])*
        pub const $list_name: &[(&str, i64)] = &[$((stringify!($name), $name as i64)),*];
    };
}

constants! {
    /// Every constant of the header, without its `WALYTIS_`.
    CONSTANTS:
    ABI_VERSION: u32 = 1;
    OK: Status = 0;
    TIMED_OUT: Status = 1;
    CLOSED: Status = 2;
    ARGUMENT: Status = 3;
    HANDLE: Status = 4;
    EXISTS: Status = 5;
    NOT_FOUND: Status = 6;
    WRONG_SECRET: Status = 7;
    IN_USE: Status = 8;
    UNKNOWN_GROUP: Status = 9;
    FAILED: Status = 10;
    BUG: Status = 11;
    PASSPHRASE: i32 = 1;
    KEY: i32 = 2;
    REACH_LOCAL: u32 = 1;
    REACH_RELAYED: u32 = 2;
    HISTORY_ALL: i32 = 1;
    HISTORY_SINCE_JOIN: i32 = 2;
    FROM_NOW: i32 = 1;
    FROM_START: i32 = 2;
    EVENT_BLOCK: i32 = 1;
    EVENT_CONTENT: i32 = 2;
}

/// `walytis_options` of the header.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Where to accept connections.
    pub listen: *const std::ffi::c_char,
    /// At which relays to ask for a place.
    pub relays: *const std::ffi::c_char,
    /// How peers are found.
    pub reach: u32,
}

/// `walytis_bytes` of the header.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Bytes {
    /// Where they are.
    pub bytes: *const u8,
    /// How many they are.
    pub length: usize,
}

/// `walytis_event_view` of the header.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct EventView {
    /// What the event is.
    pub kind: i32,
    /// How many topics the block has.
    pub topics_count: u32,
    /// The content, or null.
    pub content: *const u8,
    /// How many bytes it has.
    pub content_length: usize,
    /// The block's place in a listing.
    pub generation: u64,
    /// Its place in the order of arrival.
    pub position: u64,
    /// Its author's clock.
    pub created_at_ms: u64,
    /// Its id.
    pub id: [u8; 32],
    /// The member who wrote it.
    pub author: [u8; 32],
    /// The member's device.
    pub device: [u8; 32],
}
