//! The Merkle tree over an epoch's wraps: a commitment of 32 bytes, from which each wrap can be proven alone.
//!
//! Leaves are paired from the left, level by level; an odd last node moves up as it is (the shape of RFC 6962). Leaves,
//! nodes and the root are hashed each in a domain of their own, and the root binds the number of leaves, so neither a
//! node nor a tree of another size passes for a leaf or for the whole.

use serde::{Deserialize, Serialize};
use walytis_core::Hash;
use walytis_core::codec::AtMost;

/// The most siblings of a proof: levels of a tree with as many leaves as an epoch has devices at most.
const SIBLINGS_MAX: usize = 12;

/// What leads from one wrap to the root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrapProof {
    position: u32,
    leaves: u32,
    #[serde(with = "AtMost::<SIBLINGS_MAX, 32>")]
    siblings: Vec<Hash>,
}

impl WrapProof {
    /// The root that the proof gives with these bytes as the leaf. A proof of a wrong shape gives a root of no tree.
    pub(crate) fn root(&self, leaf: &[u8]) -> Hash {
        let mut siblings = self.siblings.iter().take(SIBLINGS_MAX);
        let (mut node, mut position, mut width) = (leaf_hash(leaf), self.position, self.leaves);
        let mut fits = position < width && self.siblings.len() <= SIBLINGS_MAX;
        while width > 1 && fits {
            let neighbour = position ^ 1;
            if neighbour < width {
                match siblings.next() {
                    Some(sibling) if neighbour < position => node = node_hash(sibling, &node),
                    Some(sibling) => node = node_hash(&node, sibling),
                    None => fits = false,
                }
            }
            position /= 2;
            width = width.div_ceil(2);
        }
        if (!fits || siblings.next().is_some()) && !walytis_core::mutant!(AcceptAnyProofShape) {
            Hash([0; 32])
        } else {
            root_hash(self.leaves, &node)
        }
    }
}

/// The root over the leaves' bytes.
pub(crate) fn root(leaves: &[Vec<u8>]) -> Hash {
    let top = levels(leaves).pop().and_then(|level| level.first().copied()).unwrap_or(Hash([0; 32]));
    root_hash(count(leaves), &top)
}

/// The proof for one of the leaves.
pub(crate) fn proof(leaves: &[Vec<u8>], position: usize) -> Option<WrapProof> {
    proofs(leaves).into_iter().nth(position)
}

/// The proofs for all leaves, in their order.
pub(crate) fn proofs(leaves: &[Vec<u8>]) -> Vec<WrapProof> {
    let levels = levels(leaves);
    let leaves = count(leaves);
    let prove = |position: u32| {
        let mut at = usize::try_from(position).unwrap_or(usize::MAX);
        let mut siblings = Vec::new();
        for level in &levels {
            siblings.extend(level.get(at ^ 1).filter(|_| level.len() > 1));
            at /= 2;
        }
        WrapProof { position, leaves, siblings }
    };
    (0..leaves).map(prove).collect()
}

/// All levels, from the leaves' hashes to the single node on top.
fn levels(leaves: &[Vec<u8>]) -> Vec<Vec<Hash>> {
    let mut level: Vec<Hash> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let mut levels = Vec::new();
    while level.len() > 1 {
        let above = level
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                odd => odd.first().copied(),
            })
            .collect();
        levels.push(std::mem::replace(&mut level, above));
    }
    levels.push(level);
    levels
}

fn count(leaves: &[Vec<u8>]) -> u32 {
    u32::try_from(leaves.len()).unwrap_or(u32::MAX)
}

fn leaf_hash(leaf: &[u8]) -> Hash {
    Hash(blake3::derive_key("walytis v1 wrap tree leaf", leaf))
}

fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 wrap tree node");
    hasher.update(left.as_bytes()).update(right.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

fn root_hash(leaves: u32, top: &Hash) -> Hash {
    let mut hasher = blake3::Hasher::new_derive_key("walytis v1 wrap tree root");
    hasher
        .update(&(if walytis_core::mutant!(RootWithoutSize) { 0 } else { leaves }).to_le_bytes())
        .update(top.as_bytes());
    Hash(*hasher.finalize().as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: usize) -> Vec<Vec<u8>> {
        (0..count).map(|number| number.to_le_bytes().to_vec()).collect()
    }

    #[test]
    fn each_leaf_of_each_small_tree_is_proven_and_no_other() {
        for size in 1..=17 {
            let leaves = leaves(size);
            let root = root(&leaves);
            for position in 0..size {
                let proof = proof(&leaves, position).unwrap();
                for (number, leaf) in leaves.iter().enumerate() {
                    assert_eq!(proof.root(leaf) == root, number == position, "{number} by {position} of {size}");
                }
            }
            assert_eq!(proof(&leaves, size), None);
        }
    }

    #[test]
    fn proofs_of_another_shape_are_refused() {
        let leaves = leaves(5);
        let (root, good) = (root(&leaves), proof(&leaves, 2).unwrap());
        let spoil = |change: fn(&mut WrapProof)| {
            let mut proof = good.clone();
            change(&mut proof);
            assert_ne!(proof.root(&leaves[2]), root, "{proof:?}");
        };
        spoil(|proof| proof.leaves = 6);
        spoil(|proof| proof.leaves = 0);
        spoil(|proof| proof.leaves = u32::MAX);
        spoil(|proof| proof.position = 3);
        spoil(|proof| proof.position = 5);
        spoil(|proof| proof.siblings.push(Hash([0; 32])));
        spoil(|proof| proof.siblings.extend([Hash([0; 32]); 20]));
        spoil(|proof| proof.siblings.truncate(1));
        spoil(|proof| proof.siblings.reverse());
        // A tree of one leaf has no sibling by which a wrong position would show.
        let one = &leaves[..1];
        let moved = WrapProof { position: 1, ..proof(one, 0).unwrap() };
        assert_ne!(moved.root(&one[0]), super::root(one));
    }

    #[test]
    fn the_largest_tree_has_no_longer_proofs_than_allowed() {
        let leaves = leaves(4096);
        let proof = proof(&leaves, 4095).unwrap();
        assert_eq!((proof.siblings.len(), proof.root(&leaves[4095])), (SIBLINGS_MAX, root(&leaves)));
    }
}
