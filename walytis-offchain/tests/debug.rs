//! Neither codes nor content are shown by `Debug`, and so by no log (S8).

use serde_bytes::ByteBuf;
use walytis_core::{Batch, BlockId, ChainId, Table};
use walytis_engine::sync::SyncMessage;
use walytis_offchain::{Answer, Attachment, Command, EntryContent};

#[test]
fn secrets_are_not_shown() {
    let canary = "canary".to_owned();
    let bytes = canary.clone().into_bytes();
    let mut batch = Batch::new();
    batch.put(Table::permanent("t"), *b"key", bytes.clone());
    let attachment = ByteBuf::from(bytes.clone());
    let chain = ChainId([7; 32]);
    let id = BlockId([8; 32]);
    let shown = [
        format!("{:?}", Command::Join { code: canary.clone(), name: None }),
        format!("{:?}", Command::Post { group: "g".into(), topics: vec![bytes.clone()], content: bytes.clone() }),
        format!("{:?}", Answer::Invitation(canary)),
        format!("{:?}", EntryContent { topics: vec![bytes.clone()], bytes }),
        format!("{batch:?}"),
        format!("{:?}", Attachment::Open(attachment.clone())),
        format!("{:?}", SyncMessage::Attachment { chain, id, attachment }),
    ];
    for text in shown {
        let as_list = "99, 97, 110, 97, 114, 121";
        assert!(!text.contains("canary") && !text.contains(as_list), "{text}");
    }
}
