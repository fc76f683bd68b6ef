//! What every command works with.

use std::sync::Arc;

use anyhow::anyhow;
use offchain_store::{OpenError, UnlockKind};
use walytis_node::{Home, Migration, NodeError, Unlock};

use crate::arguments::Global;
use crate::home::HomeFolder;
use crate::output::Output;
use crate::stop::Stop;
use crate::unlock::{self, Purpose};

/// What every command works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) home: HomeFolder,
    pub(crate) output: Output,
    pub(crate) stop: Stop,
    /// What unlocks the home, once it was asked for.
    pub(crate) unlock: Option<Arc<Unlock>>,
    /// The command's name, for whoever waits for the home.
    pub(crate) command: &'static str,
}

impl Context {
    /// What unlocks the home. A person is asked once.
    pub(crate) async fn secret(&mut self) -> anyhow::Result<Arc<Unlock>> {
        if let Some(unlock) = &self.unlock {
            return Ok(Arc::clone(unlock));
        }
        let unlock = Arc::new(unlock::unlock(&self.global, Purpose::Open, &mut self.stop).await?);
        self.unlock = Some(Arc::clone(&unlock));
        Ok(unlock)
    }

    /// Opens the home's store, beside the runtime: stretching a passphrase takes a while.
    pub(crate) async fn unlock_home(&mut self, unlock: Arc<Unlock>) -> anyhow::Result<Home> {
        let store = self.home.store();
        let opening = tokio::task::spawn_blocking(move || Home::open(store, &unlock));
        let opened = self.stop.or(async { Ok(opening.await?) }).await?;
        let home = opened.map_err(|error| self.explain(error))?;
        if let Some(Migration { from, to }) = home.migration() {
            self.output.remark(format_args!(
                "This home had format {from}, and has format {to} now: builds that read format {from} alone do not open it \
                 any more."
            ));
        }
        Ok(home)
    }

    /// Says what to do, in terms of this program.
    fn explain(&self, error: NodeError) -> anyhow::Error {
        match error {
            NodeError::Open(OpenError::Damaged { what, reason }) => {
                anyhow!("{what} is damaged ({reason}). {}", self.home.way_out())
            }
            NodeError::Open(OpenError::NotFound { what }) => {
                anyhow!("the home is incomplete: {what} is missing. {}", self.home.way_out())
            }
            NodeError::Open(OpenError::OtherUnlock { what, wanted }) => match wanted {
                UnlockKind::Key => anyhow!("{what} is locked by a raw key: it opens with --key-file"),
                UnlockKind::Passphrase => anyhow!("{what} is locked by a passphrase: it opens without --key-file"),
            },
            other => other.into(),
        }
    }
}
