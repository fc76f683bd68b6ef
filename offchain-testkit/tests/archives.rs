//! Public chains as files: whole, in parts, damaged, and on nodes that have more or less of them.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use offchain_testkit::{NodeId, NodeSwarm};
use walytis_node::{
    ArchiveError, ChainEntry, ChainImport, EngineError, ImportError, Imported, Limits, Listing, Node, NodeError,
    PublicError, Reading, Rule, Sharing, Standing,
};

const BLOCKS: u32 = 600;

async fn founder(swarm: &NodeSwarm) -> Node {
    let id = swarm.add().await.unwrap();
    let node = swarm.node(id).unwrap();
    node.new_chain("news").await.unwrap();
    for number in 1..BLOCKS {
        node.post_to_chain("news", format!("block {number}")).await.unwrap();
    }
    node
}

async fn stranger(swarm: &NodeSwarm) -> (NodeId, Node) {
    let id = swarm.add().await.unwrap();
    (id, swarm.node(id).unwrap())
}

async fn export(node: &Node, chain: &str, block: Option<&str>) -> Vec<u8> {
    let block = block.map(|text| text.parse().unwrap());
    let mut export = node.export_chain(chain, block).await.unwrap();
    let mut file = Vec::new();
    while let Some(piece) = export.next_piece().await.unwrap() {
        file.extend(piece);
    }
    assert_eq!(export.written(), export.head().blocks);
    file
}

async fn write(import: &mut ChainImport, file: &[u8], piece: usize) -> Result<(), NodeError> {
    for piece in file.chunks(piece) {
        import.write(piece).await?;
    }
    Ok(())
}

async fn import(node: &Node, file: &[u8]) -> Result<Imported, NodeError> {
    let mut import = node.import_chain(Some("copy"));
    write(&mut import, file, 1000).await?;
    import.finish().await
}

async fn list(node: &Node, chain: &str) -> Vec<ChainEntry> {
    let mut pager = node.list_chain(chain, Listing::default());
    let mut entries = Vec::new();
    while let Some(page) = pager.next_page().await.unwrap() {
        entries.extend(page);
    }
    entries
}

/// Where each block of a file begins, and its end.
fn starts(file: &[u8]) -> Vec<usize> {
    let mut starts = vec![50];
    while let Some(length) = file.get(starts[starts.len() - 1]..).and_then(|rest| rest.first_chunk::<4>()) {
        starts.push(starts[starts.len() - 1] + 4 + u32::from_be_bytes(*length) as usize);
    }
    starts
}

#[test]
fn a_chain_goes_through_a_file_whole_and_verified() {
    NodeSwarm::new(1).run(async |swarm| {
        let a = founder(&swarm).await;
        let file = export(&a, "news", None).await;
        let (_, b) = stranger(&swarm).await;
        let imported = import(&b, &file).await.unwrap();
        assert_eq!((imported.new, imported.known, imported.chain.name.as_str()), (600, 0, "copy"));
        assert_eq!(imported.chain.standing, Standing::Followed);
        assert_eq!(list(&b, "copy").await, list(&a, "news").await);
        assert_eq!(export(&b, "copy", None).await, file, "it is the same file again");
        let again = import(&b, &file).await.unwrap();
        assert_eq!((again.new, again.known), (0, 600));
        assert_eq!(b.check().await.unwrap().problems, [""; 0]);
        // It is a chain like any other: whoever has it goes on with it, and subscribers hear of what is imported.
        let mut reader = a.read_chain("news", Reading::named("x").from_now()).await.unwrap();
        b.post_to_chain("copy", "from b").await.unwrap();
        let file = export(&b, "copy", None).await;
        let later = async {
            swarm.pass(Duration::from_secs(1)).await;
            import(&a, &file).await.unwrap()
        };
        let (heard, back) = tokio::join!(reader.next(), later);
        assert_eq!((back.new, back.known, back.chain.name.as_str()), (1, 600, "news"));
        assert_eq!(heard.unwrap().unwrap().content, b"from b");
    });
}

#[test]
fn what_is_imported_is_told_to_peers() {
    NodeSwarm::new(6).run(async |swarm| {
        let (a, (_, b), (_, c)) = (founder(&swarm).await, stranger(&swarm).await, stranger(&swarm).await);
        let code = a.invite_to_chain("news", None, Sharing::Inviter).await.unwrap().code.unwrap();
        b.join_chain(&code, Some("news")).await.unwrap().finish().await.unwrap();
        import(&c, &export(&a, "news", None).await).await.unwrap();
        c.post_to_chain("copy", "from c").await.unwrap();
        let mut reader = b.read_chain("news", Reading::named("x").from_now()).await.unwrap();
        import(&a, &export(&c, "copy", None).await).await.unwrap();
        // At once, and not when the nodes compare their heads in quiet.
        let heard = tokio::time::timeout(Duration::from_secs(2), reader.next()).await;
        assert_eq!(heard.unwrap().unwrap().unwrap().content, b"from c");
    });
}

#[test]
fn an_import_that_broke_off_goes_on_where_it_was() {
    NodeSwarm::new(2).run(async |swarm| {
        let a = founder(&swarm).await;
        let file = export(&a, "news", None).await;
        let (id, b) = stranger(&swarm).await;
        let mut broken = b.import_chain(None);
        write(&mut broken, &file[..file.len() / 2], 777).await.unwrap();
        assert_eq!(broken.taken(), 256, "a whole step");
        swarm.kill(id).await;
        assert!(write(&mut broken, &file[file.len() / 2..], 777).await.is_err());
        swarm.start(id).await.unwrap();
        let b = swarm.node(id).unwrap();
        let imported = import(&b, &file).await.unwrap();
        assert_eq!((imported.new, imported.known), (344, 256));
        assert!(imported.chain.name.starts_with("chain-"), "it keeps the name that it got");
        assert_eq!(list(&b, &imported.chain.name).await, list(&a, "news").await);
    });
}

#[test]
fn what_is_cut_or_damaged_is_told_by_its_block_and_what_stands_before_it_is_kept() {
    NodeSwarm::new(3).run(async |swarm| {
        let a = founder(&swarm).await;
        let file = export(&a, "news", None).await;
        let starts = starts(&file);
        assert_eq!((starts.len(), starts.last()), (601, Some(&file.len())));
        let kept = async |file: &[u8]| {
            let (_, node) = stranger(&swarm).await;
            let error = import(&node, file).await.unwrap_err();
            let kept = node.chain("copy").await.map_or(0, |chain| chain.summary.blocks);
            assert_eq!(node.check().await.unwrap().problems, [""; 0]);
            (error, kept)
        };
        for (end, block) in
            [(starts[299], 300), (starts[299] + 2, 300), (starts[300] - 1, 300), (50, 1), (7, 1), (0, 1)]
        {
            let (error, kept) = kept(&file[..end]).await;
            let expected = ArchiveError::Truncated { block, blocks: if end < 50 { 0 } else { 600 } };
            assert!(matches!(&error, NodeError::Archive(found) if *found == expected), "{end}: {error}");
            assert_eq!(kept, block - 1);
        }
        // One bit, anywhere in a block: its length, header, signature or content.
        for place in [starts[420], starts[420] + 3, starts[420] + 30, starts[421] - 40, starts[421] - 1] {
            let mut file = file.clone();
            file[place] ^= 1;
            let (error, kept) = kept(&file).await;
            let named = match &error {
                NodeError::NotTaken { block, .. } | NodeError::Archive(ArchiveError::Damaged { block, .. }) => *block,
                other => panic!("{other}"),
            };
            assert_eq!((named, kept), (421, 420), "{place}: {error}");
        }
        let (error, kept_blocks) = kept(&[&file[..], b"x"].concat()).await;
        assert!(matches!(error, NodeError::Archive(ArchiveError::Trailing { blocks: 600 })), "{error}");
        assert_eq!(kept_blocks, 600);
        let head = |place: usize, byte: u8| [&file[..place], &[byte], &file[place + 1..]].concat();
        let newer = kept(&head(8, 2)).await.0;
        assert!(matches!(newer, NodeError::Archive(ArchiveError::Version { found: 2 })), "{newer}");
        for other in [head(0, b'P'), head(9, 7), b"hello".to_vec(), head(4, b'\n')] {
            let error = kept(&other).await.0;
            assert!(matches!(error, NodeError::Archive(ArchiveError::NoArchive)), "{error}");
        }
    });
}

#[test]
fn one_block_goes_where_its_parents_are() {
    NodeSwarm::new(4).run(async |swarm| {
        let a = founder(&swarm).await;
        let (_, b) = stranger(&swarm).await;
        import(&b, &export(&a, "news", None).await).await.unwrap();
        let first = a.post_to_chain("news", "first").await.unwrap();
        let second = a.post_to_chain("news", "second").await.unwrap();
        let files = [first, second].map(|id| id.to_string()[..16].to_owned());
        let [first, second] = [export(&a, "news", Some(&files[0])).await, export(&a, "news", Some(&files[1])).await];
        let early = import(&b, &second).await.unwrap_err();
        assert!(matches!(early, NodeError::NotTaken { block: 1, reason: ImportError::Parents { .. } }), "{early}");
        assert_eq!(import(&b, &first).await.unwrap().new, 1);
        assert_eq!(import(&b, &second).await.unwrap().new, 1);
        assert_eq!(list(&b, "copy").await, list(&a, "news").await);
        let nowhere = import(&stranger(&swarm).await.1, &first).await.unwrap_err();
        assert!(matches!(nowhere, NodeError::NotTaken { block: 1, reason: ImportError::Parents { .. } }), "{nowhere}");
        let unknown = a.export_chain("news", Some("00000000000000000000".parse().unwrap())).await.unwrap_err();
        assert!(unknown.to_string().contains("no block of this chain begins with"), "{unknown}");
    });
}

#[test]
fn an_import_keeps_to_the_chains_size_and_to_no_pace_and_hides_the_blocked() {
    NodeSwarm::new(5).run(async |swarm| {
        let a = founder(&swarm).await;
        let file = export(&a, "news", None).await;
        let (_, b) = stranger(&swarm).await;
        write(&mut b.import_chain(Some("copy")), &file[..starts(&file)[256]], 4096).await.unwrap();
        let slow = Limits { author_blocks_burst: 1, author_blocks_per_second: 0, ..Limits::default() };
        b.rule_chain("copy", Rule::Limits(Limits { chain_bytes_max: 100_000, ..slow })).await.unwrap();
        let full = import(&b, &file).await.unwrap_err();
        assert!(matches!(full, NodeError::NotTaken { reason: ImportError::Full, .. }), "{full}");
        assert!(full.to_string().contains("--chain-bytes-max"), "{full}");
        b.rule_chain("copy", Rule::Limits(slow)).await.unwrap();
        b.rule_chain("copy", Rule::BlockAuthor(a.chain("news").await.unwrap().author)).await.unwrap();
        assert_eq!(import(&b, &file).await.unwrap().chain.blocks, 600);
        assert_eq!(list(&b, "copy").await, []);
        // Names, and chains that are something else here.
        b.new_chain("taken").await.unwrap();
        let other = a.new_chain("other").await.unwrap();
        let other_file = export(&a, "other", None).await;
        let mut under_a_taken_name = b.import_chain(Some("taken"));
        under_a_taken_name.write(&other_file).await.unwrap();
        let taken = under_a_taken_name.finish().await.unwrap_err();
        assert!(matches!(taken, NodeError::Engine(EngineError::Public(PublicError::NameTaken(_)))), "{taken}");
        // A head that names another chain than its blocks are of.
        let mixed = [&file[..10], &other.chain.0, &file[42..]].concat();
        let mixed = import(&b, &mixed).await.unwrap_err();
        assert!(matches!(mixed, NodeError::NotTaken { block: 1, reason: ImportError::Foreign { .. } }), "{mixed}");
    });
}
