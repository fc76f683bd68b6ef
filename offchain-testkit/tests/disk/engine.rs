//! The production engine over a disk that crashes and rots (W1, W2, W5, W7): index and content agree, and acknowledged
//! posts are there.

use std::collections::BTreeMap;
use std::sync::Arc;

use offchain_testkit::{DISK_PAGE_BYTES, DiskMoment, SimDisk, Survival};
use rand_chacha::ChaCha20Rng;
use rand_core::SeedableRng as _;
use walytis_core::{Batch, BatchNumber, Change, Store, Timestamp};
use walytis_identities::History;
use walytis_offchain::{Answer, Command, Effect, Engine, EngineError, Event, Ticket, check};

use crate::workload::{Kept, below, open_sealed};

const NOW: Timestamp = Timestamp(1_700_000_000_000);
const GROUP: &str = "friends";
/// How many posts wait for one commit, in turn: as behind the node's committer.
const WAITING: [usize; 6] = [1, 4, 2, 1, 7, 3];
/// It crashes at each so many-th change of its disk.
const STRIDE: usize = 2;

/// An engine whose commits its caller does.
struct Driver {
    engine: Engine,
    store: Arc<dyn Store>,
    waiting: Vec<(BatchNumber, Batch)>,
    answers: BTreeMap<Ticket, Result<Answer, EngineError>>,
    tickets: u64,
}

impl Driver {
    fn open(store: Arc<dyn Store>, seed: u64) -> Result<Self, EngineError> {
        let engine = Engine::open(Arc::clone(&store), NOW, Box::new(ChaCha20Rng::seed_from_u64(seed)))?;
        Ok(Self { engine, store, waiting: Vec::new(), answers: BTreeMap::new(), tickets: 0 })
    }

    fn ask(&mut self, command: Command) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.handle(Event::Command { ticket, command });
        ticket
    }

    fn handle(&mut self, event: Event) {
        let mut effects = Vec::new();
        self.engine.handle(NOW, event, &mut effects);
        for effect in effects {
            match effect {
                Effect::Commit { number, batch } => self.waiting.push((number, batch)),
                Effect::Reply { ticket, answer } => drop(self.answers.insert(ticket, answer)),
                Effect::Stopped(error) => panic!("the engine stopped: {error}"),
                _ => {}
            }
        }
    }

    /// Makes all that waits durable in one commit.
    fn commit(&mut self) {
        let mut all = Batch::new();
        let waiting = std::mem::take(&mut self.waiting);
        let Some(last) = waiting.last().map(|(number, _)| *number) else { return };
        for change in waiting.iter().flat_map(|(_, batch)| batch.changes()) {
            match change {
                Change::Put { table, key, value } => all.put(*table, key.clone(), value.clone()),
                Change::Delete { table, key } => all.delete(*table, key.clone()),
            }
        }
        self.store.commit(&all).expect("a commit");
        self.handle(Event::Committed(last));
    }

    fn call(&mut self, command: Command) -> Result<Answer, EngineError> {
        let ticket = self.ask(command);
        self.commit();
        self.answers.remove(&ticket).expect("an answer")
    }

    /// The contents of the group's posts, in order; `None` if there is no such group.
    fn listed(&mut self) -> Option<Vec<Vec<u8>>> {
        let mut contents = Vec::new();
        let mut after = None;
        loop {
            let list = Command::List { group: GROUP.to_owned(), after, below: None, topic: None };
            let page = match self.call(list) {
                Ok(Answer::Page(page)) => page,
                Err(EngineError::UnknownGroup(_)) => return None,
                other => panic!("{other:?}"),
            };
            contents.extend(page.entries.into_iter().map(|entry| entry.content.expect("its content").bytes));
            after = page.next;
            if after.is_none() {
                return Some(contents);
            }
        }
    }
}

fn post(number: usize) -> Command {
    Command::Post { group: GROUP.to_owned(), topics: vec![b"t".to_vec()], content: content(number) }
}

fn content(number: usize) -> Vec<u8> {
    format!("post {number} ").repeat(1 + number * 17 % 90).into_bytes()
}

/// What was acknowledged after so many operations of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Acknowledged {
    operations: u64,
    group: bool,
    posts: usize,
}

struct Run {
    moments: Vec<DiskMoment>,
    acknowledged: Vec<Acknowledged>,
}

impl Run {
    fn new(seed: u64) -> Self {
        let disk = SimDisk::new(seed);
        let store: Arc<dyn Store> = Arc::from(Kept::Sealed.create(&disk).expect("a new store"));
        disk.record();
        let mut acknowledged = Vec::new();
        let mut note = |group, posts| {
            acknowledged.push(Acknowledged { operations: disk.operations().all(), group, posts });
        };
        Engine::create(&store, NOW, &mut ChaCha20Rng::seed_from_u64(seed)).expect("an identity");
        let mut driver = Driver::open(store, seed + 1).expect("the engine");
        note(false, 0);
        driver.call(Command::NewGroup { name: GROUP.to_owned(), history: History::All }).expect("a group");
        note(true, 0);
        let mut posts = 0;
        for waiting in WAITING {
            let tickets: Vec<Ticket> = (posts..posts + waiting).map(|number| driver.ask(post(number))).collect();
            assert!(tickets.iter().all(|ticket| !driver.answers.contains_key(ticket)), "nothing is told too early");
            driver.commit();
            posts += waiting;
            assert!(tickets.iter().all(|ticket| matches!(driver.answers.get(ticket), Some(Ok(Answer::Posted(_))))));
            note(true, posts);
        }
        drop(driver);
        Self { moments: disk.take_record(), acknowledged }
    }

    /// What was acknowledged before the operation of that moment, and what was to be next.
    fn acknowledged(&self, moment: &DiskMoment) -> (Option<Acknowledged>, Option<Acknowledged>) {
        let before = self.acknowledged.iter().take_while(|known| known.operations < moment.operation()).count();
        (before.checked_sub(1).map(|last| self.acknowledged[last]), self.acknowledged.get(before).copied())
    }
}

#[test]
fn w7_index_and_content_agree_after_a_crash_of_the_engine() {
    let (mut images, mut with_posts) = (0, 0);
    for seed in 0..2 {
        let run = Run::new(seed);
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        for moment in run.moments.iter().step_by(STRIDE) {
            let (known, next) = run.acknowledged(moment);
            for survival in Survival::ALL {
                let context = || format!("seed {seed}, {survival:?}, operation {}", moment.operation());
                let disk = SimDisk::of(moment.crash(survival, &mut rng), seed);
                let store: Arc<dyn Store> =
                    Arc::new(open_sealed(&disk).unwrap_or_else(|e| panic!("{}: {e}", context())));
                images += 1;
                let mut driver = match Driver::open(Arc::clone(&store), seed + 2) {
                    Ok(driver) => driver,
                    Err(EngineError::NoIdentity) if known.is_none() => continue,
                    Err(error) => panic!("{}: {error}", context()),
                };
                let report = check(Arc::clone(&store), &mut |_, _| {}).expect("a report");
                assert_eq!(report.problems, Vec::<String>::new(), "{}", context());

                let listed = driver.listed();
                let is = |expected: Acknowledged| {
                    let posts = listed.as_deref().unwrap_or_default();
                    expected.group == listed.is_some() && posts.len() == expected.posts
                };
                let stands = [known, next].into_iter().flatten().any(is);
                assert!(stands || known.is_none(), "{}: {listed:?}, {known:?}, {next:?}", context());
                let Some(mut listed) = listed else { continue };
                assert!(listed.iter().enumerate().all(|(number, found)| *found == content(number)), "{}", context());

                let number = listed.len();
                let posted = driver.call(post(number));
                assert!(matches!(posted, Ok(Answer::Posted(_))), "{}: {posted:?}", context());
                listed.push(content(number));
                assert_eq!(driver.listed(), Some(listed), "{}", context());
                with_posts += u64::from(number > 0);
            }
        }
    }
    assert!(images >= 800 && with_posts >= 400, "{images} images, {with_posts} with posts");
}

/// As `walytis check` does, and then `walytis read`.
#[test]
fn w5_what_no_check_finds_changes_no_listing() {
    let (mut flips, mut found) = (0, 0);
    for (seed, waiting) in [(0, 1), (1, 40), (2, 9)] {
        let disk = SimDisk::new(seed);
        let store: Arc<dyn Store> = Arc::from(Kept::Sealed.create(&disk).expect("a new store"));
        Engine::create(&store, NOW, &mut ChaCha20Rng::seed_from_u64(seed)).expect("an identity");
        let mut driver = Driver::open(store, seed + 1).expect("the engine");
        driver.call(Command::NewGroup { name: GROUP.to_owned(), history: History::All }).expect("a group");
        for number in 0..40 {
            driver.ask(post(number));
            if (number + 1) % waiting == 0 {
                driver.commit();
            }
        }
        driver.commit();
        drop(driver);
        let posted: Vec<Vec<u8>> = (0..40).map(content).collect();

        let image = disk.image();
        let mut rng = ChaCha20Rng::seed_from_u64(seed);
        for page in (0..image.pages()).filter(|page| image.is_used(*page)) {
            for place in [64, below(DISK_PAGE_BYTES as u64, &mut rng)] {
                let disk = SimDisk::of(image.clone(), seed);
                disk.flip_bit(page * DISK_PAGE_BYTES as u64 + place, below(8, &mut rng) as u32);
                flips += 1;
                if finds(&disk) {
                    found += 1;
                    continue;
                }
                let store = Arc::new(open_sealed(&disk).expect("it was sound a moment ago"));
                let mut driver = Driver::open(store, seed + 2).expect("the engine");
                assert_eq!(driver.listed().as_ref(), Some(&posted), "seed {seed}, page {page}, byte {place}");
            }
        }
    }
    assert!(flips >= 250 && found >= 100, "{flips} flips, {found} found");
}

/// Whether a check of the records, or of the whole file, finds something.
fn finds(disk: &SimDisk) -> bool {
    let Ok(store) = open_sealed(disk) else { return true };
    let store = Arc::new(store);
    let report = check(Arc::clone(&store) as Arc<dyn Store>, &mut |_, _| {});
    let mut store = Arc::into_inner(store).expect("whoever checked it has let it go");
    report.map_or(true, |report| !report.problems.is_empty()) || store.check().is_err()
}
