//! What every command works with.

use walytis_node::{Home, Unlock};

use crate::arguments::Global;
use crate::home::HomeFolder;
use crate::output::Output;
use crate::stop::Stop;

/// What every command works with.
pub(crate) struct Context {
    pub(crate) global: Global,
    pub(crate) home: HomeFolder,
    pub(crate) output: Output,
    pub(crate) stop: Stop,
    /// The command's name, for whoever waits for the home.
    pub(crate) command: &'static str,
}

impl Context {
    /// Opens the home's store, beside the runtime: stretching a passphrase takes a while.
    pub(crate) async fn unlock_home(&mut self, unlock: Unlock) -> anyhow::Result<Home> {
        let store = self.home.store();
        let opening = tokio::task::spawn_blocking(move || Home::open(store, &unlock));
        self.stop.or(async { Ok(opening.await??) }).await
    }
}
