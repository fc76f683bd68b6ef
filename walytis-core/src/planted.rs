//! Planted bugs: slips of a programmer that a test switches on, one at a time, to see whether the swarm finds them.
//!
//! This module exists with `--cfg planted` alone, and so do the bugs. It is no feature, because features unify: one
//! crate that asks for it would give it to all. A fault is active on the thread that activated it, so that a runner can
//! try seeds on several threads. Whoever judges what a run has left, by `check` for example, does so with no fault
//! active: a check that is skipped where blocks arrive would be skipped there, too.
//!
//! Each fault is planted in one place, as `planted!(Name)`; `cargo xtask tidy` proves it.
//!
//! Mutants are checks that are taken out, as `mutant!(Name)`: no swarm has to find them, but a named test does. A mutant is
//! chosen for a whole process, because tests have many threads; so may a fault be.

mod mutants;

use std::cell::Cell;
use std::sync::LazyLock;

pub use mutants::{Mutant, NOTICED};

/// The variable of the environment that names the mutant or the fault of this process. `cargo xtask mutants` sets it.
const CHOICE: &str = "WALYTIS_MUTANT";

/// Makes the enum, the list of all and their names from one list.
macro_rules! faults {
    ($($(#[$doc:meta])+ $name:ident,)+) => {
        /// A planted bug. Each says what is broken, the invariant that this breaks, and what a swarm needs to see it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Fault {
            $($(#[$doc])+ $name,)+
        }

        impl Fault {
            /// Every fault, in the order of this file.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// The name, as it is written in the code.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }
        }
    };
}

faults! {
    // Blocks and encodings.

    /// The author's signature of a block is not verified. Breaks B3, D3. Seen when an enemy sends a forged one.
    SkipSignature,
    /// The ML-DSA half of a hybrid signature is not verified. Breaks B3. Seen when an enemy forges that half alone.
    SkipHybridHalf,
    /// The length of the content that a header claims is believed. Breaks B2, B3. Seen when an enemy's header lies.
    TrustLength,
    /// The hash of the content is not compared. Breaks B2, B3. Seen when an enemy sends a right header with content of
    /// the same length that is another's.
    SkipContentHash,
    /// An encoding that is not the shortest is accepted. Breaks B1. Seen when an enemy sends overlong integers.
    AcceptOverlong,

    // The set.

    /// A block enters the set though a parent that is not its author's previous block is missing. Breaks B5, D2. Seen
    /// when a block overtakes another author's: a lost or late push, a partition that heals in another order.
    TakeOrphan,
    /// The sequence number of a block is not compared with the previous block's. Breaks B3. Seen when an enemy skips or
    /// repeats numbers.
    SkipSequence,
    /// A new block replaces all heads, not only its parents. Breaks C1, C2, H1. Seen after a concurrent fork.
    ForgetHead,
    /// A block's generation is that of the parent that arrived last, not of the highest. Breaks B4, C2, D4. Seen when
    /// branches of different lengths are merged.
    LastParentsGeneration,
    /// Blocks of one generation are listed by arrival, not by id. Breaks C2. Seen after a concurrent fork.
    OrderByArrival,
    /// What is rolled back stays in the overlay until a restart. Breaks B3, W7, H3. Seen when an enemy sends a valid
    /// block with garbage beside it, then after a restart.
    KeepRolledBack,

    // Membership.

    /// Anybody's key may write. Breaks B3. Seen when an enemy sends a block by an author who is no member.
    SkipAuthor,
    /// Every member may do what managers may. Breaks B3, M4. Seen when an enemy who only writes opens an invitation.
    SkipRole,
    /// A block is judged by the operations that are here, not by its ancestors'. Breaks B4, C1. Seen when two members
    /// begin epochs at once (after an admission that both heard of), or operations arrive in different orders.
    JudgeByView,
    /// Blocks that seem to be from the future are refused. Breaks B4, C1. Seen when clocks differ by over a minute.
    ClockDecides,
    /// Blocks of other chains are taken in that the block beside them does not name. Breaks B3. Seen when an enemy sends
    /// an identity chain with a block that has nothing to do with it.
    TakeUnnamed,

    // Kinds of chains.

    /// Whether an id is a private chain's is not asked where it is handled as a public one's. Breaks S9. Seen when somebody
    /// is given a public code with a group's id, or asks for the group in public frames.
    MistakeKind,

    // Private content.

    /// Content is not compared with the commitment. Breaks S1, D3, H2. Seen when an enemy gives other content, where a
    /// block's is missing or beside its own.
    SkipCommitment,
    /// Sealed content is not bound to its block. Breaks S5. Seen when an enemy copies a block's body and sealed content
    /// into a block of its own.
    SealWithoutBlock,
    /// Salt and nonce of sealed content are always the same. Breaks S6. Seen by a member who keeps what it is sent.
    ReuseNonce,
    /// Who is no member of a group is served as if it were its first one. Breaks S2, M6. Seen when two nodes share one
    /// group and not another, by what the stranger is sent or given when it asks.
    ServeStranger,
    /// A newcomer is served content from before its admission. Breaks S4. Seen in a group whose history begins with
    /// joining.
    ServeHistory,
    /// The epoch is kept when somebody has joined. Breaks S4, H1. Seen in a group whose history begins with joining: the
    /// newcomer lacks what is written next.
    ForgetRotation,
    /// That a block lacks its content is not written down. Breaks C1, W7. Seen after a restart while content is missing,
    /// as when it came by way of a member who lacked it, too.
    ForgetMissing,

    // Commits.

    /// Commands are answered before their batch is durable. Breaks W1, H1. Seen after a crash that loses what was not
    /// synced, and when a commit fails.
    AcknowledgeEarly,
    /// Frames leave before the batch that they tell of is durable. Breaks W2: a crash or a failed commit loses at its
    /// author what others have, and the author writes another block with the same number.
    TellEarly,
    /// A step is committed in two pieces: all but its last two rows first, which are the content of a post. Breaks W2, W7.
    /// Seen after a crash between the two, or when the second fails.
    SplitBatch,

    // Delivery.

    /// The blocks of one step are delivered in reverse order. Breaks D2, D4. Seen when a subscriber catches up.
    DeliverChildFirst,
    /// A block that comes a second time is delivered again. Breaks D1. Seen when a block is both pushed and pulled, or
    /// sent twice.
    DeliverTwice,
    /// Going on from a position delivers the block before it once more. Breaks D1. Seen by an application that goes on
    /// where it stopped, as after a restart.
    RepeatLast,
    /// Content that arrives later is not delivered. Breaks D1. Seen when content comes after its block.
    ForgetContentDelivery,

    // Exchange.

    /// A block that lacks parents is dropped, and nothing is asked for. Breaks C3: only the exchange of heads in quiet
    /// makes up for it, after 20 to 40 s. Seen when a push overtakes another.
    DropOrphan,
    /// Heads that others tell are not followed up. Breaks C1. Seen when nobody pushes any more after a partition heals.
    IgnoreHeads,
    /// A new session begins without telling heads. Breaks C3: only the exchange in quiet makes up for it. Seen when a
    /// node comes back.
    SilentReconnect,
    /// After a portion of garbage nobody else is asked. Breaks C3, C5: only what is told later makes up for it. Seen when
    /// an enemy that is being pulled from sends garbage while another has news.
    ForgetStalled,
    /// Addresses of members are not written down. Breaks C1. Seen when two that know each other both restart.
    ForgetAddresses,

    // Public chains: what comes in.

    /// Compact blocks are restored with the name of the block one further back in the list. Breaks C1, C5: honest peers
    /// look like forgers. Seen when a portion has more than one block.
    NameWrongPlace,
    /// A block of a public chain that lacks parents is dropped, and nothing is asked for. Breaks C3. Seen when a push
    /// overtakes another.
    PublicDropOrphan,
    /// What waits for a block is not freed when that block comes. Breaks C3. Seen when a child overtakes its parent, and
    /// nobody sends it again.
    ForgetWaiting,
    /// A block of a public chain that comes a second time is delivered again. Breaks D1. Seen when a block is both pushed
    /// and pulled, or sent twice.
    PublicDeliverTwice,
    /// Two blocks by one author with one number are no evidence. Breaks C2: who had the longer branch first tells of it, and
    /// others do not. Seen after a fork of branches that are equally long, as when an old copy of a store goes on.
    MissFork,
    /// The sums of generations below the newest ones are not updated. Breaks B3, W7, and what is compared. Seen when a
    /// branch that begins far below comes late, and the store is checked.
    ForgetSums,

    // Public chains: exchange.

    /// Heads of public chains that others tell are not followed up. Breaks C1. Seen when nobody pushes any more after a
    /// partition heals.
    PublicIgnoreHeads,
    /// Who turns out to follow the same chain is not told its heads. Breaks C3: only the exchange in quiet makes up for it.
    /// Seen when a node comes back.
    PublicSilentShare,

    // Public chains: applications.

    /// Blocks of a public chain that enter in one step are delivered in reverse order. Breaks D2, D4. Seen by a subscriber
    /// when its node catches up.
    PublicChildFirst,
    /// Blocks by an author that the node blocked are delivered as they arrive. Breaks D3. Seen when somebody builds on them.
    ShowBlocked,
    /// The cursor of a subscription is moved, and the answer given, but the row is not written. Breaks D1, W1. Seen after a
    /// restart.
    ForgetCursor,
    /// Reading on leaves out a block between two pages. Breaks D1. Seen when more blocks wait than a page has.
    SkipBetweenPages,
    /// A block that is set aside as a dead letter is not among the letters. Breaks D1. Seen when they are listed.
    LoseLetter,

    // Public chains: records.

    /// A use of an invitation is not counted. Breaks S2. Seen when somebody has joined, and the invitations are listed.
    ReuseInvitation,
    /// Who was admitted by an invitation is not written down before it is told so. Breaks W1. Seen when the inviter stops
    /// before anything else of the chain's row changes.
    ForgetUse,
    /// A chain's rules are forgotten when the program ends. Breaks D3. Seen when a node that blocks an author restarts.
    ForgetRules,
    /// A deletion that was cut short does not go on after a restart. Breaks W7. Seen after a crash while a chain is deleted.
    ForgetRemoval,
}

impl Fault {
    /// The fault of a name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|fault| fault.name() == name)
    }
}

thread_local! {
    static ACTIVE: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Makes a fault active on this thread, or none. Returns the one that was.
pub fn activate(fault: Option<Fault>) -> Option<Fault> {
    ACTIVE.replace(fault)
}

/// Whether a fault is active on this thread, or was chosen for this process.
#[must_use]
pub fn is(fault: Fault) -> bool {
    ACTIVE.get() == Some(fault) || CHOSEN.0 == Some(fault)
}

/// What was chosen for this process. A name that is not known chooses nothing: then the test passes, which is noticed.
static CHOSEN: LazyLock<(Option<Fault>, Option<Mutant>)> = LazyLock::new(|| {
    let name = std::env::var(CHOICE).unwrap_or_default();
    (Fault::from_name(&name), Mutant::from_name(&name))
});

/// Whether a mutant was chosen for this process.
#[must_use]
pub fn is_mutant(mutant: Mutant) -> bool {
    CHOSEN.1 == Some(mutant)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_lead_back_to_their_faults() {
        let names: BTreeSet<&str> = Fault::ALL.iter().map(|fault| fault.name()).collect();
        assert_eq!(names.len(), Fault::ALL.len());
        assert!(Fault::ALL.iter().all(|fault| Fault::from_name(fault.name()) == Some(*fault)));
        assert_eq!(Fault::from_name("skipsignature"), None);
    }

    #[test]
    fn no_name_is_of_two() {
        let names: BTreeSet<&str> = Mutant::ALL.iter().map(|mutant| mutant.name()).collect();
        assert_eq!(names.len(), Mutant::ALL.len());
        assert!(Mutant::ALL.iter().all(|mutant| Mutant::from_name(mutant.name()) == Some(*mutant)));
        assert!(names.iter().all(|name| Fault::from_name(name).is_none()));
        let noticed: BTreeSet<Fault> = NOTICED.iter().copied().collect();
        assert_eq!(noticed.len(), NOTICED.len());
    }

    #[test]
    fn one_fault_is_active_on_one_thread() {
        assert_eq!(activate(Some(Fault::SkipSignature)), None);
        assert!(crate::planted!(SkipSignature) && !crate::planted!(ForgetHead));
        let elsewhere = std::thread::scope(|scope| scope.spawn(|| crate::planted!(SkipSignature)).join());
        assert!(!elsewhere.expect("no panic"));
        assert_eq!(activate(None), Some(Fault::SkipSignature));
        assert!(!crate::planted!(SkipSignature));
    }
}
