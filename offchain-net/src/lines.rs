//! Sockets of others that can be cut at once.
//!
//! A connection that has to make room for another must be gone when that is said. libp2p closes one politely: what waits
//! is written first, and whoever stops reading could hold its place until [`Guarded`](crate::guard::Guarded) gives up.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Waker};

use libp2p::Multiaddr;
use libp2p::futures::task::AtomicWaker;

/// Where a connection begins and where it ends: no two of TCP have both in common.
type Ends = (Multiaddr, Multiaddr);

/// The sockets that others have opened to us.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<HashMap<Ends, Arc<Cut>>>>);

#[derive(Default)]
struct Cut {
    done: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// One of them; it is forgotten with its socket.
pub(crate) struct Line {
    lines: Lines,
    ends: Ends,
    cut: Arc<Cut>,
}

/// Which half of a socket waits.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    Reading,
    Writing,
}

impl Lines {
    /// A socket has come.
    pub(crate) fn add(&self, local: &Multiaddr, remote: &Multiaddr) -> Line {
        let (ends, cut) = ((local.clone(), remote.clone()), Arc::new(Cut::default()));
        self.lock().insert(ends.clone(), Arc::clone(&cut));
        Line { lines: self.clone(), ends, cut }
    }

    /// Whatever waits for that socket fails from now on.
    pub(crate) fn cut(&self, local: &Multiaddr, remote: &Multiaddr) {
        if let Some(cut) = self.lock().get(&(local.clone(), remote.clone())) {
            cut.done.store(true, Ordering::Release);
            [&cut.reader, &cut.writer].into_iter().filter_map(AtomicWaker::take).for_each(Waker::wake);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Ends, Arc<Cut>>> {
        // Nothing inside can panic halfway.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Line {
    /// Whether the socket was cut. If not, the task is woken when it is.
    pub(crate) fn is_cut(&self, cx: &Context<'_>, half: Half) -> bool {
        match half {
            Half::Reading => self.cut.reader.register(cx.waker()),
            Half::Writing => self.cut.writer.register(cx.waker()),
        }
        self.cut.done.load(Ordering::Acquire)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lines = self.lines.lock();
        // Another one may have come from the same port since.
        if lines.get(&self.ends).is_some_and(|cut| Arc::ptr_eq(cut, &self.cut)) {
            lines.remove(&self.ends);
        }
    }
}
