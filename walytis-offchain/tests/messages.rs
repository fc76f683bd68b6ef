//! Bounds of messages that no peer may exceed, at the bound and one beyond it.

use walytis_core::Address;
use walytis_offchain::{ADDRESSES_MAX, Message};

#[test]
fn a_greeting_has_a_bounded_number_of_addresses() {
    let hello = |count: usize| {
        let address = Address::new("/ip4/127.0.0.1/tcp/1").expect("an address");
        Message::Hello { addresses: vec![address; count] }
    };
    assert_eq!(Message::decode(&hello(ADDRESSES_MAX).encode()), Ok(hello(ADDRESSES_MAX)));
    assert!(Message::decode(&hello(ADDRESSES_MAX + 1).encode()).is_err());
}
