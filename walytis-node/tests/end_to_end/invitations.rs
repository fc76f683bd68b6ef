//! Who comes in, and who does not.

use offchain_store::system_random;
use walytis_identities::{InvitationCode, InvitationSecret};
use walytis_node::{EngineError, History, NodeError, Progress};

use crate::kit::{TestHome, group_of, within};
use crate::raw_peer::RawPeer;

#[tokio::test]
async fn invitations_prove_a_secret() {
    let homes = [TestHome::create(), TestHome::create(), TestHome::create()];
    let alice = homes[0].serve().await;
    let group = alice.new_group("g", History::All).await.unwrap().group;
    let code = alice.invite("g", 1).await.unwrap();
    let parsed: InvitationCode = code.parse().unwrap();

    // Who knows the group and its inviter, but not the secret, is not even answered.
    let stranger = RawPeer::connect_from_elsewhere(&homes[2], &alice).await;
    let guessed = InvitationSecret::generate(&mut *system_random().unwrap());
    stranger.ask_to_join(group, &guessed).await;
    assert_eq!(stranger.next_frame().await, None, "disconnected without an answer");
    drop(stranger);

    let bob = homes[1].serve().await;
    let damaged = code.replacen(&code[20..21], if &code[20..21] == "q" { "p" } else { "q" }, 1);
    let refused = bob.join(&damaged, None).await.unwrap().finish().await;
    assert!(matches!(refused, Err(NodeError::Engine(EngineError::Invitation(_)))), "{refused:?}");
    assert_eq!(bob.groups().await.unwrap(), []);

    let mut joining = bob.join(&code, Some("ours")).await.unwrap();
    let mut last = None;
    while let Some(progress) = within(joining.progress()).await {
        last = Some(progress);
    }
    let joined = joining.finish().await.unwrap();
    assert_eq!((joined.group, joined.name.as_str(), joined.members), (group, "ours", 2));
    assert!(matches!(last, Some(Progress::Receiving { left: 0, .. })), "{last:?}");
    let again = bob.join(&code, None).await.unwrap().finish().await;
    assert!(matches!(again, Err(NodeError::Engine(EngineError::AlreadyMember(_)))), "{again:?}");

    let carol = homes[2].serve().await;
    let spent = within(carol.join(&parsed.to_text(), None).await.unwrap().finish()).await;
    assert!(matches!(spent, Err(NodeError::Engine(EngineError::Refused(_)))), "{spent:?}");
    assert_eq!(carol.groups().await.unwrap(), []);
    assert_eq!(alice.groups().await.unwrap()[0].members, 2);
}

#[tokio::test]
async fn only_the_founder_invites_and_only_with_addresses() {
    let homes = [TestHome::create(), TestHome::create()];
    let offline = homes[0].open().offline().unwrap();
    offline.new_group("g", History::All).await.unwrap();
    let refused = offline.invite("g", 1).await;
    assert!(matches!(refused, Err(NodeError::Engine(EngineError::NoAddresses))), "{refused:?}");
    offline.shutdown().await;

    let (alice, bob) = (homes[0].serve().await, homes[1].serve().await);
    group_of("other", &alice, &[&bob]).await;
    let refused = bob.invite("other", 1).await;
    assert!(matches!(refused, Err(NodeError::Engine(EngineError::NotManager))), "{refused:?}");
    let refused = alice.invite("other", 0).await;
    assert!(matches!(refused, Err(NodeError::Engine(EngineError::NoUses))), "{refused:?}");
}
