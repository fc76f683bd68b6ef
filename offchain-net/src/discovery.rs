//! Finding peers and being found, as far as it is turned on: relays that keep a place for us, lookups, the local network,
//! and which connections are needed for that although they carry no frames.

use std::collections::{HashMap, HashSet, VecDeque};

use libp2p::core::ConnectedPoint;
use libp2p::core::transport::ListenerId;
use libp2p::kad::store::RecordStore;
use libp2p::kad::{self, GetProvidersOk, InboundRequest, ProviderRecord, QueryId, QueryResult, RecordKey};
use libp2p::multiaddr::Protocol;
use libp2p::swarm::{ConnectionId, NetworkBehaviour};
use libp2p::{Multiaddr, PeerId as LibPeer, Swarm, mdns, relay};
use tokio::time::Instant;
use walytis_core::{Address, Found, PeerId};

use crate::address::{Target, bare, carrier, core_peer, full, libp2p_peer, unusable};
use crate::config::{
    DISCOVERED_MAX, DISCOVERIES_MAX, DISCOVERY_WINDOW, FOUND_ADDRESSES_MAX, LOCAL_NODES_MAX, LOOKUPS_MAX,
    RELAY_PATIENCE, RELAY_PAUSE, RELAY_PAUSE_MAX,
};
use crate::lookup_table::{Kept, LookupTable, Prefix};
use crate::network::StartError;
use crate::reach::{HELPERS_MAX, Reach};
use crate::transport::{Behaviour, BehaviourEvent};

/// A relay at which we have a place, or want one.
struct Relay {
    place: Multiaddr,
    peer: LibPeer,
    listener: Option<ListenerId>,
    tries: u32,
    /// When to ask again, while there is no listener.
    due: Instant,
}

/// See the module's documentation.
pub(crate) struct Discovery {
    local: LibPeer,
    relays: Vec<Relay>,
    lookup_server: bool,
    /// Whether our addresses are told to relays' guests and to those who look us up.
    announces: bool,
    lookups: HashMap<QueryId, LibPeer>,
    /// Whose addresses this lookup server keeps.
    table: LookupTable,
    /// Where the connected peers of this lookup server are.
    prefixes: HashMap<LibPeer, Prefix>,
    /// What was discovered last, oldest first, and how.
    found: VecDeque<(Address, Found)>,
    window: (Instant, u32),
    /// Who has a place at this relay.
    guests: HashSet<LibPeer>,
    /// How many connections of others this relay carries, by each of their ends.
    circuits: HashMap<LibPeer, usize>,
}

impl Discovery {
    /// Tells the swarm what it begins with.
    pub(crate) fn start(swarm: &mut Swarm<Behaviour>, reach: &Reach) -> Result<Self, StartError> {
        let now = Instant::now();
        let mut relays = Vec::new();
        for (place, peer) in helpers(&reach.relays)? {
            relays.push(Relay { place, peer, listener: None, tries: 0, due: now + RELAY_PATIENCE });
        }
        let bootstrap = helpers(&reach.bootstrap)?;
        if let Some(lookup) = swarm.behaviour_mut().lookup.as_mut() {
            for (place, peer) in bootstrap {
                lookup.add_address(&peer, place);
            }
        }
        Ok(Self {
            local: *swarm.local_peer_id(),
            relays,
            lookup_server: reach.lookup_server,
            announces: reach.relay_server.is_some() || reach.looks_up(),
            lookups: HashMap::new(),
            table: LookupTable::default(),
            prefixes: HashMap::new(),
            found: VecDeque::new(),
            window: (now, 0),
            guests: HashSet::new(),
            circuits: HashMap::new(),
        })
    }

    /// When [`Discovery::wake`] has to be called.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.relays.iter().filter(|relay| relay.listener.is_none()).map(|relay| relay.due).min()
    }

    /// Asks relays for a place, where it is time to.
    pub(crate) fn wake(&mut self, swarm: &mut Swarm<Behaviour>) {
        let now = Instant::now();
        for relay in self.relays.iter_mut().filter(|relay| relay.listener.is_none() && relay.due <= now) {
            let place = relay.place.clone().with(Protocol::P2p(relay.peer)).with(Protocol::P2pCircuit);
            match swarm.listen_on(place) {
                Ok(listener) => relay.listener = Some(listener),
                Err(error) => {
                    tracing::warn!(%error, relay = %relay.peer, "cannot ask a relay for a place");
                    relay.pause(now);
                }
            }
        }
    }

    /// A listener is gone. `true` if it was that of a relay, which is asked again later.
    pub(crate) fn listener_closed(&mut self, listener: ListenerId) -> bool {
        let Some(relay) = self.relays.iter_mut().find(|relay| relay.listener == Some(listener)) else { return false };
        tracing::debug!(relay = %relay.peer, "no place at a relay");
        relay.listener = None;
        relay.pause(Instant::now());
        true
    }

    /// This node accepts connections there. Those who look it up are told, and the guests of this relay.
    pub(crate) fn listening(&mut self, swarm: &mut Swarm<Behaviour>, place: &Multiaddr) {
        // A connection that leaves from the port at which we listen has the router keep open what leads there.
        let now = Instant::now();
        let same = |relay: &&mut Relay| carrier(&relay.place) == carrier(place) && relay.tries == 0;
        self.relays.iter_mut().filter(same).for_each(|relay| relay.due = now);
        if self.announces {
            swarm.add_external_address(place.clone());
            self.announce(swarm);
        }
    }

    /// This node no longer accepts connections there.
    pub(crate) fn stopped_listening(&self, swarm: &mut Swarm<Behaviour>, place: &Multiaddr) {
        if self.announces {
            swarm.remove_external_address(place);
            self.announce(swarm);
        }
    }

    /// Tells those who help others to look peers up where this node is. Anew with each address: what is told holds all.
    pub(crate) fn announce(&self, swarm: &mut Swarm<Behaviour>) {
        if let Some(lookup) = swarm.behaviour_mut().lookup.as_mut()
            && let Err(error) = lookup.start_providing(key_of(&self.local))
        {
            tracing::debug!(%error, "cannot be looked up");
        }
    }

    /// Looks for a peer's addresses. Gives those that the local network knows already: whoever was connected when they were
    /// told passed them over.
    pub(crate) fn find(&mut self, swarm: &mut Swarm<Behaviour>, peer: PeerId) -> Vec<Address> {
        let Some(peer) = libp2p_peer(peer) else { return Vec::new() };
        if let Some(lookup) = swarm.behaviour_mut().lookup.as_mut()
            && self.lookups.len() < LOOKUPS_MAX
            && !self.lookups.values().any(|other| *other == peer)
        {
            self.lookups.insert(lookup.get_providers(key_of(&peer)), peer);
        }
        let Some(local) = swarm.behaviour_mut().local.as_mut() else { return Vec::new() };
        let places = dialled_places(local, peer);
        places.into_iter().filter(|address| self.note(address, Found::LocalNetwork)).collect()
    }

    /// There is a connection with a peer.
    pub(crate) fn established(&mut self, peer: LibPeer, endpoint: &ConnectedPoint) {
        if self.lookup_server {
            self.prefixes.insert(peer, Prefix::of(endpoint));
        }
    }

    /// There is no connection with a peer any more.
    pub(crate) fn gone(&mut self, peer: &LibPeer) {
        self.prefixes.remove(peer);
    }

    /// How an address came to be known, as far as that is remembered.
    pub(crate) fn source(&self, address: &Address) -> Found {
        let found = self.found.iter().rev().find(|(known, _)| known == address);
        found.map_or(Found::Told, |(_, found)| *found)
    }

    /// Whether a connection with a peer is needed although it carries no frames.
    pub(crate) fn needs(&self, peer: PeerId) -> bool {
        let Some(peer) = libp2p_peer(peer) else { return false };
        self.relays.iter().any(|relay| relay.peer == peer)
            || self.guests.contains(&peer)
            || self.circuits.contains_key(&peer)
    }

    /// What a behaviour says. Gives the addresses that the caller should hear of.
    pub(crate) fn event(&mut self, swarm: &mut Swarm<Behaviour>, event: BehaviourEvent) -> Vec<Address> {
        match event {
            BehaviourEvent::Local(mdns::Event::Discovered(nodes)) => self.near(swarm, nodes),
            BehaviourEvent::Lookup(event) => self.lookup(swarm, event),
            BehaviourEvent::RelayServer(event) => {
                self.relayed(swarm, &event);
                Vec::new()
            }
            BehaviourEvent::RelayClient(relay::client::Event::ReservationReqAccepted { relay_peer_id, .. }) => {
                for relay in self.relays.iter_mut().filter(|relay| relay.peer == relay_peer_id) {
                    relay.tries = 0;
                }
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    fn near(&mut self, swarm: &mut Swarm<Behaviour>, nodes: Vec<(LibPeer, Multiaddr)>) -> Vec<Address> {
        let known = swarm.behaviour().local.as_ref().map_or(0, |local| local.discovered_nodes().len());
        if known > LOCAL_NODES_MAX {
            tracing::warn!("somebody floods the local network with nodes: they are not looked for any more");
            swarm.behaviour_mut().local = None.into();
            return Vec::new();
        }
        let nodes = nodes.into_iter().filter_map(|(peer, place)| dialable(peer, place));
        let nodes: Vec<Address> = nodes.collect();
        nodes.into_iter().filter(|address| self.note(address, Found::LocalNetwork)).collect()
    }

    /// Remembers how an address was found. `false` if there are too many of late.
    fn note(&mut self, address: &Address, found: Found) -> bool {
        let (begun, count) = &mut self.window;
        if begun.elapsed() > DISCOVERY_WINDOW {
            (*begun, *count) = (Instant::now(), 0);
        }
        *count = count.saturating_add(1);
        if *count > DISCOVERIES_MAX {
            return false;
        }
        self.found.retain(|(known, _)| known != address);
        self.found.push_back((address.clone(), found));
        if self.found.len() > DISCOVERED_MAX {
            self.found.pop_front();
        }
        true
    }

    fn lookup(&mut self, swarm: &mut Swarm<Behaviour>, event: kad::Event) -> Vec<Address> {
        match event {
            kad::Event::InboundRequest { request: InboundRequest::AddProvider { record: Some(record) } } => {
                if let (true, Some(lookup)) = (self.lookup_server, swarm.behaviour_mut().lookup.as_mut())
                    && let Some(record) = acceptable(record)
                {
                    let prefix = self.prefixes.get(&record.provider).copied().unwrap_or(Prefix::Other);
                    let (keep, forgotten) = match self.table.told(record.provider, prefix, Instant::now()) {
                        Kept::Yes { forgotten } => (true, forgotten),
                        Kept::No { forgotten } => (false, forgotten),
                    };
                    for peer in forgotten {
                        lookup.store_mut().remove_provider(&key_of(&peer), &peer);
                    }
                    if !keep {
                        lookup.store_mut().remove_provider(&record.key, &record.provider);
                    } else if let Err(error) = lookup.store_mut().add_provider(record) {
                        tracing::debug!(%error, "cannot keep where a peer is");
                    }
                }
                Vec::new()
            }
            kad::Event::OutboundQueryProgressed { id, result: QueryResult::GetProviders(result), step, .. } => {
                let sought = self.lookups.get(&id).copied();
                if step.last {
                    self.lookups.remove(&id);
                }
                match (result, sought) {
                    (Ok(GetProvidersOk::FoundProviders { providers, .. }), Some(peer)) if providers.contains(&peer) => {
                        self.looked_up(swarm, peer)
                    }
                    _ => Vec::new(),
                }
            }
            kad::Event::OutboundQueryProgressed { result: QueryResult::StartProviding(Err(error)), .. } => {
                tracing::debug!(%error, "cannot tell where this node is");
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Takes the addresses that came with an answer. The query keeps them, for as long as it runs, for whoever dials.
    fn looked_up(&mut self, swarm: &mut Swarm<Behaviour>, peer: LibPeer) -> Vec<Address> {
        let Some(lookup) = swarm.behaviour_mut().lookup.as_mut() else { return Vec::new() };
        let places = dialled_places(lookup, peer);
        places.into_iter().filter(|address| self.note(address, Found::LookedUp)).collect()
    }

    fn relayed(&mut self, swarm: &Swarm<Behaviour>, event: &relay::Event) {
        match event {
            relay::Event::ReservationReqAccepted { src_peer_id, .. } => drop(self.guests.insert(*src_peer_id)),
            relay::Event::ReservationTimedOut { src_peer_id } => drop(self.guests.remove(src_peer_id)),
            // Told of every connection that ends.
            relay::Event::ReservationClosed { src_peer_id } if !swarm.is_connected(src_peer_id) => {
                self.guests.remove(src_peer_id);
            }
            relay::Event::CircuitReqAccepted { src_peer_id, dst_peer_id } => {
                tracing::debug!(from = %src_peer_id, to = %dst_peer_id, "relaying");
                for end in [src_peer_id, dst_peer_id] {
                    let count = self.circuits.entry(*end).or_insert(0);
                    *count = count.saturating_add(1);
                }
            }
            relay::Event::CircuitClosed { src_peer_id, dst_peer_id, error } => {
                let error = error.as_ref().map(ToString::to_string);
                tracing::debug!(from = %src_peer_id, to = %dst_peer_id, error, "relayed");
                for end in [src_peer_id, dst_peer_id] {
                    if let Some(count) = self.circuits.get_mut(end) {
                        *count = count.saturating_sub(1);
                    }
                }
                self.circuits.retain(|_, count| *count > 0);
            }
            _ => {}
        }
    }
}

impl Relay {
    fn pause(&mut self, now: Instant) {
        let pause = RELAY_PAUSE.saturating_mul(1_u32.checked_shl(self.tries).unwrap_or(u32::MAX)).min(RELAY_PAUSE_MAX);
        self.tries = self.tries.saturating_add(1).min(16);
        self.due = now + pause;
    }
}

/// Reads the addresses of nodes that help us: each is a direct one that names its peer.
fn helpers(addresses: &[Address]) -> Result<Vec<(Multiaddr, LibPeer)>, StartError> {
    if let Some(address) = addresses.get(HELPERS_MAX) {
        return Err(StartError::Helper(unusable(address, format!("there are more than {HELPERS_MAX} of its kind"))));
    }
    let read = |address: &Address| {
        let target = Target::parse(address)?;
        match (target.relay, target.peer) {
            (Some(_), _) => Err(unusable(address, "it leads through a relay")),
            (None, None) => Err(unusable(address, "it does not end in /p2p/<peer id>")),
            (None, Some(peer)) => Ok((target.place, peer)),
        }
    };
    addresses.iter().map(|address| read(address).map_err(StartError::Helper)).collect()
}

/// Under what a peer's addresses are kept.
fn key_of(peer: &LibPeer) -> RecordKey {
    RecordKey::new(&peer.to_bytes())
}

/// What a peer tells of itself, cut to what one may have kept; nothing that it tells of others.
fn acceptable(mut record: ProviderRecord) -> Option<ProviderRecord> {
    if record.key != key_of(&record.provider) {
        return None;
    }
    record.addresses.retain(|place| place.len() <= Address::BYTES_MAX);
    record.addresses.truncate(FOUND_ADDRESSES_MAX);
    record.addresses.shrink_to_fit();
    Some(record)
}

/// The addresses of a peer at which a behaviour would have it dialled.
fn dialled_places(behaviour: &mut impl NetworkBehaviour, peer: LibPeer) -> Vec<Address> {
    let (unused, dialer) = (ConnectionId::new_unchecked(0), libp2p::core::Endpoint::Dialer);
    let places = behaviour.handle_pending_outbound_connection(unused, Some(peer), &[], dialer).unwrap_or_default();
    places.into_iter().filter_map(|place| dialable(peer, place)).take(FOUND_ADDRESSES_MAX).collect()
}

/// An address that somebody told of, if it can be dialled: a full one of ours.
fn dialable(peer: LibPeer, place: Multiaddr) -> Option<Address> {
    let peer = core_peer(peer)?;
    let address = full(&bare(place), peer)?;
    let target = Target::parse(&address).ok()?;
    let works = target.socket.is_none_or(|socket| socket.port() != 0 && !socket.ip().is_unspecified());
    works.then_some(address)
}
