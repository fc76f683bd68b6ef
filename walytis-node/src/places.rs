//! Where to listen: addresses as far as that needs them to be understood.

use std::collections::BTreeMap;
use std::net::IpAddr;

use walytis_core::Address;

/// Every interface, at ports that the system chooses.
const EVERYWHERE: [&str; 4] =
    ["/ip4/0.0.0.0/tcp/0", "/ip4/0.0.0.0/udp/0/quic-v1", "/ip6/::/tcp/0", "/ip6/::/udp/0/quic-v1"];

/// An address of the shape `/ip4/192.0.2.1/tcp/4001` or `/ip6/::1/udp/4001/quic-v1`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    host: IpAddr,
    transport: Transport,
    port: u16,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Transport {
    Tcp,
    Quic,
}

impl Place {
    fn parse(address: &Address) -> Option<Self> {
        if address.is_relayed() {
            return None;
        }
        let text = address.as_str();
        let socket = text.split_once("/p2p/").map_or(text, |(socket, _)| socket);
        let parts: Vec<&str> = socket.split('/').collect();
        let (family, host, transport, port) = match parts.as_slice() {
            ["", family, host, "tcp", port] => (family, host, Transport::Tcp, port),
            ["", family, host, "udp", port, "quic-v1"] => (family, host, Transport::Quic, port),
            _ => return None,
        };
        let host: IpAddr = host.parse().ok()?;
        let fits = *family == if host.is_ipv4() { "ip4" } else { "ip6" };
        fits.then_some(Self { host, transport, port: port.parse().ok()? })
    }

    fn address(self) -> Option<Address> {
        let Self { host, port, .. } = self;
        let family = if host.is_ipv4() { "ip4" } else { "ip6" };
        Address::new(match self.transport {
            Transport::Tcp => format!("/{family}/{host}/tcp/{port}"),
            Transport::Quic => format!("/{family}/{host}/udp/{port}/quic-v1"),
        })
    }
}

/// Every interface, at ports that the system chooses.
pub(crate) fn everywhere() -> impl Iterator<Item = Address> {
    EVERYWHERE.into_iter().filter_map(Address::new)
}

/// Where to listen so that the node can be reached at these addresses again.
///
/// A port that was open on the loopback interface and on another one was open on every interface, whose addresses may
/// be others by now.
pub(crate) fn again(remembered: &[Address]) -> Vec<Address> {
    let mut hosts: BTreeMap<(bool, Transport, u16), Vec<IpAddr>> = BTreeMap::new();
    for place in remembered.iter().filter_map(Place::parse) {
        hosts.entry((place.host.is_ipv6(), place.transport, place.port)).or_default().push(place.host);
    }
    let places = hosts.into_iter().flat_map(|((is_ipv6, transport, port), hosts)| {
        let everywhere = hosts.iter().any(IpAddr::is_loopback) && !hosts.iter().all(IpAddr::is_loopback);
        let hosts = if everywhere { vec![unspecified(is_ipv6)] } else { hosts };
        hosts.into_iter().map(move |host| Place { host, transport, port })
    });
    places.filter_map(Place::address).collect()
}

fn unspecified(is_ipv6: bool) -> IpAddr {
    if is_ipv6 { IpAddr::V6(std::net::Ipv6Addr::UNSPECIFIED) } else { IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED) }
}

/// The same place at a port that the system chooses.
pub(crate) fn at_any_port(place: &Address) -> Option<Address> {
    Place { port: 0, ..Place::parse(place)? }.address()
}

/// The place with the port that the system chose for it, as the addresses show it. `used` are the ports that others of
/// the places have got. The place as it is, if it has a port, or no address yet.
pub(crate) fn with_port(place: &Address, addresses: &[Address], used: &mut Vec<(bool, bool, u16)>) -> Address {
    let Some(wanted) = Place::parse(place).filter(|wanted| wanted.port == 0) else { return place.clone() };
    for address in addresses.iter().filter(|address| is_at(address, place)) {
        let Some(Place { port, .. }) = Place::parse(address) else { continue };
        let slot = (wanted.host.is_ipv4(), wanted.transport == Transport::Tcp, port);
        if !used.contains(&slot) {
            used.push(slot);
            return Place { port, ..wanted }.address().unwrap_or_else(|| place.clone());
        }
    }
    place.clone()
}

/// Whether an address will result from listening there: a machine without IPv6 can listen on all of its IPv6 addresses,
/// of which there are none.
pub(crate) fn has_address_for_sure(place: &Address) -> bool {
    Place::parse(place).is_some_and(|place| place.host.is_ipv4() || !place.host.is_unspecified())
}

/// Whether an address at which the node accepts connections may have come from listening at a place.
pub(crate) fn is_at(address: &Address, place: &Address) -> bool {
    let (Some(address), Some(place)) = (Place::parse(address), Place::parse(place)) else { return false };
    address.transport == place.transport
        && address.host.is_ipv4() == place.host.is_ipv4()
        && (place.host.is_unspecified() || address.host == place.host)
        && (place.port == 0 || address.port == place.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<Address> {
        texts.iter().map(|text| Address::new(*text).unwrap()).collect()
    }

    #[test]
    fn a_node_listens_again_where_it_did() {
        let check = |remembered: &[&str], expected: &[&str]| {
            assert_eq!(again(&addresses(remembered)), addresses(expected), "{remembered:?}");
        };
        check(&[], &[]);
        check(&["/ip4/127.0.0.1/tcp/4001/p2p/12D3KooW"], &["/ip4/127.0.0.1/tcp/4001"]);
        check(&["/ip4/192.0.2.1/udp/4001/quic-v1"], &["/ip4/192.0.2.1/udp/4001/quic-v1"]);
        check(&["/ip4/192.0.2.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001"], &["/ip4/0.0.0.0/tcp/4001"]);
        check(
            &["/ip4/192.0.2.1/tcp/4001", "/ip4/127.0.0.1/tcp/4002"],
            &["/ip4/192.0.2.1/tcp/4001", "/ip4/127.0.0.1/tcp/4002"],
        );
        check(
            &["/ip6/2001:db8::1/udp/1/quic-v1", "/ip6/::1/udp/1/quic-v1", "/ip4/127.0.0.1/udp/1/quic-v1"],
            &["/ip4/127.0.0.1/udp/1/quic-v1", "/ip6/::/udp/1/quic-v1"],
        );
        check(&["/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW/p2p-circuit/p2p/12D3KooX"], &[]);
        check(&["/dns/example.org/tcp/1", "/ip4/::1/tcp/1", "/ip4/127.0.0.1/tcp/65536", "", "tcp"], &[]);
    }

    #[test]
    fn a_chosen_port_becomes_part_of_the_place() {
        let known =
            addresses(&["/ip4/127.0.0.1/tcp/5/p2p/12D3KooW", "/ip4/127.0.0.1/tcp/6", "/ip4/192.0.2.1/udp/7/quic-v1"]);
        let check = |places: &[&str], expected: &[&str]| {
            let mut used = Vec::new();
            let with_ports: Vec<_> =
                addresses(places).iter().map(|place| with_port(place, &known, &mut used)).collect();
            assert_eq!(with_ports, addresses(expected));
        };
        check(&["/ip4/0.0.0.0/tcp/0", "/ip4/127.0.0.1/tcp/0"], &["/ip4/0.0.0.0/tcp/5", "/ip4/127.0.0.1/tcp/6"]);
        check(
            &["/ip4/0.0.0.0/udp/0/quic-v1", "/ip4/0.0.0.0/tcp/9"],
            &["/ip4/0.0.0.0/udp/7/quic-v1", "/ip4/0.0.0.0/tcp/9"],
        );
        check(&["/ip6/::/tcp/0", "/dns4/example.org/tcp/0"], &["/ip6/::/tcp/0", "/dns4/example.org/tcp/0"]);
    }

    #[test]
    fn the_default_places_are_understood() {
        assert_eq!(everywhere().filter_map(|place| at_any_port(&place)).collect::<Vec<_>>(), addresses(&EVERYWHERE));
    }

    #[test]
    fn addresses_are_known_by_their_places() {
        let check = |address: &str, place: &str, expected| {
            let [address, place] = [address, place].map(|text| Address::new(text).unwrap());
            assert_eq!(is_at(&address, &place), expected, "{address} {place}");
        };
        check("/ip4/192.0.2.1/tcp/4001/p2p/12D3KooW", "/ip4/0.0.0.0/tcp/0", true);
        check("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4001", true);
        check("/ip4/127.0.0.1/tcp/4001", "/ip4/127.0.0.1/tcp/4002", false);
        check("/ip4/127.0.0.1/udp/4001/quic-v1", "/ip4/0.0.0.0/tcp/0", false);
        check("/ip6/::1/tcp/4001", "/ip4/0.0.0.0/tcp/0", false);
    }
}
