//! Admissions by who may not admit: of an accomplice, and of oneself. Aims at M4, attacks 5 and 7.

use walytis_core::{AuthorSecret, ForeignHead, Hash, Header, chains};
use walytis_engine::sync::WireBlock;
use walytis_identities::{Admit, Desk, InvitationSecret, LeafSecret, LocalDevice, Operation};

use super::{Class, Tricks, Turn};
use crate::{NodeId, Puppet};

pub(super) const CLASS: Class = Class::member("forged_admissions", || Tricks::boxed(&[accomplice, oneself]));

fn invitation(turn: &mut Turn<'_>) -> InvitationSecret {
    match turn.invitation {
        Some(known) => known.clone(),
        None => InvitationSecret::generate(&mut turn.puppet.rng),
    }
}

fn admission(turn: &mut Turn<'_>, device: &LocalDevice) -> Option<WireBlock> {
    let invitation = invitation(turn);
    let session = Hash(turn.random_id().0);
    let rng = &mut turn.puppet.rng;
    let (author, leaf) = (AuthorSecret::generate(rng), LeafSecret::generate(rng));
    let path = vec![device.user, device.identity];
    let joiner = device.bind(path, &turn.group.0, &author, Some(&leaf), rng);
    let proof = Puppet::proof(turn.group, &joiner, &invitation, &session, rng);
    let member = device.user;
    let heads = chains::heads(&turn.puppet.view, member).ok()?;
    let foreign: Vec<_> = heads.into_iter().map(|block| ForeignHead { chain: member, block }).collect();
    let admit = Admit { joiner, invitation: invitation.key().public().clone(), session, proof };
    let block = turn.operation(Operation::Admit(Box::new(admit)).encode(), foreign.clone())?;
    let foreign = chains::foreign_ancestors(&turn.puppet.view, &foreign).ok()??;
    turn.deeds.forged.insert(Header::id_of(&block.header));
    Some(WireBlock { block, attachment: None, foreign })
}

fn accomplice(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let block = turn.scratch(|turn| {
        let now = turn.world.wall_clock(turn.puppet.node());
        let Puppet { view, fold, rng, .. } = turn.puppet;
        let device = LocalDevice::create(&mut Desk { view, fold, now, rng }).ok()?;
        admission(turn, &device)
    })?;
    turn.push(to, block)
}

fn oneself(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let again = walytis_identities::keyring::device(&turn.puppet.view).ok()??;
    let block = admission(turn, &again)?;
    turn.push(to, block)
}
