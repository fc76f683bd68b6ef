//! What an import, an export and a slow reader hold does not grow with the chain. One test in this file: it counts the
//! whole process.

#![expect(clippy::expect_used, reason = "a helper that cannot go on fails its test")]

use std::sync::Arc;

use offchain_store::{FileDisk, RedbStore};
use peak_alloc::PeakAlloc;
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng;
use walytis_core::{AuthorSecret, BlockKind, ChainId, Draft, Place, Store, Timestamp, VerifiedBlock};
use walytis_engine::public::{ArchiveHead, ArchiveKind, archived};
use walytis_node::{Committer, Engine, Node, NodeOptions, Reading};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const BLOCKS: u64 = 100_000;
const MIB: usize = 1024 * 1024;
/// What redb keeps of the file and writes at once, a step of an import, and a page of blocks.
const HELD_MAX: usize = 24 * MIB;

/// Signs the blocks of a chain one after the other.
struct Author {
    secret: AuthorSecret,
    place: Place,
    number: u64,
}

impl Author {
    fn next(&mut self) -> VerifiedBlock {
        let content = if self.number == 0 { vec![1, 0] } else { vec![7; 400] };
        let place = std::mem::replace(&mut self.place, Place::Genesis([1; 32]));
        let draft = Draft { kind: BlockKind::Content, place, foreign: Vec::new(), topics: Vec::new(), content };
        let block = draft.sign_alone(&self.secret, Timestamp(self.number)).expect("it keeps the rules");
        let previous = Some((block.id(), self.number));
        self.place = Place::After { chain: block.chain(), parents: Vec::new(), previous };
        self.number += 1;
        block
    }
}

async fn import(node: &Node) -> ChainId {
    let secret = AuthorSecret::from_seed(&[3; 32]);
    let mut author = Author { secret, place: Place::Genesis([1; 32]), number: 0 };
    let genesis = author.next();
    let chain = genesis.chain();
    let mut import = node.import_chain(Some("long"));
    let head = ArchiveHead { kind: ArchiveKind::Chain, chain, blocks: BLOCKS };
    import.write(&head.encode()).await.expect("a head");
    import.write(&archived(genesis.raw())).await.expect("a genesis");
    for _ in 1..BLOCKS {
        import.write(&archived(author.next().raw())).await.expect("a block");
    }
    let imported = import.finish().await.expect("a whole file");
    assert_eq!((imported.new, imported.chain.blocks), (BLOCKS, BLOCKS));
    chain
}

fn held(before: usize, what: &str) {
    let held = MEMORY.peak_usage().saturating_sub(before);
    assert!(held < HELD_MAX, "{what} held {} MiB", held / MIB);
    MEMORY.reset_peak_usage();
}

#[tokio::test]
async fn a_chain_of_a_hundred_thousand_blocks_is_imported_read_and_exported_in_bounded_memory() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("store.redb");
    std::fs::File::create_new(&path).expect("a file");
    let store: Arc<dyn Store> =
        Arc::new(RedbStore::on_disk(FileDisk::open(&path).expect("a file")).expect("a new store"));
    let mut rng = ChaCha20Rng::seed_from_u64(5);
    Engine::create(&store, Timestamp(0), &mut rng).expect("a new store");
    let engine = Engine::open(Arc::clone(&store), Timestamp(0), Box::new(rng)).expect("a sound store");
    let mut options = NodeOptions::default();
    options.committer = Committer::Inline;
    let before = MEMORY.current_usage();
    MEMORY.reset_peak_usage();
    let node = Node::start(engine, store, None, options);
    import(&node).await;
    assert!(path.metadata().expect("a file").len() > 2 * HELD_MAX as u64, "too small a chain to show it");
    held(before, "the import");

    let mut reader = node.read_chain("long", Reading::named("slow")).await.expect("a new name");
    let mut seen = 0;
    while let Some(entry) = reader.next_here().await.expect("a sound store") {
        seen += u64::from(entry.sequence > 0);
    }
    assert_eq!(seen, BLOCKS - 1);
    held(before, "the reader");

    let mut export = node.export_chain("long", None).await.expect("it is there");
    let mut bytes = 0;
    while let Some(piece) = export.next_piece().await.expect("a sound store") {
        bytes += piece.len();
    }
    assert!(bytes > 2 * HELD_MAX, "{bytes}");
    held(before, "the export");
    node.shutdown().await;
}
