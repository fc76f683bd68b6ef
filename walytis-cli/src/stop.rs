//! Ctrl-C and SIGTERM.

use std::io;

use tokio::sync::watch;

/// The exit status of a program that was told to stop before it had done all, as shells count it.
pub(crate) const INTERRUPTED: u8 = 130;

/// The person, or the system, has asked the program to stop.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("interrupted")]
pub(crate) struct Interrupted;

/// Tells when the program is asked to stop. A second request ends it at once.
#[derive(Clone, Debug)]
pub(crate) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Takes the signals over. Must be called within a tokio runtime.
    pub(crate) fn listen() -> io::Result<Self> {
        let mut signals = Signals::new()?;
        let (asked, received) = watch::channel(false);
        tokio::spawn(async move {
            signals.next().await;
            // Whoever waits may be gone already.
            let _ = asked.send(true);
            signals.next().await;
            std::process::exit(INTERRUPTED.into());
        });
        Ok(Self(received))
    }

    /// Waits for the request.
    pub(crate) async fn requested(&mut self) {
        if self.0.wait_for(|asked| *asked).await.is_err() {
            // The sender lives as long as the runtime.
            std::future::pending::<()>().await;
        }
    }

    /// Ends `work` when the program is asked to stop.
    pub(crate) async fn or<T>(&mut self, work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
        tokio::select! {
            biased;
            () = self.requested() => Err(Interrupted.into()),
            result = work => result,
        }
    }
}

#[cfg(unix)]
struct Signals {
    all: [tokio::signal::unix::Signal; 3],
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let all = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = all.map(signal);
        Ok(Self { all: [interrupt?, terminate?, hangup?] })
    }

    async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.all;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
