//! An overlay that a stranger could have written: contents that are larger than a block, on a public chain or in a
//! private group, with nothing but `walytis_node::layers`.
//!
//! `cargo run -p walytis-node --example large_content` sends three mebibytes from one node to another on this machine.
//! `offchain-testkit/tests/layers.rs` runs the contract of layers on it.

#![expect(clippy::print_stdout, reason = "an example that is run shows something")]

mod overlay;

use std::error::Error;
use std::path::Path;
use std::sync::Arc;

use overlay::LargeContent;
use walytis_node::layers::{Arrival, ChainLayer, GroupLayer, Layer};
use walytis_node::{Address, History, Home, KdfCost, Node, Post, ServeOptions, Sharing, Unlock};

/// A node in a folder of its own, on the loopback interface and a port that the system chooses.
async fn node(folder: &Path, name: &str) -> Result<Node, Box<dyn Error>> {
    let unlock = Unlock::key([7; 32]);
    Home::create(folder.join(name), &unlock, KdfCost::MINIMUM)?;
    let listen = Address::new("/ip4/127.0.0.1/tcp/0").into_iter().collect();
    let options = ServeOptions { listen, ..ServeOptions::default() };
    Ok(Home::open(folder.join(name), &unlock)?.serve(options).await?)
}

/// Posts a large content on one side, and waits for it on the other.
async fn send(name: &str, from: Arc<dyn Layer>, to: Arc<dyn Layer>) -> Result<(), Box<dyn Error>> {
    let (from, to) = (LargeContent::new(from), LargeContent::new(to));
    let mut arriving = to.arrivals().await?;
    let content: Vec<u8> = (0..3 << 20).map(|place: u32| place.to_le_bytes()[1]).collect();
    let id = from.post(Post::new(content.clone()).topic("picture")).await?;
    while let Some(Arrival::Item(item) | Arrival::Content(item)) = arriving.next().await? {
        if let Some(post) = item.post.filter(|_| item.id == id) {
            println!("{name}: {} bytes, topic {}", post.content.len(), String::from_utf8_lossy(&post.topics[0]));
            assert_eq!(post.content, content);
            break;
        }
    }
    Ok(())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let (alice, bob) = (node(folder.path(), "alice").await?, node(folder.path(), "bob").await?);

    alice.new_chain("news").await?;
    let code = alice.invite_to_chain("news", Some(1), Sharing::Inviter).await?.code.ok_or("it serves")?;
    bob.join_chain(&code, Some("news")).await?.finish().await?;
    let on = |node: &Node| Arc::new(ChainLayer::new(node.clone(), "news"));
    send("on a public chain", on(&alice), on(&bob)).await?;

    alice.new_group("friends", History::All).await?;
    bob.join(&alice.invite("friends", 1).await?, Some("friends")).await?.finish().await?;
    let within = |node: &Node| Arc::new(GroupLayer::new(node.clone(), "friends"));
    send("in a private group", within(&bob), within(&alice)).await?;

    alice.shutdown().await;
    bob.shutdown().await;
    Ok(())
}
