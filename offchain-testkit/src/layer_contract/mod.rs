//! What every [`Layer`] must do, whatever it stands on.

mod late;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_core::Rng as _;
use walytis_node::layers::{Arrival, Arrivals, Item, Layer, LayerError, PAGE_BYTES};
use walytis_node::{BlockId, Post};

use late::Late;
use scene::{Base, Scene, cancelled_or};

/// Peers of a scene.
const PEERS: usize = 3;

/// Runs the whole contract on an overlay, over a public chain and over a private group, on simulated peers. `open` puts
/// the overlay on a layer; giving back what it is given runs the contract on the two themselves.
///
/// ```no_run
/// offchain_testkit::layer_contract(async |below| Ok(below));
/// ```
///
/// # Panics
/// If the layer breaks the contract; the message says which sentence of it.
pub fn layer_contract<F, L>(open: F)
where
    F: AsyncFn(Arc<dyn Layer>) -> Result<L, LayerError>,
    L: Layer + 'static,
{
    let open = async |below| open(below).await.map(|layer| Arc::new(layer) as Arc<dyn Layer>);
    for base in [Base::Chain, Base::Group] {
        Scene::play(base, 1, &open, async |scene| what_is_posted_is_given_back(scene).await);
        Scene::play(base, 2, &open, async |scene| what_is_too_large_is_refused(scene).await);
        Scene::play(base, 3, &open, async |scene| arrivals_go_on_where_reading_ends(scene).await);
        Scene::play(base, 4, &open, async |scene| cancelling_loses_nothing(scene).await);
        Scene::play(base, 5, &open, async |scene| causes_come_before_effects(scene).await);
        Scene::play(base, 6, &open, async |scene| peers_that_were_apart_end_equal(scene).await);
        Scene::play(base, 7, &open, async |scene| what_was_acknowledged_survives_a_crash(scene).await);
        Scene::play(base, 8, &open, async |scene| what_others_write_below_is_no_error(scene).await);
        Scene::play(base, 9, &open, async |scene| contents_that_come_late_are_told_of(scene).await);
        Scene::play(base, 10, &open, async |scene| a_stopped_node_ends_its_arrivals(scene).await);
    }
}

type Outcome = Result<(), LayerError>;

/// Every item, page by page.
async fn all(layer: &dyn Layer) -> Result<Vec<Item>, LayerError> {
    let mut items: Vec<Item> = Vec::new();
    loop {
        let from = items.last().map_or(0, |item| item.position + 1);
        let page = layer.read(from).await?;
        let Some(first) = page.first() else { return Ok(items) };
        assert!(first.position >= from, "a page begins at the position that was asked for, or behind it");
        assert!(page.is_sorted_by(|a, b| a.position < b.position), "a page is in the order of arrival");
        let before_last = page.iter().rev().skip(1).filter_map(|item| item.post.as_ref());
        let bytes: usize = before_last.map(|post| post.content.len()).sum();
        assert!(bytes <= PAGE_BYTES, "a page ends once it has so much: {bytes} bytes before its last item");
        items.extend(page);
    }
}

/// What is the same on all nodes about items: everything but where they arrived.
fn shared(items: &[Item]) -> BTreeMap<(u64, BlockId), Item> {
    items.iter().map(|item| ((item.generation, item.id), Item { position: 0, ..item.clone() })).collect()
}

async fn what_is_posted_is_given_back<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let layer = scene.layer(peer).await?;
    let limits = layer.limits();
    let topics = [&b""[..], b"a\0b", b"a", b"a", b"\xff\xfe"].map(<[u8]>::to_vec);
    let largest = Post {
        topics: vec![vec![7; limits.topic_bytes_max]; limits.topics_max],
        content: vec![0xa5; limits.content_bytes_max],
    };
    let posts = [
        Post::new(""),
        Post::new("text"),
        Post { topics: topics.into_iter().take(limits.topics_max).collect(), content: vec![0, 255, 0, 10, 13] },
        largest,
        Post::new("text"),
    ];
    let mut ids = Vec::new();
    for post in &posts {
        ids.push(layer.post(post.clone()).await?);
    }
    assert_eq!(ids.iter().collect::<BTreeSet<_>>().len(), ids.len(), "each item has an id of its own");
    let items = all(&*layer).await?;
    let given: Vec<_> = items.iter().map(|item| (item.id, item.post.clone())).collect();
    let asked: Vec<_> = ids.iter().copied().zip(posts.into_iter().map(Some)).collect();
    assert!(given == asked, "what is posted is given back as it was, once, in its order");
    assert!(items.is_sorted_by(|a, b| a.generation < b.generation), "an item is above what it builds on");
    for (place, item) in items.iter().enumerate() {
        assert_eq!(layer.item(item.id).await?.as_ref(), Some(item), "an item is found by its id");
        for from in [item.position, item.position + 1] {
            let page = layer.read(from).await?;
            let behind = items.get(place + usize::from(from > item.position));
            assert_eq!(page.first(), behind, "reading begins anywhere");
        }
    }
    assert_eq!(layer.item(BlockId([9; 32])).await?, None, "what is not here is None");
    assert_eq!(layer.read(u64::MAX).await?, [], "behind the end there is nothing");
    Ok(())
}

async fn what_is_too_large_is_refused<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let layer = scene.layer(peer).await?;
    let limits = layer.limits();
    let before = all(&*scene.below(peer)?).await?;
    for post in [
        Post::new(vec![1; limits.content_bytes_max + 1]),
        Post { topics: vec![vec![]; limits.topics_max + 1], content: vec![] },
        Post { topics: vec![vec![1; limits.topic_bytes_max + 1]], content: vec![] },
    ] {
        let refused = layer.post(post).await;
        assert!(matches!(refused, Err(LayerError::TooLarge { .. })), "a post above a limit is refused");
    }
    assert_eq!(all(&*scene.below(peer)?).await?, before, "and nothing of it is kept, below neither");
    layer.post("small".into()).await?;
    assert_eq!(all(&*layer).await?.len(), 1, "what follows is taken");
    Ok(())
}

async fn arrivals_go_on_where_reading_ends<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let layer = scene.layer(peer).await?;
    let mut streams = Vec::new();
    for post in scene.posts(12, &layer.limits()) {
        streams.push(layer.arrivals().await?);
        layer.post(post).await?;
    }
    let items = all(&*layer).await?;
    assert_eq!(items.len(), 12);
    for mut stream in streams {
        let from = stream.from();
        let behind: Vec<&Item> = items.iter().filter(|item| item.position >= from).collect();
        for item in behind {
            assert_eq!(stream.next().await?, Some(Arrival::Item(item.clone())), "each item arrives once, in its order");
        }
    }
    Ok(())
}

async fn cancelling_loses_nothing<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let layer = scene.layer(peer).await?;
    let mut stream = layer.arrivals().await?;
    for _ in 0..4 {
        for post in scene.posts(3, &layer.limits()) {
            layer.post(post).await?;
        }
    }
    let mut rng = scene.rng();
    let (mut arrived, mut tries) = (Vec::new(), 0);
    while arrived.len() < 12 {
        // Polled a few times, and dropped: a few more each time, so that it gets there.
        tries += 1;
        assert!(tries < 2000, "an arrival whose waiting was broken off comes again");
        let polls = rng.next_u32() % (4 + tries / 8);
        if let Some(arrival) = cancelled_or(stream.next(), polls).await {
            arrived.extend(arrival?);
        }
        scene.pass_ms(1).await;
    }
    let items: Vec<Arrival> = all(&*layer).await?.into_iter().map(Arrival::Item).collect();
    assert_eq!(arrived, items, "each item arrives once, however often waiting for it was broken off");
    Ok(())
}

async fn causes_come_before_effects<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let peers: [_; PEERS] = scene.peers().await?;
    let mut layers = Vec::new();
    for peer in peers {
        layers.push(scene.layer(peer).await?);
    }
    // Each answers the one before, once it has it.
    let mut chain = Vec::new();
    for turn in 0..9 {
        let layer = &layers[turn % PEERS];
        if let Some(last) = chain.last() {
            scene.until(async || Ok(layer.item(*last).await?.is_some_and(|item| item.post.is_some()))).await?;
        }
        chain.push(layer.post(format!("turn {turn}").into()).await?);
    }
    let items = scene.gathered(&layers, chain.len()).await?;
    for (layer, items) in layers.iter().zip(items) {
        let ids: Vec<BlockId> = items.iter().map(|item| item.id).collect();
        assert_eq!(ids, chain, "causes come before effects in the order of arrival, everywhere");
        assert!(items.is_sorted_by(|a, b| a.generation < b.generation), "and in that of generations");
        assert_eq!(all(&**layer).await?, items, "an item keeps its position");
    }
    Ok(())
}

async fn peers_that_were_apart_end_equal<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let peers: [_; PEERS] = scene.peers().await?;
    let (mut layers, mut streams) = (Vec::new(), Vec::new());
    for peer in peers {
        let layer = scene.layer(peer).await?;
        streams.push(layer.arrivals().await?);
        layers.push(layer);
    }
    scene.apart(&peers);
    for layer in &layers {
        for post in scene.posts(7, &layer.limits()) {
            layer.post(post).await?;
        }
    }
    scene.together();
    let items = scene.gathered(&layers, 7 * PEERS).await?;
    let first = shared(&items[0]);
    for (items, stream) in items.iter().zip(&mut streams) {
        assert_eq!(shared(items), first, "with equal sets below, all show the same items");
        let arrived = complete_arrivals(&mut **stream, items.len()).await?;
        let listed: BTreeMap<_, _> = items.iter().map(|item| (item.id, item.clone())).collect();
        assert_eq!(arrived, listed, "each item has arrived, once");
    }
    Ok(())
}

/// Takes arrivals until so many items are here with their posts; each item comes once, and its content only after it.
async fn complete_arrivals(stream: &mut dyn Arrivals, count: usize) -> Result<BTreeMap<BlockId, Item>, LayerError> {
    let mut items: BTreeMap<BlockId, Item> = BTreeMap::new();
    while items.len() < count || items.values().any(|item| item.post.is_none()) {
        match stream.next().await? {
            Some(Arrival::Item(item)) => {
                let twice = items.insert(item.id, item);
                assert_eq!(twice, None, "an item arrives once");
            }
            Some(Arrival::Content(item)) => {
                let before = items.insert(item.id, item.clone());
                let without = Some(Item { post: None, ..item });
                assert_eq!(before, without, "a content is told of once, after its item");
            }
            other => assert_eq!(other, None, "an arrival is an item or a content"),
        }
    }
    Ok(items)
}

async fn what_was_acknowledged_survives_a_crash<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let mut acknowledged = Vec::new();
    for life in 0..4 {
        let layer = scene.layer(peer).await?;
        let shown = all(&*layer).await?;
        let ids: Vec<(BlockId, Option<Post>)> = shown.into_iter().map(|item| (item.id, item.post)).collect();
        assert!(ids == acknowledged, "life {life}: what was acknowledged is here, once, as it was");
        for post in scene.posts(3, &layer.limits()) {
            acknowledged.push((layer.post(post.clone()).await?, Some(post)));
        }
        scene.crash(peer).await?;
    }
    Ok(())
}

async fn what_others_write_below_is_no_error<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let peers: [_; 2] = scene.peers().await?;
    let [writer, reader] = [scene.layer(peers[0]).await?, scene.layer(peers[1]).await?];
    let [under, under_reader] = [scene.below(peers[0])?, scene.below(peers[1])?];
    let mut stream = reader.arrivals().await?;
    let mut known = BTreeMap::new();
    for post in scene.posts(6, &writer.limits()) {
        known.insert(writer.post(post.clone()).await?, post);
    }
    // What the overlay wrote, broken in every way; and what never was anything.
    for noise in scene.noise(&all(&*under).await?) {
        under.post(noise).await?;
    }
    let last = Post::new("behind the noise");
    let last_id = writer.post(last.clone()).await?;
    known.insert(last_id, last);
    let count = all(&*under).await?.len();
    scene
        .until(async || Ok(all(&*under_reader).await?.iter().filter(|item| item.post.is_some()).count() == count))
        .await?;
    let [written, read] = [all(&*writer).await?, all(&*reader).await?];
    assert_eq!(shared(&written), shared(&read), "whatever is below, equal sets show the same items");
    for layer in [&writer, &reader] {
        for (id, post) in &known {
            let found = layer.item(*id).await?.and_then(|item| item.post);
            assert!(found.as_ref() == Some(post), "noise changes no other item");
        }
        for item in all(&*under).await? {
            layer.item(item.id).await?; // Whatever it is, it is no error.
        }
    }
    for from in 0..read.last().map_or(0, |item| item.position) {
        let next = read.iter().find(|item| item.position >= from);
        assert_eq!(reader.read(from).await?.first(), next, "reading goes on through noise, wherever it begins");
    }
    let mut arrived = BTreeSet::new();
    while !arrived.contains(&last_id) {
        let Some(Arrival::Item(item) | Arrival::Content(item)) = stream.next().await? else { break };
        arrived.extend(item.post.map(|_| item.id));
    }
    assert!(known.keys().all(|id| arrived.contains(id)), "arrivals go on through noise");
    Ok(())
}

async fn contents_that_come_late_are_told_of<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let late = Late::new(scene.below(peer)?);
    let layer = scene.open(Arc::new(late.clone())).await?;
    // A writer beside it, whose posts come late to the layer.
    let writer = scene.layer(peer).await?;
    // Large ones begin at odd and at even places, before it is followed and after.
    let [before, behind] = [8, 3].map(|count| scene.posts(count, &writer.limits()));
    let behind: Vec<Post> = std::iter::repeat_n(behind, 4).flatten().collect();
    let mut written = BTreeMap::new();
    for post in &before {
        written.insert(writer.post(post.clone()).await?, post.clone());
    }
    let mut stream = layer.arrivals().await?;
    let shown = all(&*layer).await?;
    let mut items: BTreeMap<BlockId, Item> =
        shown.into_iter().filter(|item| item.position < stream.from()).map(|item| (item.id, item)).collect();
    for post in &behind {
        written.insert(writer.post(post.clone()).await?, post.clone());
    }
    scene.pass_ms(10).await;
    let mut waits = 0;
    while items.len() < written.len() || items.values().any(|item| item.post.is_none()) {
        match cancelled_or(stream.next(), 64).await {
            Some(arrival) => match arrival? {
                Some(Arrival::Item(item)) => {
                    assert_eq!(items.insert(item.id, item), None, "an item is shown as new once");
                }
                Some(Arrival::Content(item)) => {
                    let before = items.insert(item.id, item.clone());
                    assert_eq!(before, Some(Item { post: None, ..item }), "a content comes once, after its item");
                }
                other => assert_eq!(other.map(|_| ()), Some(()), "the node runs"),
            },
            None => {
                // Nothing more comes of itself.
                waits += 1;
                assert!(waits < 1000, "every content that comes late is told of");
                late.release();
                scene.pass_ms(1).await;
            }
        }
    }
    let arrived: BTreeMap<BlockId, Post> =
        items.into_values().filter_map(|item| item.post.map(|post| (item.id, post))).collect();
    assert!(waits > 0 && arrived == written, "in the end all is here as it was posted");
    let listed = all(&*layer).await?.into_iter().filter_map(|item| item.post.map(|post| (item.id, post)));
    assert!(listed.collect::<BTreeMap<_, _>>() == written, "and is read so");
    Ok(())
}

async fn a_stopped_node_ends_its_arrivals<F: scene::Open>(scene: Scene<'_, F>) -> Outcome {
    let [peer] = scene.peers().await?;
    let layer = scene.layer(peer).await?;
    let mut stream = layer.arrivals().await?;
    layer.post("the last".into()).await?;
    scene.stop(peer).await;
    let mut arrivals = 0;
    while stream.next().await?.is_some() {
        arrivals += 1;
    }
    assert!(arrivals <= 1, "nothing arrives that was not posted");
    assert!(layer.post("too late".into()).await.is_err(), "a stopped node takes nothing");
    assert!(layer.read(0).await.is_err() && layer.arrivals().await.is_err(), "and says so to readers");
    Ok(())
}
