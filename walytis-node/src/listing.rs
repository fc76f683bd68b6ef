//! What a listing shows.

/// Which blocks a listing shows. The default is all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// Only blocks with this topic. In a group, a block whose content has not arrived is left out: its topics are sealed
    /// with it.
    pub topic: Option<Vec<u8>>,
    /// Only blocks that arrived before this position. With where a subscription begins, listing and then following gives
    /// each block once.
    pub below: Option<u64>,
}
