//! Connections: late, slow, cut.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::weather::Lane;
use super::{Sky, SplitMix, add_one};

/// How much is read at once: little, so that a slow lane carries evenly.
const PIECE_BYTES: usize = 4_096;

/// The most pieces under way in one direction; then the sender has to wait, as with a full window.
const PIECES_MAX: usize = 64;

/// How long the other side may take to accept.
const ACCEPT: Duration = Duration::from_secs(5);

pub(super) fn relay(sky: Sky, at: SocketAddr, to: SocketAddr, mut random: SplitMix) -> Result<u16> {
    let front = TcpListener::bind(at)?;
    let port = front.local_addr()?.port();
    thread::spawn(move || {
        for client in front.incoming().flatten() {
            let life = sky.now().life(&mut random);
            let sky = sky.clone();
            thread::spawn(move || drop(join(&sky, &client, to, life)));
        }
    });
    Ok(port)
}

/// Carries one connection until it ends or is cut.
fn join(sky: &Sky, client: &TcpStream, to: SocketAddr, life: Option<u64>) -> Result<()> {
    let server = TcpStream::connect_timeout(&to, ACCEPT)?;
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let left = life.map(|bytes| Arc::new(AtomicI64::new(i64::try_from(bytes).unwrap_or(i64::MAX))));
    let (client_in, server_in) = (client.try_clone()?, server.try_clone()?);
    let (there_sky, there_left, client_out) = (sky.clone(), left.clone(), client.try_clone()?);
    let there = thread::spawn(move || carry(&there_sky, client_in, server, there_left.as_deref()));
    carry(sky, server_in, client_out, left.as_deref());
    drop(there.join());
    Ok(())
}

/// Carries one direction. Afterwards both are closed: who closes one in half is not among what we relay.
fn carry(sky: &Sky, mut from: TcpStream, to: TcpStream, left: Option<&AtomicI64>) {
    let began = Instant::now();
    let (give, given) = mpsc::sync_channel::<(Duration, Vec<u8>)>(PIECES_MAX);
    let mut out = to;
    let ends = [from.try_clone(), out.try_clone()];
    let writing = thread::spawn(move || {
        for (due, piece) in given {
            thread::sleep(due.saturating_sub(began.elapsed()));
            if out.write_all(&piece).is_err() {
                break;
            }
        }
    });
    let (mut lane, mut buffer) = (Lane::default(), vec![0; PIECE_BYTES]);
    while let Ok(length @ 1..) = from.read(&mut buffer) {
        let bytes = i64::try_from(length).unwrap_or(i64::MAX);
        if let Some(left) = left
            && left.fetch_sub(bytes, Ordering::Relaxed) <= bytes
        {
            add_one(&sky.counts.cut);
            ends.iter().flatten().for_each(|end| drop(end.shutdown(Shutdown::Both)));
            break;
        }
        let now_us = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
        let due = Duration::from_micros(lane.pass(&sky.now(), now_us, length));
        let Some(piece) = buffer.get(..length).map(<[u8]>::to_vec) else { break };
        if give.send((due, piece)).is_err() {
            break;
        }
        add_one(&sky.counts.carried);
    }
    drop(give);
    drop(writing.join());
    ends.iter().flatten().for_each(|end| drop(end.shutdown(Shutdown::Both)));
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    use super::super::{Sky, Weather};

    #[test]
    fn bytes_go_there_and_back_until_the_connection_is_cut() {
        let local = "127.0.0.1:0".parse().expect("an address");
        let sky = Sky::default();
        let server = TcpListener::bind("127.0.0.1:0").expect("a socket");
        let port = sky.relay_connections(local, server.local_addr().expect("bound"), 1).expect("it relays");
        let connect = || {
            let client = TcpStream::connect(("127.0.0.1", port)).expect("connected");
            (client, server.accept().expect("accepted").0)
        };
        let (mut client, mut served) = connect();
        client.write_all(b"there").expect("written");
        let mut buffer = [0; 5];
        served.read_exact(&mut buffer).expect("read");
        assert_eq!(&buffer, b"there");
        served.write_all(b"back").expect("written");
        client.read_exact(&mut buffer[..4]).expect("read");
        assert_eq!(&buffer[..4], b"back");

        sky.change(Weather { life_bytes: Some((3, 3)), ..Weather::default() });
        let (mut client, mut served) = connect();
        client.write_all(b"cut").expect("written");
        let mut rest = Vec::new();
        // Both see the end, as it comes: a close or a reset.
        drop((served.read_to_end(&mut rest), client.read_to_end(&mut rest)));
        assert_eq!((rest, sky.take_deeds().cut), (Vec::new(), 1));
    }
}
