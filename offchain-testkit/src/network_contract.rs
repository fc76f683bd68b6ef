//! What every [`Network`] must do. Each implementation runs [`check_network`] over three fresh networks of its own.

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use walytis_core::{Address, Dialer, FRAME_BYTES_MAX, Network, NetworkError, NetworkEvent, PeerId};

/// Frames that go each way in the test of their order.
const FRAMES: usize = 1_000;

/// Longest frames in the test of the slow reader: 128 MiB, several times what any network may buffer between two nodes
/// (its queues on both sides, and the windows of its transport).
const FLOOD_FRAMES: usize = 64;

/// Holds three fresh networks that listen nowhere, and can reach `listen`, against the contract of [`Network`].
///
/// It needs no runtime of its own and waits for events only, so a caller on real sockets should put a limit on the
/// whole. It leaves the first connected to the second.
///
/// # Panics
/// If the contract is broken.
pub async fn check_network(first: &dyn Network, second: &dyn Network, third: &dyn Network, listen: &Address) {
    let address = listening(first, listen).await;
    refuses_bad_addresses(first, second, third.local_peer(), &address).await;
    refuses_strangers(second, first.local_peer()).await;
    connect(first, second, &address).await;
    refuses_long_frames(first, second.local_peer()).await;
    keeps_order(first, second, &address).await;
    carries_frames_of_each_length(first, second).await;
    waits_for_a_slow_reader(first, second, third, &address).await;
    disconnects(first, second).await;
    connect(first, second, &address).await;
    exchange(first, second, 10).await;
}

/// Listens, and gives the first address that results.
///
/// # Panics
/// If listening fails, or the address does not end in the network's own peer id.
pub async fn listening(network: &dyn Network, listen: &Address) -> Address {
    assert_eq!(network.listen(listen.clone()).await, Ok(()), "listening on {listen}");
    loop {
        if let Some(NetworkEvent::Listening { address }) = network.next().await {
            assert_eq!(address.peer(), Some(network.local_peer()), "{address} ends in the listener's peer id");
            return address;
        }
    }
}

/// Has `dialer` dial the address of `listener`, and sees both connect.
///
/// # Panics
/// If either says anything else first.
pub async fn connect(listener: &dyn Network, dialer: &dyn Network, address: &Address) {
    assert_eq!(dialer.dial(address.clone()).await, Ok(()), "dialling {address}");
    let (at_dialer, at_listener) = both(next(dialer), next(listener)).await;
    let peer = listener.local_peer();
    assert_eq!(at_dialer, NetworkEvent::Connected { peer, dialer: Dialer::Us, address: Some(address.clone()) });
    let peer = dialer.local_peer();
    assert_eq!(at_listener, NetworkEvent::Connected { peer, dialer: Dialer::Peer, address: None });
}

/// Sends `count` frames each way at once, and sees them arrive in order.
///
/// # Panics
/// If a frame is lost, changed or late, or anything else happens.
pub async fn exchange(left: &dyn Network, right: &dyn Network, count: usize) {
    let sending = both(send_numbered(left, right.local_peer(), count), send_numbered(right, left.local_peer(), count));
    let receiving =
        both(receive_numbered(right, left.local_peer(), count), receive_numbered(left, right.local_peer(), count));
    both(sending, receiving).await;
}

/// Waits for two futures at once.
pub async fn both<A, B>(left: impl Future<Output = A>, right: impl Future<Output = B>) -> (A, B) {
    let (mut left, mut right) = (pin!(left), pin!(right));
    let (mut left_done, mut right_done) = (None, None);
    poll_fn(|cx| {
        if left_done.is_none()
            && let Poll::Ready(done) = left.as_mut().poll(cx)
        {
            left_done = Some(done);
        }
        if right_done.is_none()
            && let Poll::Ready(done) = right.as_mut().poll(cx)
        {
            right_done = Some(done);
        }
        match (left_done.take(), right_done.take()) {
            (Some(left), Some(right)) => Poll::Ready((left, right)),
            (left, right) => {
                (left_done, right_done) = (left, right);
                Poll::Pending
            }
        }
    })
    .await
}

async fn refuses_bad_addresses(first: &dyn Network, second: &dyn Network, other: PeerId, address: &Address) {
    let nonsense = Address::new("nonsense").unwrap_or_else(|| unreachable!("it is short"));
    assert!(
        matches!(second.dial(nonsense.clone()).await, Err(NetworkError::Address { address, .. }) if address == nonsense)
    );
    assert!(
        matches!(first.listen(nonsense.clone()).await, Err(NetworkError::Address { address, .. }) if address == nonsense)
    );

    let place = address.as_str().rsplit_once("/p2p/").map_or(address.as_str(), |(place, _)| place);
    let wrong = Address::new(format!("{place}/p2p/{other}")).unwrap_or_else(|| unreachable!("as long as the other"));
    for (dialer, dialled) in [(second, &wrong), (first, address)] {
        assert_eq!(dialer.dial(dialled.clone()).await, Ok(()));
        let event = next(dialer).await;
        assert!(
            matches!(&event, NetworkEvent::DialFailed { address, reason }
                if address == dialled && !reason.is_empty() && !reason.contains(['\n', '{', '"'])),
            "dialling {dialled} fails with a reason for people, not {event:?}"
        );
    }
}

async fn refuses_strangers(network: &dyn Network, stranger: PeerId) {
    assert_eq!(network.send(stranger, vec![1]).await, Err(NetworkError::NotConnected { peer: stranger }));
    network.disconnect(stranger).await;
}

async fn refuses_long_frames(network: &dyn Network, peer: PeerId) {
    let bytes = FRAME_BYTES_MAX + 1;
    assert_eq!(network.send(peer, vec![0; bytes]).await, Err(NetworkError::TooLong { bytes }));
}

async fn keeps_order(first: &dyn Network, second: &dyn Network, address: &Address) {
    // Dialling once more says nothing: the events that follow are frames and nothing else.
    assert_eq!(second.dial(address.clone()).await, Ok(()));
    exchange(first, second, FRAMES).await;
}

async fn carries_frames_of_each_length(first: &dyn Network, second: &dyn Network) {
    for length in [0, 1, 255, 65_535, 65_536, 65_537, FRAME_BYTES_MAX] {
        let sent = vec![0x5A; length];
        let (result, event) = both(first.send(second.local_peer(), sent.clone()), next(second)).await;
        assert_eq!(result, Ok(()), "a frame of {length} bytes");
        let expected = NetworkEvent::Frame { peer: first.local_peer(), bytes: sent };
        assert!(event == expected, "a frame of {length} bytes arrives as it was");
    }
}

async fn waits_for_a_slow_reader(first: &dyn Network, second: &dyn Network, third: &dyn Network, address: &Address) {
    let flood = async {
        for number in 0..FLOOD_FRAMES {
            let mut frame = vec![0; FRAME_BYTES_MAX];
            frame[..8].copy_from_slice(&(number as u64).to_be_bytes());
            assert_eq!(first.send(second.local_peer(), frame).await, Ok(()));
        }
    };
    let mut flood = pin!(flood);
    while_waiting(flood.as_mut(), async {
        connect(first, third, address).await;
        exchange(first, third, FRAMES).await;
        third.disconnect(first.local_peer()).await;
        let gone = both(next(first), next(third)).await;
        assert_eq!(gone.0, NetworkEvent::Disconnected { peer: third.local_peer() });
        assert_eq!(gone.1, NetworkEvent::Disconnected { peer: first.local_peer() });
    })
    .await;
    let drain = async {
        for number in 0..FLOOD_FRAMES {
            let event = next(second).await;
            assert!(
                matches!(&event, NetworkEvent::Frame { peer, bytes } if *peer == first.local_peer()
                    && bytes.len() == FRAME_BYTES_MAX && bytes[..8] == (number as u64).to_be_bytes()),
                "frame {number} of the flood arrives in its turn"
            );
        }
    };
    both(flood, drain).await;
}

async fn disconnects(first: &dyn Network, second: &dyn Network) {
    first.disconnect(second.local_peer()).await;
    let gone = both(next(first), next(second)).await;
    assert_eq!(gone.0, NetworkEvent::Disconnected { peer: second.local_peer() });
    assert_eq!(gone.1, NetworkEvent::Disconnected { peer: first.local_peer() });
    refuses_strangers(first, second.local_peer()).await;
    refuses_strangers(second, first.local_peer()).await;
}

/// Waits for `foreground`, giving `background` its turns, and sees that it does not finish meanwhile.
async fn while_waiting(mut background: Pin<&mut impl Future<Output = ()>>, foreground: impl Future<Output = ()>) {
    let mut foreground = pin!(foreground);
    poll_fn(|cx| {
        assert!(background.as_mut().poll(cx).is_pending(), "sending waits while the peer does not read");
        foreground.as_mut().poll(cx)
    })
    .await;
}

async fn send_numbered(network: &dyn Network, peer: PeerId, count: usize) {
    for number in 0..count {
        assert_eq!(network.send(peer, numbered(number)).await, Ok(()), "frame {number}");
    }
}

async fn receive_numbered(network: &dyn Network, peer: PeerId, count: usize) {
    for number in 0..count {
        assert_eq!(next(network).await, NetworkEvent::Frame { peer, bytes: numbered(number) });
    }
}

/// A frame that tells its place, of some length up to a few hundred bytes.
fn numbered(number: usize) -> Vec<u8> {
    number.to_le_bytes().repeat(1 + number % 50)
}

/// The next event, further listening addresses aside.
async fn next(network: &dyn Network) -> NetworkEvent {
    loop {
        match network.next().await {
            Some(NetworkEvent::Listening { .. } | NetworkEvent::AddressesChanged) => {}
            Some(event) => return event,
            None => unreachable!("the network closed"),
        }
    }
}
