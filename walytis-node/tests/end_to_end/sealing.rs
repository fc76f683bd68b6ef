//! What a stolen disk shows.

use walytis_node::{History, Home, KdfCost, NodeError, OpenError, Post, Unlock};

use crate::kit::{list, texts};

/// The one test that pays for Argon2id as people do.
#[tokio::test]
async fn sealing_at_rest_under_a_passphrase() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("home");
    let unlock = Unlock::passphrase("correct horse battery staple");
    Home::create(&folder, &unlock, KdfCost::DEFAULT).unwrap();
    let exists = Home::create(&folder, &unlock, KdfCost::DEFAULT);
    assert!(matches!(exists, Err(NodeError::Open(OpenError::Exists { .. }))), "{exists:?}");

    let node = Home::open(&folder, &unlock).unwrap().offline().unwrap();
    node.new_group("a secret society", History::All).await.unwrap();
    node.post("a secret society", Post::new("Bridge at nine").topic("treason")).await.unwrap();
    node.shutdown().await;

    for file in std::fs::read_dir(&folder).unwrap() {
        let path = file.unwrap().path();
        let bytes = std::fs::read(&path).unwrap();
        for secret in ["a secret society", "Bridge at nine", "treason", "correct horse"] {
            let shown = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!shown, "{} shows {secret:?}", path.display());
        }
    }
    let wrong = Home::open(&folder, &Unlock::passphrase("correct horse battery stable"));
    assert!(matches!(wrong, Err(NodeError::Open(OpenError::WrongUnlock { .. }))), "{wrong:?}");
    let node = Home::open(&folder, &unlock).unwrap().offline().unwrap();
    assert_eq!(texts(&list(&node, "a secret society").await), ["Bridge at nine"]);
}
