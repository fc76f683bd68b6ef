//! A group over its life: who reads, what order, coming back, coming late.

use std::net::Ipv4Addr;

use walytis_node::{Address, Entry, Listing, Post};

use crate::kit::{TestHome, follow, group_of, join, list, list_only, text, texts, until_has, within};

#[tokio::test]
async fn group_epochs_wrap_for_each_device() {
    let homes = [TestHome::create(), TestHome::create(), TestHome::create()];
    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    group_of("g", &alice, &[&bob]).await;
    let epoch_of_two = alice.group("g").await.unwrap().epoch.expect("an admission begins an epoch");
    assert_eq!(bob.group("g").await.unwrap().epoch, Some(epoch_of_two), "its wrap opens on the other device");

    let mut seen_by_bob = bob.subscribe("g").await.unwrap();
    alice.post("g", "to two").await.unwrap();
    follow(&mut seen_by_bob, 1).await;

    let carol = homes[2].serve().await;
    join("g", &alice, &carol).await;
    let epoch_of_three = alice.group("g").await.unwrap().epoch.expect("an admission begins an epoch");
    assert_ne!(epoch_of_three, epoch_of_two);
    assert_eq!(carol.group("g").await.unwrap().epoch, Some(epoch_of_three));
    carol.post("g", "to three").await.unwrap();
    assert_eq!(texts(&follow(&mut seen_by_bob, 1).await), ["to three"]);
    for node in [&alice, &bob, &carol] {
        assert_eq!(texts(&until_has(node, "g", 2).await), ["to two", "to three"]);
        assert_eq!(node.group("g").await.unwrap().members.len(), 3);
        assert_eq!(node.group("g").await.unwrap().epoch, Some(epoch_of_three));
    }
}

#[tokio::test]
async fn catch_up_after_being_offline() {
    let homes = [TestHome::create(), TestHome::create()];
    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    group_of("g", &alice, &[&bob]).await;
    bob.shutdown().await;
    for number in 0..300 {
        alice.post("g", format!("while bob was away {number}")).await.unwrap();
    }
    let offline = homes[1].open().offline().unwrap();
    for number in 0..20 {
        offline.post("g", format!("written offline {number}")).await.unwrap();
    }
    offline.shutdown().await;

    let bob = homes[1].serve_again().await;
    let of_bob = until_has(&bob, "g", 320).await;
    let of_alice = until_has(&alice, "g", 320).await;
    assert_eq!(texts(&of_bob), texts(&of_alice));
    assert_eq!(
        of_bob.iter().map(|entry| entry.id).collect::<Vec<_>>(),
        of_alice.iter().map(|entry| entry.id).collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn restart_without_loss() {
    let home = TestHome::create();
    let node = home.serve().await;
    let group = node.new_group("g", walytis_node::History::All).await.unwrap();
    let mut posted = Vec::new();
    for run in 0..3 {
        let node = if run == 0 { node.clone() } else { home.open().offline().unwrap() };
        assert_eq!(list(&node, "g").await.iter().map(|entry| entry.id).collect::<Vec<_>>(), posted);
        assert_eq!(node.identity(), home.identity);
        for number in 0..10 {
            let post = Post::new(format!("run {run}, {number}")).topic(format!("run {run}"));
            posted.push(node.post("g", post).await.unwrap());
        }
        node.shutdown().await;
    }
    assert_eq!(home.problems(), Vec::<String>::new());
    let node = home.open().offline().unwrap();
    assert_eq!(node.groups().await.unwrap()[0].group, group.group);
    let of_the_second_run = list_only(&node, "g", Listing { topic: Some(b"run 1".to_vec()), below: None }).await;
    assert_eq!(of_the_second_run.iter().map(|entry| entry.id).collect::<Vec<_>>(), posted[10..20]);
}

#[tokio::test]
async fn members_addresses_and_own_ports_are_remembered() {
    let homes = [TestHome::create(), TestHome::create()];
    let listen = [format!("/ip4/{}/tcp/0", own_loopback(2)), format!("/ip4/{}/udp/0/quic-v1", own_loopback(2))];
    let alice = homes[0].serve_at(&[&listen[0], &listen[1]]).await;
    let bob = homes[1].serve().await;
    group_of("g", &alice, &[&bob]).await;
    let mut addresses: Vec<Address> = alice.status().await.unwrap().addresses;
    assert_eq!(addresses.len(), 2, "{addresses:?}");
    alice.shutdown().await;
    bob.shutdown().await;

    within(until_free(&addresses)).await;
    let alice = homes[0].serve_again().await;
    let mut again = alice.status().await.unwrap().addresses;
    addresses.sort();
    again.sort();
    assert_eq!(again, addresses, "the same ports");
    alice.post("g", "nobody told bob where alice is").await.unwrap();
    let bob = homes[1].serve_again().await;
    assert_eq!(texts(&until_has(&bob, "g", 1).await), ["nobody told bob where alice is"]);
}

#[tokio::test]
async fn a_port_that_is_taken_meanwhile_is_replaced() {
    let home = TestHome::create();
    let host = own_loopback(3);
    let node = home.serve_at(&[&format!("/ip4/{host}/tcp/0")]).await;
    let address = node.status().await.unwrap().addresses.remove(0);
    node.shutdown().await;
    let port: u16 = address.as_str().split('/').nth(4).unwrap().parse().unwrap();
    let taken = std::net::TcpListener::bind((host, port)).unwrap();

    let node = home.serve_again().await;
    let elsewhere = within(node.listening().next()).await.unwrap();
    assert_ne!(elsewhere, address);
    assert!(elsewhere.as_str().starts_with(&format!("/ip4/{host}/tcp/")), "{elsewhere}");
    assert!(node.listen(Address::new(format!("/ip4/{host}/tcp/{port}")).unwrap()).await.is_err());
    node.shutdown().await;

    // It was for that time only: who was asked for the port has it forwarded, and others know it.
    drop(taken);
    let node = home.serve_again().await;
    assert_eq!(within(node.listening().next()).await.unwrap(), address);
}

#[tokio::test]
async fn either_transport_is_enough() {
    for listen in ["/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"] {
        let homes = [TestHome::create(), TestHome::create()];
        let (alice, bob) = (homes[0].serve_at(&[listen]).await, homes[1].serve_at(&[listen]).await);
        group_of("g", &alice, &[&bob]).await;
        alice.post("g", "there").await.unwrap();
        assert_eq!(texts(&until_has(&bob, "g", 1).await), ["there"], "{listen}");
        bob.post("g", "and back").await.unwrap();
        assert_eq!(texts(&until_has(&alice, "g", 2).await), ["there", "and back"], "{listen}");
    }
}

#[tokio::test]
async fn causal_order_is_delivered() {
    let homes = [TestHome::create(), TestHome::create(), TestHome::create()];
    let [alice, bob, carol] = [homes[0].serve().await, homes[1].serve().await, homes[2].serve().await];
    group_of("g", &alice, &[&bob, &carol]).await;
    let (mut at_alice, mut at_bob) = (alice.subscribe("g").await.unwrap(), bob.subscribe("g").await.unwrap());
    let mut at_carol = carol.subscribe("g").await.unwrap();
    // Each answers what it has just seen, so that the whole talk has one order.
    for number in 0..20 {
        let said = format!("{number}");
        let speaker = if number % 2 == 0 { &alice } else { &bob };
        speaker.post("g", said.clone()).await.unwrap();
        assert_eq!(texts(&follow(&mut at_alice, 1).await), std::slice::from_ref(&said));
        assert_eq!(texts(&follow(&mut at_bob, 1).await), [said]);
    }
    let seen: Vec<Entry> = follow(&mut at_carol, 20).await;
    let expected: Vec<String> = (0..20).map(|number| number.to_string()).collect();
    assert_eq!(texts(&seen), expected);
    assert!(
        seen.iter().zip(&seen[1..]).all(|(one, next)| one.generation < next.generation && one.position < next.position)
    );
    assert!(seen.iter().all(|entry| entry.author
        == if text(entry).parse::<u32>().unwrap() % 2 == 0 { homes[0].identity.user } else { homes[1].identity.user }));
    for node in [&alice, &bob, &carol] {
        assert_eq!(texts(&list(node, "g").await), expected);
    }
}

#[tokio::test]
async fn blocks_of_all_members_converge_to_one_listing() {
    let homes = [TestHome::create(), TestHome::create(), TestHome::create()];
    let nodes = [homes[0].serve().await, homes[1].serve().await, homes[2].serve().await];
    group_of("g", &nodes[0], &[&nodes[1], &nodes[2]]).await;
    let mut posts = tokio::task::JoinSet::new();
    for (number, node) in nodes.iter().enumerate() {
        for count in 0..64 {
            let node = node.clone();
            posts.spawn(async move { node.post("g", format!("{number}: {count}")).await });
        }
    }
    while let Some(posted) = within(posts.join_next()).await {
        posted.unwrap().unwrap();
    }
    let mut listings = Vec::new();
    for node in &nodes {
        let ids: Vec<_> = until_has(node, "g", 192).await.iter().map(|entry| entry.id).collect();
        listings.push(ids);
    }
    assert_eq!(listings[0].len(), 192);
    assert!(listings[0] == listings[1] && listings[1] == listings[2]);
    for (node, home) in nodes.iter().zip(&homes) {
        node.shutdown().await;
        assert_eq!(home.problems(), Vec::<String>::new());
    }
}

/// A loopback address that no other test uses, where the system has more than one: nobody else takes a port there that
/// is free for a moment.
fn own_loopback(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, if cfg!(target_os = "linux") { number } else { 1 })
}

/// Waits until nothing listens at these addresses: QUIC keeps its port until its last connection has said goodbye.
async fn until_free(addresses: &[Address]) {
    for address in addresses {
        let parts: Vec<&str> = address.as_str().split('/').collect();
        let port: u16 = parts[4].parse().unwrap();
        while parts[3] == "udp" && std::net::UdpSocket::bind((parts[2], port)).is_err() {
            tokio::task::yield_now().await;
        }
    }
}
