//! Frames as long as they may be, full of the smallest of what they may have.

use walytis_core::{ChainId, RawBlock, codec};

/// A number as lists begin with it.
#[must_use]
pub fn varint(number: usize) -> Vec<u8> {
    codec::encode(&u64::try_from(number).unwrap_or(u64::MAX))
}

/// As many copies of an element as fit, behind a head that is told how many.
fn full(bytes_max: usize, element: &[u8], head: impl Fn(usize) -> Vec<u8>) -> Vec<u8> {
    let count = bytes_max.saturating_sub(head(bytes_max).len()) / element.len();
    [head(count), element.repeat(count)].concat()
}

/// The smallest blocks, as a message about public chains has them: whole ones, and those that can be left out.
fn smallest_blocks() -> [Vec<u8>; 4] {
    let whole = [&[1, 0, 64][..], &[7; 64], &[64], &[8; 64]].concat();
    // No genesis, no parents, a known author, no previous block, a number, a time, no topics, a signature, no content.
    let short = [&[0, 0, 0, 0, 0, 0, 1, 2, 0, 64][..], &[7; 64], &[0]].concat();
    let by_new = [&[0, 0, 0, 1][..], &[9; 32], &[0, 1, 2, 0, 64], &[7; 64], &[0]].concat();
    [vec![1, 0, 0, 0], whole, short, by_new]
}

fn portion(chain: ChainId, count: usize) -> Vec<u8> {
    [&[1, 1][..], &chain.0, &[0], &varint(count)].concat()
}

/// Messages about public chains, without the kind that begins their frame, full of the smallest of what they may have.
#[must_use]
pub fn full_public_messages(bytes_max: usize) -> Vec<Vec<u8>> {
    let chain = ChainId([4; 32]);
    let mut messages: Vec<Vec<u8>> = Vec::new();
    for block in smallest_blocks() {
        messages.push(full(bytes_max, &block, |count| portion(chain, count)));
        messages.push(full(bytes_max, &block, |count| [&[1, 3][..], &chain.0, &varint(count)].concat()));
    }
    // One author, and then blocks behind the one before with as many parents as there may be, all of them that one.
    let [.., by_new] = smallest_blocks();
    let behind = [&[0, 0, 32][..], &[0; 64], &[0, 0, 1, 0, 1, 2, 0, 64], &[7; 64], &[0]].concat();
    messages.push(full(bytes_max, &behind, |count| [portion(chain, count + 1), by_new.clone()].concat()));
    // Marks, addresses, and blocks as no honest peer sends them.
    messages.push(full(bytes_max, &[3; 32], |count| [&[1, 0, 0][..], &varint(count)].concat()));
    messages.push(full(bytes_max, &[0], |count| [&[1, 0, 1][..], &varint(count)].concat()));
    messages.push([&[1, 0, 1, 1][..], &varint(bytes_max - 10), &vec![b'a'; bytes_max - 10]].concat());
    messages.push(full(bytes_max, &[0; 5], |count| [&[1, 0, 5, 3][..], &chain.0, &varint(count)].concat()));
    messages.push(full(bytes_max, &[0; 5], |count| [&[1, 0, 6][..], &chain.0, &varint(count)].concat()));
    messages
}

/// Messages of sessions, full of the smallest of what they may have.
#[must_use]
pub fn full_messages(bytes_max: usize) -> Vec<Vec<u8>> {
    let block = RawBlock { header: vec![7; 64], signature: vec![8; 64], content: Vec::new() };
    let raw = codec::encode(&block);
    let wire = [raw.as_slice(), &[0, 0]].concat();
    let sync = |number: u8, count: usize| [&[1, 1, number][..], &[4; 32], &varint(count)].concat();
    let mut messages = vec![
        full(bytes_max, &[0; 5], |count| sync(3, count)),
        full(bytes_max, &wire, |count| sync(3, count)),
        full(bytes_max, &raw, |count| [&[1, 1, 4][..], &[4; 32], &raw, &[0], &varint(count)].concat()),
        full(bytes_max, &[0; 3], |count| [&[1, 1, 4][..], &[4; 32], &raw, &[0], &varint(count)].concat()),
        full(bytes_max, &[0], |count| [&[1, 0][..], &varint(count)].concat()),
    ];
    messages.extend([0, 1, 5].map(|number| full(bytes_max, &[5; 32], |count| sync(number, count))));
    messages
}
