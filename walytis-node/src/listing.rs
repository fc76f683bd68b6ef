//! What a listing shows.

use walytis_core::query::{Order, Query, Span};

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

impl From<Listing> for Query {
    fn from(Listing { topic, below }: Listing) -> Self {
        let positions = match below {
            None => Span::default(),
            // Nothing arrived before the first.
            Some(0) => Span { from: 1, to: 0 },
            Some(below) => Span { from: 0, to: below.saturating_sub(1) },
        };
        Self { topics: topic.into_iter().collect(), positions, order: Order::Listing, ..Self::default() }
    }
}
