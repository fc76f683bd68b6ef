//! How far something is that takes its time.

use tokio::sync::watch;
use walytis_engine::Progress;

/// Progress as it comes.
#[derive(Debug)]
pub(crate) struct Progressing(watch::Receiver<Option<Progress>>);

impl Progressing {
    pub(crate) const fn new(progress: watch::Receiver<Option<Progress>>) -> Self {
        Self(progress)
    }

    /// Waits for the newest; `None` once there is no more to come. Safe to cancel.
    pub(crate) async fn next(&mut self) -> Option<Progress> {
        loop {
            self.0.changed().await.ok()?;
            let newest = *self.0.borrow_and_update();
            if newest.is_some() {
                return newest;
            }
        }
    }
}
