//! Where a connection comes from, as far as limits by address go.

use std::net::{IpAddr, Ipv6Addr};

use libp2p::Multiaddr;
use libp2p::multiaddr::Protocol;

/// Bits of an IPv6 address that one customer has at least: its own network.
const NARROW_BITS: u32 = 64;

/// Bits of an IPv6 address that are one site's: providers give up to this much to a customer.
const WIDE_BITS: u32 = 48;

/// Bits of an IPv4 address that are one network's.
const WIDE_BITS_V4: u32 = 24;

/// Addresses that may be one person's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Prefix {
    /// The first bits of an IPv4 address.
    V4(u32),
    /// The first bits of an IPv6 address.
    V6(u128),
    /// Whatever comes through a relay: it does not say from where.
    Relayed,
}

/// Where a connection comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    /// The IPv4 address, or the IPv6 address's first 64 bits.
    pub(crate) narrow: Prefix,
    /// The first 24 or 48 bits.
    pub(crate) wide: Prefix,
}

impl Origin {
    /// Reads the address of the other side, as the transport gives it.
    pub(crate) fn of(remote: &Multiaddr) -> Self {
        match remote.iter().next() {
            Some(Protocol::Ip4(ip)) => Self::of_ip(ip.into()),
            Some(Protocol::Ip6(ip)) => Self::of_ip(ip.into()),
            _ => Self { narrow: Prefix::Relayed, wide: Prefix::Relayed },
        }
    }

    fn of_ip(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            IpAddr::V4(ip) => {
                let bits = u32::from(ip);
                Self { narrow: Prefix::V4(bits), wide: Prefix::V4(bits & mask_v4(WIDE_BITS_V4)) }
            }
            IpAddr::V6(ip) => {
                let bits = Ipv6Addr::to_bits(ip);
                Self { narrow: Prefix::V6(bits & mask_v6(NARROW_BITS)), wide: Prefix::V6(bits & mask_v6(WIDE_BITS)) }
            }
        }
    }
}

/// The first so many bits of 32.
const fn mask_v4(bits: u32) -> u32 {
    !(u32::MAX >> bits)
}

/// The first so many bits of 128.
const fn mask_v6(bits: u32) -> u128 {
    !(u128::MAX >> bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_share_a_prefix_and_others_do_not() {
        // (one address, another, the narrow prefix is the same, the wide one is)
        let cases = [
            ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/2/quic-v1", true, true),
            ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.2/tcp/1", false, true),
            ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.3.1/tcp/1", false, false),
            ("/ip4/192.0.2.1/tcp/1", "/ip6/::ffff:192.0.2.1/tcp/1", true, true),
            ("/ip6/2001:db8:1:1::1/tcp/1", "/ip6/2001:db8:1:1:ffff::2/tcp/1", true, true),
            ("/ip6/2001:db8:1:1::1/tcp/1", "/ip6/2001:db8:1:2::1/tcp/1", false, true),
            ("/ip6/2001:db8:1:1::1/tcp/1", "/ip6/2001:db8:2:1::1/tcp/1", false, false),
            ("/ip4/0.0.0.0/tcp/1", "/ip6/::/tcp/1", false, false),
        ];
        for (one, other, narrow, wide) in cases {
            let [one_is, other_is] = [one, other].map(|text| Origin::of(&text.parse().unwrap()));
            assert_eq!(
                (one_is.narrow == other_is.narrow, one_is.wide == other_is.wide),
                (narrow, wide),
                "{one} {other}"
            );
        }
        assert_eq!(Origin::of(&Multiaddr::empty()).narrow, Prefix::Relayed);
    }
}
