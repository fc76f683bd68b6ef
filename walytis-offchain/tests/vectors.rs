//! The encodings of private content that `docs/format.md` draws. `vectors.txt` holds what they were when settled.

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::SeedableRng;
use walytis_core::{BlockId, ChainId};
use walytis_identities::EpochKey;
use walytis_offchain::{Attachment, Message, OpenContent, PrivateBody, SealedPlace};

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

#[test]
fn the_format_has_not_changed() {
    let mut rng = ChaCha20Rng::from_seed([6; 32]);
    let content = OpenContent::new(vec![b"topic".to_vec()], b"hello".to_vec(), &mut rng).unwrap();
    let epoch = BlockId([5; 32]);
    let body = PrivateBody::new(epoch, &content);
    let place = SealedPlace { chain: ChainId([3; 32]), block: BlockId([4; 32]), epoch };
    let key = EpochKey::from_bytes(&[1; 32]);
    let sealed = content.seal(&key, &place, &mut rng);
    let found = [
        ("content.open", hex(&content.encode())),
        ("content.body", hex(&body.encode())),
        ("content.sealed", hex(&sealed)),
        ("attachment.sealed", hex(&Attachment::Sealed(serde_bytes::ByteBuf::from(vec![9, 9])).encode())),
        ("attachment.wrap", hex(&Attachment::Wrap(serde_bytes::ByteBuf::from(vec![9, 9])).encode())),
        ("message.hello", hex(&Message::Hello { addresses: vec![] }.encode())),
        ("message.joined", hex(&Message::Joined.encode())),
    ];
    let found: Vec<String> = found.iter().map(|(name, value)| format!("{name} = {value}")).collect();
    let settled: Vec<&str> = include_str!("vectors.txt").lines().collect();
    assert_eq!(found, settled, "\n{}\n", found.join("\n"));
    assert_eq!(OpenContent::open(&sealed, &key, &place, &body).unwrap(), content);
}
