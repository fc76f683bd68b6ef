//! Commit before you tell: effects wait until everything that was known when they were decided is durable.

use std::collections::VecDeque;

use walytis_core::BatchNumber;

/// Effects in the order in which they were decided, each behind the newest batch that was under way then.
///
/// **Invariant:** no effect leaves before the batches that preceded it are durable, and effects leave in order.
#[derive(Debug)]
pub struct Outbox<E> {
    held: VecDeque<(BatchNumber, E)>,
    durable: BatchNumber,
}

impl<E> Default for Outbox<E> {
    fn default() -> Self {
        Self { held: VecDeque::new(), durable: BatchNumber(0) }
    }
}

impl<E> Outbox<E> {
    /// Takes an effect that was decided while `barrier` was the newest batch under way.
    pub fn push(&mut self, barrier: Option<BatchNumber>, effect: E) {
        self.held.push_back((barrier.unwrap_or(self.durable), effect));
    }

    /// Notes that all batches up to `number` are durable.
    pub fn committed(&mut self, number: BatchNumber) {
        self.durable = self.durable.max(number);
    }

    /// The next effect that may leave.
    pub fn next_ready(&mut self) -> Option<E> {
        let (barrier, _) = self.held.front()?;
        if *barrier > self.durable { None } else { self.held.pop_front().map(|(_, effect)| effect) }
    }

    /// Takes back every effect that has not left, because a batch that they waited for failed.
    pub fn take_held(&mut self) -> Vec<E> {
        self.held.drain(..).map(|(_, effect)| effect).collect()
    }

    /// How many effects wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.held.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.held.is_empty()
    }
}
