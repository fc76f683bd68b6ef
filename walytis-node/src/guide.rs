//! The guide: a page for each task, with a program that runs.
//!
//! There is nothing else in this module.
//!
//! | task | page |
//! |---|---|
//! | found a public chain, and add blocks to it | [`found_and_post`] |
//! | let others in, and join | [`invite_and_join`] |
//! | read by topic, author, time, length, position or id | [`queries`] |
//! | handle each block once: named subscriptions, retries, dead letters | [`subscriptions`] |
//! | a chain as a file: export and import | [`files`] |
#![cfg_attr(feature = "offchain", doc = "| share with the members of a private group alone | [`groups`] |")]
#![cfg_attr(
    all(feature = "redb", feature = "libp2p"),
    doc = "| reach peers: addresses, relays, what finds them | [`reaching_peers`] |"
)]
//! | build on chains and groups: overlays | [`overlays`] |
//! | write a store or a network of your own | [`own_store_and_network`] |
//! | test an application on a simulated swarm | [`testing`] |
//!
//! All of them hold a [`Node`](crate::Node), whose methods can be called from many tasks at once. What a method
//! acknowledges is durable, and every error's text says what to do.

/// A page, whose programs need every feature when they are tested.
macro_rules! page {
    ($(#[$condition:meta])* $name:ident, $file:literal) => {
        $(#[$condition])*
        #[cfg_attr(
            any(not(doctest), all(feature = "offchain", feature = "redb", feature = "libp2p")),
            doc = include_str!($file)
        )]
        pub mod $name {}
    };
}

page!(found_and_post, "../guide/found_and_post.md");
page!(invite_and_join, "../guide/invite_and_join.md");
page!(queries, "../guide/queries.md");
page!(subscriptions, "../guide/subscriptions.md");
page!(files, "../guide/files.md");
page!(
    #[cfg(feature = "offchain")]
    groups,
    "../guide/groups.md"
);
page!(
    #[cfg(all(feature = "redb", feature = "libp2p"))]
    reaching_peers,
    "../guide/reaching_peers.md"
);
page!(overlays, "../guide/overlays.md");
page!(own_store_and_network, "../guide/own_store_and_network.md");

// Its program needs `offchain-testkit`, which is built on this crate: it is run there.
#[cfg_attr(not(doctest), doc = include_str!("../guide/testing.md"))]
pub mod testing {}
