use offchain_testkit::MemoryStore;
use walytis_core::{AuthorKey, Hash, HybridKey, ML_DSA_KEY_BYTES, PeerId, Table};

use super::*;
use crate::{History, Map, Purpose, Role};

const ROWS: Table = Table::changing("test.rows");

fn view() -> Pending {
    Pending::new(Arc::new(MemoryStore::new()))
}

fn membership(devices: u8) -> Membership {
    let mut membership = Membership {
        identity: ChainId::ZERO,
        purpose: Purpose::OwnContent,
        history: History::All,
        key: None,
        members: Map::default(),
        devices: Map::default(),
        invitations: Map::default(),
        epochs: Map::default(),
        named: Map::default(),
        depth: 0,
        readers_tag: Hash([0; 32]),
        readers_since: 0,
        peers: Map::default(),
    };
    for number in 0..devices {
        add_device(&mut membership, number);
    }
    membership
}

fn add_device(membership: &mut Membership, number: u8) {
    let author = AuthorKey([number; 32]);
    let device = Device {
        path: Vec::new(),
        key: HybridKey { ed25519: author, ml_dsa: [number; ML_DSA_KEY_BYTES] },
        leaf: None,
        peer: PeerId([number; 32]),
        role: Role::Write,
        bound_by: BlockId([number; 32]),
    };
    membership.devices.insert(author, Arc::new(device));
}

fn place(number: u32) -> Place {
    let mut id = [0; 32];
    id[..4].copy_from_slice(&number.to_le_bytes());
    (ChainId(id), vec![BlockId(id)])
}

fn knows(memo: &mut Memo, (chain, heads): &Place) -> bool {
    memo.find(*chain, heads).is_some()
}

#[test]
fn memberships_stay_within_their_bytes_and_the_one_used_last_stays_longest() {
    let (mut memo, view) = (Memo::of_bytes(400_000), view());
    let often = place(0);
    memo.keep(&view, often.clone(), Arc::new(membership(5)), None);
    let mut most = 0;
    for number in 1..2_000 {
        memo.keep(&view, place(number), Arc::new(membership(5)), None);
        assert!(memo.bytes() <= 400_000, "{} bytes", memo.bytes());
        most = most.max(memo.len());
        assert!(knows(&mut memo, &often), "what is used all the time went before {} others", memo.len());
    }
    assert!(memo.bytes() > 200_000, "room is used");
    assert!(most < 60, "five devices have five hybrid keys, of two kilobytes each: {most}");
    assert!(knows(&mut memo, &place(1_999)) && !knows(&mut memo, &place(1)));
}

#[test]
fn what_memberships_share_is_counted_once_and_never_less() {
    let (mut memo, view) = (Memo::of_bytes(2_000_000), view());
    let chain = place(0).0;
    let heads = |number: u32| place(number).1;
    let mut membership = membership(50);
    memo.keep(&view, (chain, heads(0)), Arc::new(membership.clone()), None);
    let first = memo.bytes();
    assert!(first > 50 * ML_DSA_KEY_BYTES);
    for number in 1..100 {
        let (known, base) = memo.find(chain, &heads(number - 1)).unwrap();
        membership = Membership::clone(&known);
        add_device(&mut membership, u8::try_from(50 + number).unwrap());
        let base = Base { steps: 1, ..base };
        memo.keep(&view, (chain, heads(number)), Arc::new(membership.clone()), Some(base));
    }
    assert_eq!(memo.len(), 100);
    assert!(memo.bytes() < 6 * first, "each is one device more than the one before: {}", memo.bytes());
    // Others push nearly all of them out. The one that stays has all of its devices, whoever counted them before.
    for number in 1_000..3_000 {
        memo.find(chain, &heads(99)).unwrap();
        memo.keep(&view, place(number), Arc::new(super::tests::membership(1)), None);
    }
    let left = memo.chains.get(&chain).unwrap();
    assert_eq!(left.len(), 1);
    let left = left.values().next().unwrap();
    assert!(left.apart * 10 > left.whole * 9, "{} of {} bytes are counted", left.apart, left.whole);
    assert_eq!(memo.bytes, memo.chains.values().flat_map(BTreeMap::values).map(|known| known.apart).sum::<usize>());
}

#[test]
fn only_what_was_computed_over_what_is_taken_back_is_forgotten() {
    let (mut memo, mut view) = (Memo::default(), view());
    let keep = |memo: &mut Memo, view: &Pending, number| {
        memo.keep(view, place(number), Arc::new(membership(1)), None);
    };
    keep(&mut memo, &view, 0);
    view.put(ROWS, [1], [1]);
    keep(&mut memo, &view, 1);
    let mark = view.savepoint();
    keep(&mut memo, &view, 2);
    view.put(ROWS, [2], [2]);
    keep(&mut memo, &view, 3);
    memo.forget_behind(&view, mark);
    view.rollback(mark);
    let known: Vec<bool> = (0..4).map(|number| knows(&mut memo, &place(number))).collect();
    assert_eq!(known, [true, true, true, false]);
    // The step is written. What it had is not taken back with the next one.
    view.put(ROWS, [3], [3]);
    keep(&mut memo, &view, 4);
    view.close_step().unwrap();
    let start = view.savepoint();
    view.put(ROWS, [4], [4]);
    keep(&mut memo, &view, 5);
    memo.forget_behind(&view, start);
    view.discard();
    let known: Vec<bool> = (0..6).map(|number| knows(&mut memo, &place(number))).collect();
    assert_eq!(known, [true, true, true, false, true, false]);
    assert_eq!(memo.bytes, memo.chains.values().flat_map(BTreeMap::values).map(|known| known.apart).sum::<usize>());
}
