//! `walytis peers`

use crate::context::Context;
use crate::escape::printable_line;
use crate::link::{self, PeerView, Reach, Reply, Request};
use crate::time::Moment;

/// Shows the peers.
pub(crate) async fn run(context: &mut Context) -> anyhow::Result<()> {
    let mut access = link::open(context, Reach::Store, Request::Peers).await?;
    let mut peers = 0_u64;
    while let Some(reply) = context.stop.or(access.link.next()).await? {
        if let Reply::Peer(peer) = reply {
            peers = peers.saturating_add(1);
            context.output.result(line(&peer), &peer)?;
        }
    }
    let served = access.is_served();
    access.close().await;
    if peers == 0 {
        context.output.remark("No peers are known yet: whoever shares a group or a chain with this node becomes one");
    } else if !served {
        context.output.remark("No node runs, so none is connected: `walytis serve` runs it");
    }
    Ok(())
}

fn line(peer: &PeerView) -> String {
    let seen = peer.last_seen_ms.map_or_else(|| "never seen".to_owned(), |ms| format!("last seen {}", Moment(ms)));
    let state = if peer.connected { format!("{}, {}", way(peer), found(peer)) } else { format!("away, {seen}") };
    // A peer says by itself where it is.
    let address = peer.address.as_ref().or(peer.addresses.first());
    let address = address.map_or_else(String::new, |address| format!("  {}", printable_line(address)));
    format!("{}  {state}{address}", peer.peer)
}

fn way(peer: &PeerView) -> String {
    let transport = peer.transport.as_deref().map_or_else(String::new, str::to_uppercase);
    match peer.way.as_deref() {
        Some("hole-punched") => format!("by hole punching, {transport}"),
        Some("relayed") => "through a relay".to_owned(),
        _ => format!("direct, {transport}"),
    }
}

fn found(peer: &PeerView) -> &'static str {
    match peer.found.as_deref() {
        Some("mdns") => "found on the local network",
        Some("kademlia") => "looked up",
        Some("incoming") => "it came to us",
        Some("given") => "address given",
        _ => "address known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_says_how_a_peer_is_reached() {
        let away = PeerView {
            peer: "P".to_owned(),
            connected: false,
            way: None,
            transport: None,
            relay: None,
            found: None,
            address: None,
            last_seen_ms: Some(0),
            addresses: vec!["/a\nP2  direct, TCP".to_owned()],
        };
        assert_eq!(line(&away), "P  away, last seen 1970-01-01 00:00:00Z  /a\\nP2  direct, TCP", "one line");
        let text = |text: &str| Some(text.to_owned());
        let near = PeerView {
            connected: true,
            way: text("direct"),
            transport: text("quic"),
            found: text("mdns"),
            address: text("/b\u{1b}"),
            ..away.clone()
        };
        assert_eq!(line(&near), "P  direct, QUIC, found on the local network  /b\\u{1b}");
        let far = PeerView { way: text("relayed"), transport: None, found: text("told"), ..near };
        assert_eq!(line(&far), "P  through a relay, address known  /b\\u{1b}");
    }
}
