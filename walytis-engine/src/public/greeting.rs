//! Greetings: marks of the chains that are followed here, filled up so that nobody learns how many these are.

use std::collections::BTreeSet;

use zeroize::Zeroizing;

use super::Desk;
use super::limits::CHAINS_MAX;
use super::message::mark;
use walytis_core::{ChainError, ChainId, CodecError, Hash, PeerId, Pending, Table};

/// One row: a secret of 32 bytes, from which the marks are made that mean nothing.
const DECOYS: Table = Table::changing("public.decoys");
const SECRET: &[u8] = &[0];

/// The fewest marks in a greeting. More chains fill twice as many, again and again.
const MARKS_MIN: usize = 8;

/// The secret behind the marks that mean nothing. It is kept: if these marks changed with each greeting, whoever hears two
/// would know the others.
pub(super) struct Decoys {
    secret: Option<Zeroizing<[u8; 32]>>,
}

impl Decoys {
    pub(super) fn load(view: &Pending) -> Result<Self, ChainError> {
        let Some(row) = view.get(DECOYS, SECRET)?.map(Zeroizing::new) else { return Ok(Self { secret: None }) };
        let malformed = ChainError::Record { table: DECOYS.name, reason: CodecError::Malformed };
        let secret = row.as_slice().try_into().map_err(|_| malformed)?;
        Ok(Self { secret: Some(Zeroizing::new(secret)) })
    }

    /// The secret, which is made when it is needed first.
    pub(super) fn secret(&mut self, desk: &mut Desk<'_>) -> Zeroizing<[u8; 32]> {
        let secret = self.secret.get_or_insert_with(|| {
            let mut secret = Zeroizing::new([0; 32]);
            desk.rng.fill_bytes(secret.as_mut());
            desk.view.put(DECOYS, SECRET, secret.to_vec());
            secret
        });
        secret.clone()
    }
}

/// The marks of chains as a greeting from one peer to another has them: 8, 16, 32 ... up to [`CHAINS_MAX`] in all. The others are
/// as random to whoever does not know the secret, and the same each time.
pub(super) fn greeting(
    from: PeerId,
    to: PeerId,
    chains: impl Iterator<Item = ChainId>,
    secret: &[u8; 32],
) -> Vec<Hash> {
    let mut marks: BTreeSet<Hash> = chains.take(CHAINS_MAX).map(|chain| mark(from, to, chain)).collect();
    let count = marks.len().next_power_of_two().clamp(MARKS_MIN, CHAINS_MAX);
    let key = blake3::derive_key("walytis v1 public chain greeting of nothing", secret);
    let mut number = 0_u64;
    while marks.len() < count && !walytis_core::mutant!(ShowChainCount) {
        let mut hasher = blake3::Hasher::new_keyed(&key);
        hasher.update(&to.0);
        hasher.update(&number.to_le_bytes());
        marks.insert(Hash(*hasher.finalize().as_bytes()));
        number = number.saturating_add(1);
    }
    marks.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_greeting_has_a_power_of_two_of_marks_and_the_same_each_time() {
        let (a, b) = (PeerId([1; 32]), PeerId([2; 32]));
        let chain = |number: usize| ChainId([u8::try_from(number % 256).unwrap(); 32]);
        let of = |chains: usize| greeting(a, b, (0..chains).map(chain), &[7; 32]);
        for (chains, marks) in [(0, 8), (1, 8), (7, 8), (8, 8), (9, 16), (200, 256)] {
            assert_eq!(of(chains).len(), marks, "{chains} chains");
            assert!(of(chains).is_sorted_by(|a, b| a < b));
            assert_eq!(of(chains), of(chains));
            assert!((0..chains).all(|number| of(chains).contains(&mark(a, b, chain(number)))));
        }
        // One more chain takes one other mark's place.
        assert_eq!(of(3).iter().filter(|mark| !of(4).contains(mark)).count(), 1);
        assert_ne!(greeting(a, b, std::iter::empty(), &[8; 32]), of(0));
        assert_ne!(greeting(a, a, std::iter::empty(), &[7; 32]), of(0));
        let many = (0..2 * CHAINS_MAX).map(|number| ChainId(*blake3::hash(&number.to_le_bytes()).as_bytes()));
        assert_eq!(greeting(a, b, many, &[7; 32]).len(), CHAINS_MAX);
    }
}
