//! A handle that began with a chain goes on with that one, or ends: whatever is called so meanwhile.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use offchain_testkit::NodeSwarm;
use walytis_node::{Listing, Node, NodeError, Query};

const BLOCKS: u32 = 600;

async fn found(node: &Node, what: &str, blocks: u32) {
    node.new_chain("news").await.unwrap();
    for number in 0..blocks {
        node.post_to_chain("news", format!("{what} {number}")).await.unwrap();
    }
}

async fn exported(node: &Node) -> Vec<u8> {
    let (mut export, mut file) = (node.export_chain("news", None).await.unwrap(), Vec::new());
    while let Some(piece) = export.next_piece().await.unwrap() {
        file.extend(piece);
    }
    file
}

/// What stands under the name afterwards.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Then {
    Nothing,
    AnotherChain,
    TheSameAgain,
}

#[test]
fn handles_end_with_their_chain_whatever_has_its_name_then() {
    for then in [Then::Nothing, Then::AnotherChain, Then::TheSameAgain] {
        NodeSwarm::new(1).run(async |swarm| {
            let node = swarm.node(swarm.add().await.unwrap()).unwrap();
            found(&node, "old", BLOCKS).await;
            let file = exported(&node).await;
            let mut idle = node.follow_chain("news").await.unwrap();
            let mut behind = node.follow_chain("news").await.unwrap();
            node.post_to_chain("news", "the last").await.unwrap();
            assert!(idle.next().await.is_some() && behind.next().await.is_some());
            node.post_to_chain("news", "not taken by all").await.unwrap();
            assert!(idle.next().await.is_some());
            let mut listing = node.list_chain("news", Listing::default());
            let mut query = node.query_chain("news", Query::default());
            assert!(listing.next_page().await.unwrap().is_some() && query.next_page().await.unwrap().is_some());
            let mut export = node.export_chain("news", None).await.unwrap();
            assert!(export.next_piece().await.unwrap().is_some());

            let begin_anew = async {
                node.delete_chain("news").await.unwrap();
                match then {
                    Then::Nothing => {}
                    Then::AnotherChain => found(&node, "new", BLOCKS + 5).await,
                    Then::TheSameAgain => {
                        let mut import = node.import_chain(Some("news"));
                        import.write(&file).await.unwrap();
                        import.finish().await.unwrap();
                        node.post_to_chain("news", "behind").await.unwrap();
                    }
                }
            };
            // One waits while that happens.
            let ((), ended) = tokio::join!(begin_anew, idle.next());
            assert_eq!((ended, behind.next().await), (None, None), "{then:?}");
            for page in [listing.next_page().await, query.next_page().await] {
                assert!(matches!(page, Err(NodeError::Engine(_))), "{then:?}: {page:?}");
            }
            let piece = export.next_piece().await;
            assert!(matches!(piece, Err(NodeError::Engine(_))), "{then:?}");
        });
    }
}
