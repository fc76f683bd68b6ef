//! Public chains on real sockets and files.

use walytis_node::{ChainEntry, EngineError, Listing, Node, NodeError, Post, PublicError, Rule, Sharing};

use crate::kit::{TestHome, within};

async fn list(node: &Node) -> Vec<ChainEntry> {
    let mut pager = node.list_chain("news", Listing::default());
    let mut entries = Vec::new();
    while let Some(page) = within(pager.next_page()).await.unwrap() {
        entries.extend(page);
    }
    entries
}

fn texts(entries: &[ChainEntry]) -> Vec<&str> {
    entries.iter().map(|entry| std::str::from_utf8(&entry.content).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_public_chain_is_shared_followed_and_deleted() {
    let (ours, theirs) = (TestHome::create(), TestHome::create());
    let (a, b) = (ours.serve().await, theirs.serve().await);
    let chain = a.new_chain("news").await.unwrap();
    a.post_to_chain("news", Post::new("one").topic("x")).await.unwrap();
    let code = a.invite_to_chain("news", Some(1), Sharing::Inviter).await.unwrap().code.unwrap();
    let mut join = b.join_chain(&code, Some("news")).await.unwrap();
    assert!(within(join.progress()).await.is_some());
    let joined = within(join.finish()).await.unwrap();
    assert_eq!((joined.chain, joined.blocks), (chain.chain, 2));

    // What arrives is handed out, each block once, to one who is behind as well.
    let mut following = b.follow_chain("news").await.unwrap();
    assert_eq!(following.from(), 2);
    for number in 0..1_500_u32 {
        drop(a.enqueue_to_chain("news", number.to_string()).await.unwrap());
    }
    for number in 0..1_500_u32 {
        let entry = within(following.next()).await.unwrap();
        assert_eq!(entry.content, number.to_string().as_bytes());
    }
    // One's own comes, too.
    let own = b.post_to_chain("news", "from b").await.unwrap();
    assert_eq!(within(following.next()).await.unwrap().id, own);
    let mut told = a.follow_chain("news").await.unwrap();
    while texts(&list(&a).await).last() != Some(&"from b") {
        within(told.next()).await.unwrap();
    }
    let same = |entries: Vec<ChainEntry>| entries.into_iter().map(|entry| entry.id).collect::<Vec<_>>();
    assert_eq!(same(list(&a).await), same(list(&b).await));
    let topical = Listing { topic: Some(b"x".to_vec()), below: None };
    assert_eq!(b.list_chain("news", topical).next_page().await.unwrap().unwrap().len(), 1);
    assert_eq!(a.check().await.unwrap().problems, [""; 0]);

    // Apart, and together again at the remembered addresses.
    b.shutdown().await;
    assert!(within(following.next()).await.is_none());
    a.post_to_chain("news", "while b was away").await.unwrap();
    let b = theirs.serve_again().await;
    let mut following = b.follow_chain("news").await.unwrap();
    while texts(&list(&b).await).last() != Some(&"while b was away") {
        within(following.next()).await.unwrap();
    }
    let details = b.chain("news").await.unwrap();
    assert_eq!(details.peers.first().map(|peer| (peer.peer, peer.connected)), Some((a.peer(), true)));
    assert_eq!(b.status().await.unwrap().chains.len(), 1);

    // Rules and deletion.
    let author = a.chain("news").await.unwrap().author;
    b.rule_chain("news", Rule::BlockAuthor(author)).await.unwrap();
    assert_eq!(texts(&list(&b).await), ["from b"]);
    let blocks = within(b.delete_chain("news")).await.unwrap();
    assert_eq!(blocks, 1_504);
    while within(following.next()).await.is_some() {}
    let gone = b.post_to_chain("news", "x").await;
    assert!(matches!(gone, Err(NodeError::Engine(EngineError::Public(PublicError::Unknown(_))))), "{gone:?}");
    a.shutdown().await;
    b.shutdown().await;
    assert_eq!(ours.problems(), [""; 0]);
    assert_eq!(theirs.problems(), [""; 0]);
}

#[tokio::test]
async fn codes_of_groups_and_chains_are_told_apart() {
    let home = TestHome::create();
    let node = home.serve().await;
    node.new_chain("news").await.unwrap();
    node.new_group("friends", walytis_node::History::All).await.unwrap();
    let of_chain = node.invite_to_chain("news", None, Sharing::Joiners).await.unwrap().code.unwrap();
    let of_group = node.invite("friends", 1).await.unwrap();
    let joined = node.join(&of_chain, None).await.unwrap().finish().await;
    assert!(matches!(joined, Err(NodeError::Engine(EngineError::Invitation(_)))), "{joined:?}");
    let joined = node.join_chain(&of_group, None).await.unwrap().finish().await.unwrap_err();
    assert!(joined.to_string().contains("group join"), "{joined}");
    let joined = node.join_chain(&of_chain, None).await.unwrap().finish().await.unwrap_err();
    assert!(joined.to_string().contains("called \"news\""), "{joined}");
}
