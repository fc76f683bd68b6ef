//! A public chain of two nodes on this machine: founded by one, joined by the other, written by both.
//!
//! It needs blocks, a store and a network, and no identities:
//!
//! `cargo run -p walytis-node --no-default-features --features redb,libp2p --example public_chain`

#![expect(clippy::print_stdout, reason = "an example that is run shows something")]

use std::error::Error;
use std::path::Path;

use walytis_node::{Address, Home, KdfCost, Listing, Node, ServeOptions, Sharing, Unlock};

/// A node in a folder of its own, on the loopback interface and a port that the system chooses.
async fn node(folder: &Path, name: &str) -> Result<Node, Box<dyn Error>> {
    let unlock = Unlock::key([7; 32]);
    Home::create(folder.join(name), &unlock, KdfCost::MINIMUM)?;
    let listen = Address::new("/ip4/127.0.0.1/tcp/0").into_iter().collect();
    let options = ServeOptions { listen, ..ServeOptions::default() };
    Ok(Home::open(folder.join(name), &unlock)?.serve(options).await?)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (alice, bob) = (node(folder.path(), "alice").await?, node(folder.path(), "bob").await?);

    let chain = alice.new_chain("news").await?;
    println!("Alice founded {}", chain.chain);
    alice.post_to_chain("news", "It rains.").await?; // Signed, and durable when it returns.

    // Whoever has the code can come in: here as many as like, and they may pass it on.
    let invitation = alice.invite_to_chain("news", None, Sharing::Joiners).await?;
    let code = invitation.code.ok_or("a node that serves has addresses")?;
    let joined = bob.join_chain(&code, Some("news")).await?.finish().await?;
    println!("Bob joined; {} blocks are there, the first of them the chain's own", joined.blocks);

    let mut arriving = alice.follow_chain("news").await?;
    bob.post_to_chain("news", "Not here.").await?;
    let answer = arriving.next().await.ok_or("the node runs")?;
    println!("Alice hears: {}", String::from_utf8_lossy(&answer.content));

    // The same order everywhere, each block behind those it builds on.
    for (name, node) in [("Alice", &alice), ("Bob", &bob)] {
        let mut pager = node.list_chain("news", Listing::default());
        while let Some(page) = pager.next_page().await? {
            for entry in page {
                let text = String::from_utf8_lossy(&entry.content).into_owned();
                println!("{name} lists {} by {}: {text}", entry.id, entry.author);
            }
        }
    }
    bob.delete_chain("news").await?;
    alice.shutdown().await;
    bob.shutdown().await;
    Ok(())
}
