//! Datagrams: lost, late, out of order.

use std::cmp::Reverse;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BinaryHeap};
use std::net::{SocketAddr, UdpSocket};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::{Sky, SplitMix, add_one, lock};

/// More than any datagram has.
const DATAGRAM_BYTES_MAX: usize = 65_536;

/// The most datagrams that wait in a relay; what comes beyond is lost, as on a real link.
const WAITING_MAX: usize = 10_000;

/// A datagram that goes out when its time has come. The number keeps equals in their order.
struct Waiting {
    due: Instant,
    number: u64,
    bytes: Vec<u8>,
    from: Arc<UdpSocket>,
    to: SocketAddr,
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Waiting {}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// All that waits, of both directions.
struct Queue {
    sky: Sky,
    random: Mutex<SplitMix>,
    waiting: Mutex<(u64, BinaryHeap<Reverse<Waiting>>)>,
    came: Condvar,
}

impl Queue {
    /// Decides what becomes of a datagram.
    fn take(&self, bytes: &[u8], from: &Arc<UdpSocket>, to: SocketAddr) {
        let fate = self.sky.now().datagram(&mut lock(&self.random));
        let mut waiting = lock(&self.waiting);
        let (number, heap) = &mut *waiting;
        let Some(late_ms) = fate.filter(|_| heap.len() < WAITING_MAX) else {
            add_one(&self.sky.counts.lost);
            return;
        };
        *number = number.wrapping_add(1);
        let due = Instant::now() + Duration::from_millis(late_ms);
        heap.push(Reverse(Waiting { due, number: *number, bytes: bytes.to_vec(), from: from.clone(), to }));
        self.came.notify_one();
    }

    /// Sends what is due, for ever.
    fn send(&self) {
        let mut waiting = lock(&self.waiting);
        loop {
            let next = waiting.1.peek().map(|Reverse(next)| next.due.saturating_duration_since(Instant::now()));
            match next {
                Some(Duration::ZERO) => {
                    if let Some(Reverse(next)) = waiting.1.pop() {
                        // A host that is gone answers with an error, and a datagram may be lost anyway.
                        drop(next.from.send_to(&next.bytes, next.to));
                        add_one(&self.sky.counts.carried);
                    }
                }
                Some(rest) => {
                    waiting = self.came.wait_timeout(waiting, rest).unwrap_or_else(PoisonError::into_inner).0;
                }
                None => waiting = self.came.wait(waiting).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }
}

pub(super) fn relay(sky: Sky, at: SocketAddr, to: SocketAddr, random: SplitMix) -> Result<u16> {
    let front = Arc::new(UdpSocket::bind(at)?);
    let port = front.local_addr()?.port();
    let queue = Arc::new(Queue {
        sky,
        random: Mutex::new(random),
        waiting: Mutex::new((0, BinaryHeap::new())),
        came: Condvar::new(),
    });
    let sending = queue.clone();
    thread::spawn(move || sending.send());
    thread::spawn(move || {
        let mut backs = BTreeMap::new();
        receive(&front, |bytes, client| {
            // Each client has a socket of its own towards the other side, which so tells them apart.
            let back = match backs.entry(client) {
                Entry::Occupied(back) => back.into_mut(),
                Entry::Vacant(place) => {
                    let Ok(back) = UdpSocket::bind(("0.0.0.0", 0)).map(Arc::new) else { return };
                    let (queue, front, answering) = (queue.clone(), front.clone(), back.clone());
                    thread::spawn(move || receive(&answering, |bytes, _| queue.take(bytes, &front, client)));
                    place.insert(back)
                }
            };
            queue.take(bytes, back, to);
        });
    });
    Ok(port)
}

/// Gives on every datagram, for ever.
fn receive(socket: &UdpSocket, mut taken: impl FnMut(&[u8], SocketAddr)) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        // An error tells of a datagram that was sent before, and nothing of those to come.
        let Ok((length, from)) = socket.recv_from(&mut buffer) else { continue };
        if let Some(bytes) = buffer.get(..length) {
            taken(bytes, from);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::time::Duration;

    use super::super::{Deeds, Sky, Weather};

    #[test]
    fn datagrams_go_there_and_back_unless_all_are_lost() {
        let local = "127.0.0.1:0".parse().expect("an address");
        let socket = || {
            let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
            socket.set_read_timeout(Some(Duration::from_secs(60))).expect("set");
            socket
        };
        let (sky, server, client) = (Sky::default(), socket(), socket());
        let port = sky.relay_datagrams(local, server.local_addr().expect("bound"), 1).expect("it relays");
        let mut buffer = [0; 9];
        client.send_to(b"there", ("127.0.0.1", port)).expect("sent");
        let (length, from) = server.recv_from(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"there");
        server.send_to(b"back", from).expect("sent");
        let (length, _) = client.recv_from(&mut buffer).expect("received");
        assert_eq!(&buffer[..length], b"back");

        sky.change(Weather { loss_percent: 100, ..Weather::default() });
        client.send_to(b"lost", ("127.0.0.1", port)).expect("sent");
        let mut lost = 0;
        while lost == 0 {
            lost += sky.take_deeds().lost;
            std::thread::yield_now();
        }
        assert_eq!((lost, sky.take_deeds()), (1, Deeds::default()));
    }
}
