//! What readers and exports get that take several steps.

use walytis_core::ChainError;
use walytis_core::query::Cursor;
use walytis_engine::Ticket;
use walytis_engine::public::{
    ArchiveAnswer, ArchiveCommand, ChainAnswer, ChainCommand, ChainName, ChainPage, DeliveryAnswer, DeliveryCommand,
    KeptChain, PublicError, Start,
};

use crate::net::Net;

fn subscribed(net: &mut Net) -> (Ticket, KeptChain) {
    let ticket = net.ask(0, ChainCommand::Subscribe { chain: "c".into() });
    net.run(10);
    match net.answer(0, ticket) {
        Some(Ok(ChainAnswer::Subscribed { chain, .. })) => (ticket, chain),
        other => panic!("{other:?}"),
    }
}

fn page(net: &mut Net, chain: ChainName, after: Option<Cursor>) -> Result<ChainPage, PublicError> {
    let list = ChainCommand::List { chain, query: Box::default(), after, limit: 2 };
    net.call(0, list).map(|answer| match answer {
        ChainAnswer::Page(page) => page,
        other => panic!("{other:?}"),
    })
}

fn exported(net: &mut Net, chain: ChainName, from: u64) -> Result<(KeptChain, usize), PublicError> {
    let read = ChainCommand::Archive(ArchiveCommand::Read { chain, from });
    net.call(0, read).map(|answer| match answer {
        ChainAnswer::Archive(ArchiveAnswer::Blocks { chain, blocks, .. }) => (chain, blocks.len()),
        other => panic!("{other:?}"),
    })
}

/// What goes on step by step goes on with the chain that it began with, or ends.
#[test]
fn what_goes_on_by_a_kept_chain_never_goes_on_in_another() {
    for comes_back in [false, true] {
        let mut net = Net::new(81, 1);
        net.found(0);
        for number in 0..5 {
            net.post(0, &[number]);
        }
        let (_, followed) = subscribed(&mut net);
        let first = page(&mut net, "c".into(), None).unwrap();
        let (export, _) = exported(&mut net, "c".into(), 0).unwrap();
        let count = ChainCommand::Count { chain: "c".into(), query: Box::default(), after: None };
        let Ok(ChainAnswer::Counted(counted, _)) = net.call(0, count) else { panic!("it is counted") };
        assert_eq!([followed, first.chain, export], [counted; 3]);
        assert_eq!(page(&mut net, first.chain.into(), first.next).unwrap().entries.len(), 2);

        let raw: Vec<_> = (0..6)
            .map(|at| {
                walytis_core::chains::block_at(&net.view(0), counted.id, at).unwrap().unwrap().block.raw().clone()
            })
            .collect();
        net.call(0, ChainCommand::Delete { chain: "c".into() }).unwrap();
        if comes_back {
            let take = ArchiveCommand::Take { chain: counted.id, name: Some("c".into()), blocks: raw };
            net.call(0, ChainCommand::Archive(take)).unwrap();
        } else {
            net.found(0);
            net.post(0, b"another chain");
        }
        let gone = PublicError::Unknown(counted.id.to_string());
        assert_eq!(page(&mut net, first.chain.into(), first.next), Err(gone.clone()));
        assert_eq!(exported(&mut net, export.into(), 2), Err(gone.clone()));
        let since = ChainCommand::Since { chain: followed.into(), from: 6, limit: 256 };
        assert_eq!(net.call(0, since), Err(gone.clone()));
        let count = ChainCommand::Count { chain: counted.into(), query: Box::default(), after: None };
        assert_eq!(net.call(0, count), Err(gone));
        assert!(page(&mut net, "c".into(), None).is_ok(), "by its name it is another");
    }
}

/// A block that cannot be found is damage, and no end.
#[test]
fn an_export_of_a_chain_that_lacks_a_row_fails() {
    let mut net = Net::new(82, 1);
    net.found(0);
    for number in 0..5 {
        net.post(0, &[number]);
    }
    net.run(10);
    net.store(0).lose("core.blocks", 3);
    for from in [0, 3] {
        let read = exported(&mut net, "c".into(), from);
        assert!(matches!(read, Err(PublicError::Chain(ChainError::Inconsistent { .. }))), "{read:?}");
    }
    assert_eq!(exported(&mut net, "c".into(), 4).unwrap().1, 2, "what else there is can still be read");
}

/// As its documentation says: the next reader of the name begins with the block that failed.
#[test]
fn what_was_handed_out_before_a_block_that_failed_counts_as_handled() {
    let mut net = Net::new(83, 1);
    net.found(0);
    for number in 0..5 {
        net.post(0, &[number]);
    }
    let opened = |net: &mut Net| {
        let open = DeliveryCommand::Open { chain: "c".into(), name: "n".into(), start: Start::Beginning };
        let ticket = net.ask(0, ChainCommand::Delivery(open));
        net.run(10);
        match net.answer(0, ticket) {
            Some(Ok(ChainAnswer::Subscribed { from, .. })) => (ticket, from),
            other => panic!("{other:?}"),
        }
    };
    let fail = |net: &mut Net, subscription, position| {
        let fail = DeliveryCommand::Fail { subscription, position, reason: "x".into(), tries_max: 3 };
        match net.call(0, ChainCommand::Delivery(fail)) {
            Ok(ChainAnswer::Delivery(DeliveryAnswer::Failed { tries, set_aside })) => Ok((tries, set_aside)),
            other => other.map(|other| panic!("{other:?}")),
        }
    };
    let (ticket, from) = opened(&mut net);
    assert_eq!(from, 0);
    assert_eq!(fail(&mut net, ticket, 3), Ok((1, false)));
    assert!(fail(&mut net, ticket, 99).is_err(), "it was not handed out");
    net.kill(0);
    net.start(0);
    net.run(10);
    let (ticket, from) = opened(&mut net);
    assert_eq!(from, 3);
    assert_eq!(fail(&mut net, ticket, 3), Ok((2, false)), "failures are counted on");
    assert_eq!(fail(&mut net, ticket, 3), Ok((3, true)));
    net.call(0, ChainCommand::Unsubscribe { subscription: ticket }).unwrap();
    assert_eq!(opened(&mut net).1, 4);
}
