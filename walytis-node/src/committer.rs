//! Makes batches durable, in the order of their numbers.

use std::collections::VecDeque;
use std::sync::{Arc, mpsc};

use crate::machine::Event;
use tokio::sync::mpsc::UnboundedSender;
use tokio::sync::oneshot;
use walytis_core::{Batch, BatchNumber, Change, Store};

use crate::options::Committer;
use crate::request::Notice;

/// How many bytes may wait to be written before the node takes no more requests and frames: a slow disk slows down who
/// causes the writing, instead of filling the memory. Eight of the largest blocks.
const WAITING_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What a row costs beside its bytes, so that small ones are bounded too.
const ROW_BYTES: usize = 64;

type Queue = mpsc::Sender<(BatchNumber, Batch)>;

/// The way to the store.
pub(crate) enum Writer {
    /// A thread, which says when it has ended and let go of the store.
    Thread { queue: Queue, ended: oneshot::Receiver<()> },
    /// The caller itself.
    Inline(Arc<dyn Store>),
}

/// Batches on their way to the store.
pub(crate) struct Commits {
    writer: Writer,
    waiting: VecDeque<(BatchNumber, usize)>,
    waiting_bytes: usize,
}

impl Commits {
    pub(crate) fn start(committer: Committer, store: Arc<dyn Store>, notices: UnboundedSender<Notice>) -> Self {
        let writer = match committer {
            Committer::Thread => thread(&store, notices).unwrap_or_else(|error| {
                tracing::warn!(%error, "no thread for commits could be started, so they hold up everything else");
                Writer::Inline(store)
            }),
            Committer::Inline => Writer::Inline(store),
        };
        Self { writer, waiting: VecDeque::new(), waiting_bytes: 0 }
    }

    /// Takes a batch. What comes of it is either returned or given as a notice, and is to be told to `done`.
    pub(crate) fn push(&mut self, number: BatchNumber, batch: Batch) -> Option<Event> {
        match &self.writer {
            Writer::Thread { queue, .. } => {
                let bytes = batch_bytes(&batch);
                self.waiting.push_back((number, bytes));
                self.waiting_bytes = self.waiting_bytes.saturating_add(bytes);
                // If the thread is gone, an earlier batch has failed, and the notice of that is on its way.
                let _ = queue.send((number, batch));
                None
            }
            Writer::Inline(store) => {
                let outcome = outcome(store.commit(&batch), number);
                if matches!(outcome, Event::CommitFailed(_)) {
                    self.waiting_bytes = batch_bytes(&batch);
                }
                Some(outcome)
            }
        }
    }

    /// Notes that all batches up to `number` are durable.
    pub(crate) fn done(&mut self, number: BatchNumber) {
        while self.waiting.front().is_some_and(|(first, _)| *first <= number) {
            if let Some((_, bytes)) = self.waiting.pop_front() {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(bytes);
            }
        }
    }

    /// Whether more may be caused to be written.
    pub(crate) fn has_room(&self) -> bool {
        self.waiting_bytes < WAITING_BYTES_MAX
    }

    /// How many bytes wait to be written: those of the batches that failed, once one has.
    pub(crate) fn waiting_bytes(&self) -> u64 {
        u64::try_from(self.waiting_bytes).unwrap_or(u64::MAX)
    }

    /// Whether everything is durable.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Ends when what was taken is written, as far as possible, and the store has been let go.
    pub(crate) async fn close(self) {
        if let Writer::Thread { queue, ended } = self.writer {
            drop(queue);
            let _ = ended.await;
        }
    }
}

fn thread(store: &Arc<dyn Store>, notices: UnboundedSender<Notice>) -> std::io::Result<Writer> {
    let (queue, batches) = mpsc::channel();
    let (end, ended) = oneshot::channel();
    let store = Arc::clone(store);
    std::thread::Builder::new().name("walytis-commits".to_owned()).spawn(move || {
        write_all(&*store, &batches, &notices);
        drop(store);
        let _ = end.send(());
    })?;
    Ok(Writer::Thread { queue, ended })
}

/// Writes batches until there are no more to come or one fails. What waits while one commit runs is the next.
fn write_all(store: &dyn Store, batches: &mpsc::Receiver<(BatchNumber, Batch)>, notices: &UnboundedSender<Notice>) {
    while let Ok((mut last, mut group)) = batches.recv() {
        for (number, batch) in batches.try_iter() {
            group.append(batch);
            last = number;
        }
        let outcome = outcome(store.commit(&group), last);
        let failed = matches!(outcome, Event::CommitFailed(_));
        // Nobody hears it if the node's task was ended from outside.
        let _ = notices.send(Notice::Event(outcome));
        if failed {
            return;
        }
    }
}

fn outcome(committed: Result<(), walytis_core::StoreError>, number: BatchNumber) -> Event {
    match committed {
        Ok(()) => Event::Committed(number),
        Err(error) => Event::CommitFailed(error),
    }
}

fn batch_bytes(batch: &Batch) -> usize {
    batch.changes().iter().fold(0, |sum: usize, change| {
        let value = if let Change::Put { value, .. } = change { value.len() } else { 0 };
        sum.saturating_add(value).saturating_add(change.key().len()).saturating_add(ROW_BYTES)
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tokio::sync::mpsc::unbounded_channel;
    use walytis_core::{ID_PREFIX_BYTES, KeyRange, Record, StoreError, Table};

    use super::*;

    const ROWS: Table = Table::permanent("node.test");

    /// A store whose commits wait to be let through, and fail once told to.
    struct Gate {
        commits: Mutex<Vec<usize>>,
        entered: Mutex<mpsc::Sender<()>>,
        pass: Mutex<mpsc::Receiver<Result<(), StoreError>>>,
    }

    impl Store for Gate {
        fn get(&self, _: Table, _: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
            Ok(None)
        }

        fn scan(&self, _: Table, _: KeyRange<'_>, _: usize) -> Result<Vec<Record>, StoreError> {
            Ok(Vec::new())
        }

        fn by_prefix(
            &self,
            _: Table,
            _: &[u8],
            _: [u8; ID_PREFIX_BYTES],
            _: usize,
        ) -> Result<Vec<Vec<u8>>, StoreError> {
            Ok(Vec::new())
        }

        fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
            self.commits.lock().unwrap().push(batch.changes().len());
            self.entered.lock().unwrap().send(()).unwrap();
            self.pass.lock().unwrap().recv().unwrap()
        }
    }

    #[tokio::test]
    async fn batches_that_wait_during_a_commit_are_the_next_one_together() {
        let (entered, has_entered) = mpsc::channel();
        let (let_pass, pass) = mpsc::channel();
        let gate = Arc::new(Gate { commits: Mutex::default(), entered: Mutex::new(entered), pass: Mutex::new(pass) });
        let (notices, mut noticed) = unbounded_channel();
        let mut commits = Commits::start(Committer::Thread, Arc::clone(&gate) as Arc<dyn Store>, notices);
        let row = || {
            let mut batch = Batch::new();
            batch.put(ROWS, *b"key", *b"value");
            batch
        };
        assert!(commits.push(BatchNumber(1), row()).is_none());
        has_entered.recv().unwrap();
        for number in 2..=4 {
            commits.push(BatchNumber(number), row());
        }
        let_pass.send(Ok(())).unwrap();
        assert!(matches!(noticed.recv().await, Some(Notice::Event(Event::Committed(BatchNumber(1))))));
        commits.done(BatchNumber(1));
        has_entered.recv().unwrap();
        assert!(!commits.is_idle());
        let_pass.send(Ok(())).unwrap();
        assert!(matches!(noticed.recv().await, Some(Notice::Event(Event::Committed(BatchNumber(4))))));
        commits.done(BatchNumber(4));
        assert!(commits.is_idle() && commits.has_room() && commits.waiting_bytes == 0);
        assert_eq!(*gate.commits.lock().unwrap(), [1, 3]);

        commits.push(BatchNumber(5), row());
        has_entered.recv().unwrap();
        let_pass.send(Err(StoreError::Poisoned)).unwrap();
        assert!(matches!(noticed.recv().await, Some(Notice::Event(Event::CommitFailed(StoreError::Poisoned)))));
        commits.push(BatchNumber(6), row());
        commits.close().await;
        assert_eq!(Arc::strong_count(&gate), 1, "the thread let go of the store");
    }
}
