//! Operations by which a member without the right would give itself more. Aims at M4.

use walytis_identities::{Founder, Genesis, Purpose};
use walytis_identities::{History, InvitationSecret, OpenInvitation, Operation, Role, SignedBinding};

use super::{Class, Tricks, Turn};
use crate::NodeId;

pub(super) const CLASS: Class =
    Class::member("self_promotion", || Tricks::boxed(&[managers_invitation, invitation, founder]));

fn open(turn: &mut Turn<'_>, to: NodeId, role: Role) -> Option<()> {
    let invitation = InvitationSecret::generate(&mut turn.puppet.rng).key().public().id();
    let operation = Operation::OpenInvitation(OpenInvitation { invitation, role, uses: 9, expires_at_ms: None });
    let block = turn.operation(operation.encode(), Vec::new())?;
    turn.forge(to, block, None)
}

fn managers_invitation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    open(turn, to, Role::Manage)
}

fn invitation(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    open(turn, to, Role::Read)
}

/// The group founded anew, by the enemy.
fn founder(turn: &mut Turn<'_>, to: NodeId) -> Option<()> {
    let author = turn.puppet.author(turn.group).ok()?;
    let path = vec![turn.puppet.device.user, turn.puppet.device.identity];
    let place = turn.group.0;
    let signed: SignedBinding = turn.puppet.device.bind(path, &place, &author, None, &mut turn.puppet.rng);
    let founder = Founder::Identity(Box::new(signed));
    let genesis = Operation::Genesis(Genesis { purpose: Purpose::OwnContent, founder, history: History::All });
    let block = turn.operation(genesis.encode(), Vec::new())?;
    turn.forge(to, block, None)
}
