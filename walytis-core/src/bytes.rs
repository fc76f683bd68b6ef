//! Newtypes of ids, keys and addresses.

use core::net::IpAddr;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Why a text is not the id or the key that was asked for.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ParseIdError {
    /// The text has another length.
    #[error("expected {expected} hexadecimal digits, found {found} characters")]
    Length {
        /// How many digits the id has.
        expected: usize,
        /// How many characters were given.
        found: usize,
    },
    /// The text has a character that does not belong there.
    #[error("a character does not belong there")]
    Character,
    /// The text is not the base58 form of a peer id with an Ed25519 key.
    #[error("not a peer id with an Ed25519 key")]
    Peer,
}

macro_rules! bytes32 {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }
        }
    };
}

macro_rules! hexadecimal {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let text = data_encoding::HEXLOWER.encode(&self.0);
                write!(f, "{}({}..)", stringify!($name), text.get(..8).unwrap_or_default())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, ParseIdError> {
                if text.len() != 64 {
                    return Err(ParseIdError::Length { expected: 64, found: text.len() });
                }
                let bytes =
                    data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ParseIdError::Character)?;
                bytes.try_into().map(Self).map_err(|_| ParseIdError::Character)
            }
        }
    };
}

bytes32! {
    /// A block's id: the BLAKE3 hash of its header's exact bytes (format version 1).
    BlockId
}
hexadecimal!(BlockId);

bytes32! {
    /// A chain's id: the id of its genesis block.
    ChainId
}
hexadecimal!(ChainId);

bytes32! {
    /// A BLAKE3 hash of something that is not a block.
    Hash
}
hexadecimal!(Hash);

bytes32! {
    /// The Ed25519 public key under which a device writes on one chain. It may be any 32 bytes until a signature by it
    /// has been verified.
    AuthorKey
}
hexadecimal!(AuthorKey);

bytes32! {
    /// The Ed25519 public key by which the transport knows a node. Shown in the base58 form that libp2p uses.
    PeerId
}

impl ChainId {
    /// The chain id that a genesis block carries: its own is not known before it exists.
    pub const ZERO: Self = Self([0; 32]);
}

impl From<BlockId> for ChainId {
    fn from(genesis: BlockId) -> Self {
        Self(genesis.0)
    }
}

impl From<ChainId> for BlockId {
    fn from(chain: ChainId) -> Self {
        Self(chain.0)
    }
}

/// The multihash and protobuf wrapping of an Ed25519 key in a libp2p peer id.
const PEER_PREFIX: [u8; 6] = [0x00, 0x24, 0x08, 0x01, 0x12, 0x20];

impl PeerId {
    /// The 38 bytes of the libp2p peer id of this key.
    #[must_use]
    pub fn to_multihash(&self) -> [u8; 38] {
        let mut bytes = [0; 38];
        let (prefix, key) = bytes.split_at_mut(PEER_PREFIX.len());
        prefix.copy_from_slice(&PEER_PREFIX);
        key.copy_from_slice(&self.0);
        bytes
    }

    /// The key in a libp2p peer id, if it is an Ed25519 one.
    ///
    /// # Errors
    /// [`ParseIdError::Peer`] otherwise.
    pub fn from_multihash(bytes: &[u8]) -> Result<Self, ParseIdError> {
        let key = bytes.strip_prefix(&PEER_PREFIX).ok_or(ParseIdError::Peer)?;
        key.try_into().map(Self).map_err(|_| ParseIdError::Peer)
    }
}

impl fmt::Display for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&bs58::encode(self.to_multihash()).into_string())
    }
}

impl fmt::Debug for PeerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PeerId({self})")
    }
}

impl FromStr for PeerId {
    type Err = ParseIdError;

    fn from_str(text: &str) -> Result<Self, ParseIdError> {
        let mut bytes = [0; 64];
        let length = bs58::decode(text).onto(&mut bytes[..]).map_err(|_| ParseIdError::Peer)?;
        Self::from_multihash(bytes.get(..length).unwrap_or_default())
    }
}

/// Where a peer can be dialled: a multiaddress as text, such as `/ip4/127.0.0.1/tcp/4001/p2p/12D3Koo...`. The transport
/// parses it; here it is only bounded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Address(String);

impl<'de> Deserialize<'de> for Address {
    /// Reads an address of at most [`Address::BYTES_MAX`] bytes. Of a longer one nothing is kept.
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        if text.len() > Self::BYTES_MAX {
            return Err(serde::de::Error::invalid_length(text.len(), &"the bytes of an address"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl Address {
    /// The most bytes that an address may have: several times what the longest relay address needs.
    pub const BYTES_MAX: usize = 512;

    /// Takes an address, unless it is too long to be one.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = text.into();
        (text.len() <= Self::BYTES_MAX).then_some(Self(text))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The peer that the address ends in, if it names one.
    #[must_use]
    pub fn peer(&self) -> Option<PeerId> {
        self.0.rsplit_once("/p2p/")?.1.parse().ok()
    }

    /// Whether the address leads through a relay.
    #[must_use]
    pub fn is_relayed(&self) -> bool {
        self.0.contains("/p2p-circuit")
    }

    /// The addresses of a node that others are told: at most `max` of them, those of most use first.
    ///
    /// What only this machine can reach is told where there is nothing else: whoever is told of `127.0.0.1` dials
    /// himself. First come those through a relay, which are few and may be the only ones that work. Of the others each host
    /// has its turn before any has a second one: if one address of a host cannot be reached, the others of it hardly can.
    #[must_use]
    pub fn for_others(addresses: &[Self], max: usize) -> Vec<Self> {
        let Some(best) = addresses.iter().map(Self::scope).min() else { return Vec::new() };
        let mut useful: Vec<&Self> = addresses.iter().filter(|address| address.scope() == best).collect();
        useful.sort_by_key(|address| !address.is_relayed());
        let mut turns: Vec<(usize, &Self)> = Vec::with_capacity(useful.len());
        for (number, address) in useful.iter().enumerate() {
            let before = useful.iter().take(number).filter(|other| other.host() == address.host()).count();
            turns.push((if address.is_relayed() { 0 } else { before }, address));
        }
        turns.sort_by_key(|(turn, _)| *turn);
        turns.into_iter().take(max).map(|(_, address)| address.clone()).collect()
    }

    /// The first two parts: the kind of host, and which.
    fn host(&self) -> Option<(&str, &str)> {
        let mut parts = self.0.split('/').skip(1);
        Some((parts.next()?, parts.next()?))
    }

    fn scope(&self) -> Scope {
        match self.host().and_then(|(_, host)| host.parse::<IpAddr>().ok()) {
            Some(ip) if ip.is_loopback() => Scope::Machine,
            // Nobody can dial one without the name of his own interface, which no address has.
            Some(IpAddr::V6(ip)) if ip.is_unicast_link_local() => Scope::Link,
            _ => Scope::Network,
        }
    }
}

/// Who can reach an address, the most useful first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Scope {
    Network,
    Machine,
    Link,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({})", self.0)
    }
}

/// A wall clock's reading in milliseconds since 1970, as far as that clock can be trusted. Nothing is decided by it
/// but what a person is shown, and when a timer is due.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The reading `ms` milliseconds later.
    #[must_use]
    pub const fn after(self, ms: u64) -> Self {
        Self(self.0.saturating_add(ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_survive_their_text() {
        let id = BlockId([0xAB; 32]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!("00".parse::<BlockId>(), Err(ParseIdError::Length { expected: 64, found: 2 }));
        assert_eq!("zz".repeat(32).parse::<BlockId>(), Err(ParseIdError::Character));
    }

    #[test]
    fn a_peer_id_reads_as_libp2p_writes_it() {
        let peer = PeerId([7; 32]);
        let text = peer.to_string();
        assert!(text.starts_with("12D3KooW"), "{text}");
        assert_eq!(text.parse(), Ok(peer));
        let address = Address::new(format!("/ip4/127.0.0.1/tcp/1/p2p/{text}")).unwrap();
        assert_eq!(address.peer(), Some(peer));
        assert_eq!("12D3KooW".parse::<PeerId>(), Err(ParseIdError::Peer));
        let relayed = format!("/ip4/192.0.2.1/tcp/1/p2p/{}/p2p-circuit/p2p/{text}", PeerId([8; 32]));
        assert_eq!(Address::new(relayed).unwrap().peer(), Some(peer), "not the relay");
    }

    #[test]
    fn others_are_told_what_they_can_use_and_of_each_host_something() {
        let check = |max, given: &[&str], expected: &[&str]| {
            let given: Vec<Address> = given.iter().map(|text| Address::new(*text).unwrap()).collect();
            let told: Vec<String> = Address::for_others(&given, max).into_iter().map(|address| address.0).collect();
            assert_eq!(told, expected, "{max} of {given:?}");
        };
        let (loopback, loopback_6, link) = ("/ip4/127.0.0.1/tcp/1", "/ip6/::1/tcp/1", "/ip6/fe80::7/tcp/1");
        let (tcp, quic) = ("/ip4/192.0.2.1/tcp/1", "/ip4/192.0.2.1/udp/1/quic-v1");
        let (tcp_6, quic_6) = ("/ip6/2001:db8::1/tcp/1", "/ip6/2001:db8::1/udp/1/quic-v1");
        let relayed = "/ip4/192.0.2.2/tcp/1/p2p/x/p2p-circuit/p2p/y";
        check(8, &[], &[]);
        check(8, &[loopback, loopback_6, link, tcp], &[tcp]);
        check(8, &[link, loopback, loopback_6], &[loopback, loopback_6]);
        check(8, &[link], &[link]);
        check(8, &["/ip4/127.3.2.1/tcp/1", tcp, relayed], &[relayed, tcp]);
        check(8, &[tcp, quic, tcp_6, quic_6], &[tcp, tcp_6, quic, quic_6]);
        check(3, &[loopback, tcp, quic, tcp_6, quic_6, relayed], &[relayed, tcp, tcp_6]);
        check(8, &["/dns4/example.org/tcp/1", "/memory/1", loopback], &["/dns4/example.org/tcp/1", "/memory/1"]);
    }
}
