//! A join under way.

use tokio::sync::{oneshot, watch};
use walytis_core::PeerId;
use walytis_identities::InvitationCode;
use walytis_offchain::{Answer, EngineError, GroupSummary, Progress};

use crate::error::NodeError;
use crate::node::{Node, mismatch};
use crate::progress::Progressing;

/// A join under way; see [`Node::join`]. It goes on if this is dropped, for as long as the node runs.
#[derive(Debug)]
pub struct Join {
    node: Node,
    answered: oneshot::Receiver<Result<Answer, EngineError>>,
    progress: Progressing,
    inviters: Vec<PeerId>,
}

impl Join {
    pub(crate) fn new(
        node: Node,
        answered: oneshot::Receiver<Result<Answer, EngineError>>,
        progress: watch::Receiver<Option<Progress>>,
        code: &str,
    ) -> Self {
        let code = code.parse::<InvitationCode>();
        let inviters =
            code.map(|code| code.inviters().iter().map(|inviter| inviter.peer).collect()).unwrap_or_default();
        Self { node, answered, progress: Progressing::new(progress), inviters }
    }

    /// Waits for progress and gives the newest; `None` once the join has ended. Safe to cancel.
    pub async fn progress(&mut self) -> Option<Progress> {
        self.progress.next().await
    }

    /// Waits until everything that the inviter had is here, and gives the group.
    ///
    /// # Errors
    /// [`EngineError::Invitation`] for a code that cannot be read, [`EngineError::NoInviter`],
    /// [`EngineError::Refused`], [`EngineError::Dropped`], [`EngineError::BadInviter`], [`EngineError::Interrupted`],
    /// [`NodeError::OtherProtocol`],
    /// [`EngineError::AlreadyMember`], [`EngineError::AlreadyJoining`], [`EngineError::OtherKind`] or
    /// [`EngineError::PublicGenesis`] if the id is no group's, [`EngineError::BadName`] or
    /// [`EngineError::NameTaken`]; or [`NodeError::Closed`] if the node is shut down before.
    pub async fn finish(self) -> Result<GroupSummary, NodeError> {
        let answer = self.node.answer(self.answered).await?;
        match answer.map_err(|error| self.node.why_not_joined(&self.inviters, error))? {
            Answer::Group(group) => Ok(group),
            other => mismatch(&other),
        }
    }
}
