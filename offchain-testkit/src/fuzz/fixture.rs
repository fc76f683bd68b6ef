//! What some decoders need besides the bytes: keys, and what a block or an operation says of them.

use std::sync::OnceLock;

use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{BlockId, ChainId, Hash, HybridKey, HybridSecret, PeerId};
use walytis_engine::public::{ChainCommand, Sharing};
use walytis_identities::session::{Directory, Initiator, LocalDevice, Responder};
use walytis_identities::{
    EpochContext, EpochKey, EpochSeed, History, InvitationId, InvitationSecret, LeafSecret, Wraps,
};
use walytis_offchain::{Command, OpenContent, PrivateBody, SealedPlace};

use crate::{MemoryStore, Snapshot, World, WorldConfig};

/// The local name of the group in the stored rows.
pub(super) const GROUP: &str = "friends";

/// The name of the public chain in the store.
pub(super) const CHAIN: &str = "open";

/// Longer than anything takes in a calm world, in virtual milliseconds.
const LONG_MS: u64 = 10_000;

pub(super) struct Fixture {
    pub(super) device: HybridSecret,
    pub(super) peer: PeerId,
    pub(super) other_device: HybridSecret,
    pub(super) other_peer: PeerId,
    pub(super) epoch_key: EpochKey,
    pub(super) place: SealedPlace,
    pub(super) body: PrivateBody,
    pub(super) open: Vec<u8>,
    pub(super) sealed: Vec<u8>,
    pub(super) leaves: Vec<Hash>,
    pub(super) wraps_root: Hash,
    pub(super) wraps: Vec<u8>,
    pub(super) given_wrap: Vec<u8>,
    pub(super) first_flights: [Vec<u8>; 2],
    pub(super) second_flight: Vec<u8>,
    pub(super) rows: Snapshot,
}

/// A node that knows no device, and has every invitation open.
pub(super) struct Inviting;

impl Directory for Inviting {
    fn device(&self, _: &Hash, _: &PeerId) -> Option<HybridKey> {
        None
    }

    fn invites(&self, _: &ChainId, _: &InvitationId) -> bool {
        true
    }
}

/// A node that knows one device.
struct Knowing(HybridKey);

impl Directory for Knowing {
    fn device(&self, key: &Hash, _: &PeerId) -> Option<HybridKey> {
        (*key == self.0.id()).then(|| self.0.clone())
    }

    fn invites(&self, _: &ChainId, _: &InvitationId) -> bool {
        false
    }
}

impl Fixture {
    /// The same in every process.
    pub(super) fn shared() -> &'static Self {
        static FIXTURE: OnceLock<Fixture> = OnceLock::new();
        FIXTURE.get_or_init(Self::make)
    }

    /// The generator of whoever answers or asks.
    pub(super) fn generator(&self) -> ChaCha20Rng {
        ChaCha20Rng::seed_from_u64(2)
    }

    /// A sound store.
    pub(super) fn sound_store(&self) -> MemoryStore {
        MemoryStore::from_snapshot(self.rows.clone())
    }

    /// A sound store but for one row.
    pub(super) fn store_with(&self, row: usize, value: &[u8]) -> MemoryStore {
        MemoryStore::from_snapshot(self.rows.clone().with_value(row, value))
    }

    fn make() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let [device, other_device] =
            [[1; HybridSecret::SEED_BYTES], [2; HybridSecret::SEED_BYTES]].map(|seed| HybridSecret::from_seed(&seed));
        let [peer, other_peer] = [PeerId([2; 32]), PeerId([1; 32])];

        let epoch_key = EpochKey::from_bytes(&[1; 32]);
        let place = SealedPlace { chain: ChainId([1; 32]), block: BlockId([2; 32]), epoch: BlockId([3; 32]) };
        let made = OpenContent::new(vec![b"topic".to_vec()], b"the same words".to_vec(), &mut rng);
        let content = made.unwrap_or_else(|_| unreachable!("it is short"));
        let body = PrivateBody::new(place.epoch, &content);
        let sealed = content.seal(&epoch_key, &place, &mut rng);

        let context = EpochContext::new(place.chain, &[place.block]);
        let leaf_keys = [(); 3].map(|()| LeafSecret::generate(&mut rng).public().clone());
        let wraps = Wraps::make(&EpochSeed::generate(&mut rng), &leaf_keys, &context, &mut rng);
        let wraps = wraps.unwrap_or_else(|_| unreachable!("three keys, each once"));

        let mut fixture = Self {
            device,
            peer,
            other_device,
            other_peer,
            epoch_key,
            place,
            body,
            open: content.encode(),
            sealed,
            leaves: leaf_keys.iter().map(|key| key.id()).collect(),
            wraps_root: wraps.root(),
            wraps: wraps.encode(),
            given_wrap: wraps.given().next().map(|(_, given)| given.encode()).unwrap_or_default(),
            first_flights: [Vec::new(), Vec::new()],
            second_flight: Vec::new(),
            rows: stored(),
        };
        fixture.flights();
        fixture
    }

    fn flights(&mut self) {
        let me = LocalDevice { secret: &self.other_device, peer: self.other_peer };
        let they = LocalDevice { secret: &self.device, peer: self.peer };
        let mut rng = self.generator();
        let begun = Initiator::member(me, self.peer, self.device.public().clone(), Vec::new(), &mut self.generator());
        let directory = Knowing(self.other_device.public().clone());
        let answered = begun.and_then(|(_, first)| {
            let (_, second) = Responder::answer(they, self.other_peer, &first, &directory, &mut rng)?;
            Ok((first, second))
        });
        let secret = InvitationSecret::from_bytes(&[1; 16]);
        let joining = Initiator::join(me, self.peer, self.place.chain, &secret, &mut rng);
        let (Ok((first, second)), Ok((_, join))) = (answered, joining) else { unreachable!("they know each other") };
        self.first_flights = [first, join];
        self.second_flight = second;
    }
}

/// What the store of a node with a small group holds.
fn stored() -> Snapshot {
    let mut world = World::new(WorldConfig::calm(1));
    let Ok(node) = world.add_node() else { unreachable!("a new store takes an identity") };
    let group = GROUP.to_owned();
    let commands = [
        Command::NewGroup { name: group.clone(), history: History::All },
        Command::Invite { group: group.clone(), uses: 1 },
        Command::Post { group, topics: vec![b"topic".to_vec()], content: b"words".to_vec() },
        Command::Chain(ChainCommand::New { name: CHAIN.to_owned() }),
        Command::Chain(ChainCommand::Invite { chain: CHAIN.to_owned(), uses: None, sharing: Sharing::Joiners }),
        Command::Chain(ChainCommand::Post { chain: CHAIN.to_owned(), topics: Vec::new(), content: b"open".to_vec() }),
    ];
    for command in commands {
        let answered = world.call(node, command, LONG_MS);
        assert!(matches!(answered, Some(Ok(_))), "a founder may all of it");
    }
    world.store(node).snapshot()
}
