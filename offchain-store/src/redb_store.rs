use std::fmt;
use std::io;
use std::ops::Bound;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use redb::{Database, DatabaseError, StorageError};
use walytis_core::{Batch, Direction, ID_PREFIX_BYTES, KeyRange, Keys, Record, Store, StoreError, Table};

use crate::backend::{Backend, check_header, settle_header};
use crate::disk::{Disk, FileDisk};
use crate::frozen_disk::FrozenDisk;
use crate::guarded::{guarded, guarded_noting};
use crate::open_error::OpenError;
use crate::redb_errors::{io_error, store_error};
use crate::snapshot::Newest;
use crate::writing::write;

/// What redb may keep of the file in memory, in bytes. Its default of 1 GiB would be most of a phone's memory; this
/// holds the upper levels of a tree of millions of rows, and a whole store of tens of thousands of small ones.
const CACHE_BYTES: usize = 16 * 1024 * 1024;

/// A file of up to so many bytes is compared with its sums before the first commit of a handle, which takes about 1 ms for
/// each MiB. redb takes its lists of free pages for true: where they are damaged it writes over what
/// is in use, or panics while it unwinds, which ends the process.
const CHECKED_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// The format of redb's files that redb 4 reads.
const REDB_FORMAT: u32 = 3;

/// How errors name the store when no single table is concerned.
const WHOLE: &str = "(whole store)";

/// A store in one redb file.
///
/// Each commit is durable when it returns (two-phase, with quick repair: opening after a crash takes the same time
/// whatever the file's size). One handle has the file at a time. After a commit has failed, the handle takes no more until
/// [`Store::reopen`], which helps if space was lacking; reads go on from what was committed before.
pub struct RedbStore {
    disk: Arc<dyn Disk>,
    // `None` only when the file could not be opened anew after a failure.
    engine: RwLock<Option<Engine>>,
    poisoned: AtomicBool,
    /// It was for lack of space.
    full: AtomicBool,
    /// The header was written since the last sync that worked.
    unsettled: Arc<AtomicBool>,
    /// Held by whoever commits.
    turn: Mutex<()>,
}

impl RedbStore {
    /// Opens the store in the existing file at `path`.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::InUse`], [`OpenError::Damaged`], [`OpenError::UnknownFormat`],
    /// [`OpenError::Io`] or [`OpenError::Store`].
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let disk = FileDisk::open(path).map_err(|error| OpenError::io(path, error))?;
        if disk.len().map_err(|error| OpenError::io(path, error))? == 0 {
            let reason = "the file is empty".to_owned();
            return Err(OpenError::Damaged { what: path.display().to_string(), reason });
        }
        Self::on_disk_named(disk, &path.display().to_string())
    }

    /// Opens the store on a disk; an empty disk becomes an empty store.
    ///
    /// # Errors
    /// As [`RedbStore::open`], without [`OpenError::NotFound`].
    pub fn on_disk(disk: impl Disk) -> Result<Self, OpenError> {
        Self::on_disk_named(disk, "the store's disk")
    }

    pub(crate) fn on_disk_named(disk: impl Disk, name: &str) -> Result<Self, OpenError> {
        let disk: Arc<dyn Disk> = Arc::new(disk);
        match disk.try_lock() {
            Ok(true) => {}
            Ok(false) => return Err(OpenError::InUse { what: name.to_owned() }),
            // No locks on this platform: it is up to the application to open a store once.
            Err(error) if error.kind() == io::ErrorKind::Unsupported => {}
            Err(source) => return Err(OpenError::Io { what: name.to_owned(), source }),
        }
        // redb writes to what it opens, also to what it then cannot open. Until the first commit it does so in memory only:
        // whoever merely reads changes nothing, above all nothing that is damaged.
        let unsettled = Arc::new(AtomicBool::new(false));
        let opened = match disk.len() {
            Ok(0) => open_engine(Arc::clone(&disk), Use::Write, Arc::clone(&unsettled), name),
            Ok(_) => open_frozen(&disk, name),
            Err(source) => Err(OpenError::Io { what: name.to_owned(), source }),
        };
        match opened {
            Ok(database) => Ok(Self {
                disk,
                engine: RwLock::new(Some(database)),
                poisoned: AtomicBool::new(false),
                full: AtomicBool::new(false),
                unsettled,
                turn: Mutex::new(()),
            }),
            Err(error) => {
                // The opening has failed already: an error of closing would add nothing to it.
                let _ = disk.close();
                Err(error)
            }
        }
    }

    /// Compares every page with its sum. Takes as long as reading the whole file.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] if a page is not what was written; otherwise as [`Store::get`].
    pub fn check(&mut self) -> Result<(), StoreError> {
        let engine = self.engine.get_mut().unwrap_or_else(PoisonError::into_inner);
        let Some(engine) = engine else { return Err(unreadable()) };
        check_header(&*self.disk, WHOLE).map_err(while_open)?;
        engine.check()?;
        // That its log can be read is no matter of sums.
        guarded_noting(WHOLE, &engine.panicked, || engine.newest.hold(&engine.database, |_| ()))
    }

    fn read<T>(&self, part: &str, work: impl Fn(&Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        match self.read_once(part, &work) {
            // An earlier access failed, and redb gives up at the first failure: open it anew, as it is on the disk.
            Err(StoreError::Poisoned) => {
                self.freeze();
                self.read_once(part, &work).map_err(|error| match error {
                    StoreError::Poisoned => unreadable(),
                    other => other,
                })
            }
            result => result,
        }
    }

    fn read_once<T>(&self, part: &str, work: impl Fn(&Engine) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
        match engine.as_ref() {
            Some(engine) => guarded_noting(part, &engine.panicked, || work(engine)),
            // The disk may be well by now.
            None => Err(StoreError::Poisoned),
        }
    }

    /// Takes no more writes, and goes on reading from the disk as it is.
    fn freeze(&self) {
        self.poisoned.store(true, Ordering::Release);
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(failed) = engine.as_ref() {
            failed.closed.store(true, Ordering::Release);
        }
        close_engine(engine.take());
        *engine = open_frozen(&self.disk, WHOLE).ok();
    }

    /// From the first commit on, redb works on the disk itself.
    fn thaw(&self) -> Result<(), StoreError> {
        let writes = |engine: &Option<Engine>| engine.as_ref().is_none_or(|engine| engine.purpose == Use::Write);
        if writes(&self.engine.read().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(());
        }
        let mut engine = self.engine.write().unwrap_or_else(PoisonError::into_inner);
        if writes(&engine) {
            return Ok(());
        }
        if let Some(frozen) = engine.as_mut()
            && self.disk.len().map_err(|error| io_error(WHOLE, &error))? <= CHECKED_BYTES_MAX
        {
            frozen.check()?;
        }
        close_engine(engine.take());
        let opened = check_header(&*self.disk, WHOLE)
            .and_then(|()| open_engine(Arc::clone(&self.disk), Use::Write, Arc::clone(&self.unsettled), WHOLE))
            .map_err(while_open)?;
        *engine = Some(opened);
        Ok(())
    }
}

impl Store for RedbStore {
    fn get(&self, table: Table, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.read(table.name, |engine| engine.newest.get(&engine.database, table, key))
    }

    fn scan(&self, table: Table, range: KeyRange<'_>, limit: usize) -> Result<Vec<Record>, StoreError> {
        if table.keys == Keys::Hidden {
            return Err(StoreError::Unordered { table: table.name });
        }
        if range.is_empty() || limit == 0 {
            return Ok(Vec::new());
        }
        self.read(table.name, |engine| {
            let Some(rows) = engine.newest.rows(&engine.database, table.name)? else { return Ok(Vec::new()) };
            let bounds: (Bound<&[u8]>, Bound<&[u8]>) = (range.start, range.end);
            let found = rows.range::<&[u8]>(bounds).map_err(|error| store_error(table.name, error))?;
            match range.direction {
                Direction::Ascending => records(found.take(limit), table.name, range),
                Direction::Descending => records(found.rev().take(limit), table.name, range),
            }
        })
    }

    fn by_prefix(
        &self,
        table: Table,
        clear: &[u8],
        first: [u8; ID_PREFIX_BYTES],
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, StoreError> {
        if table.keys == Keys::Ordered {
            return Err(StoreError::Unordered { table: table.name });
        }
        self.read(table.name, |engine| engine.newest.by_prefix(&engine.database, table, (clear, first), limit))
    }

    fn commit(&self, batch: &Batch) -> Result<(), StoreError> {
        if self.poisoned.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned);
        }
        if batch.is_empty() {
            return Ok(());
        }
        // What is logged depends on what is: one after the other.
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let written = self.thaw().and_then(|()| {
            let engine = self.engine.read().unwrap_or_else(PoisonError::into_inner);
            match engine.as_ref() {
                Some(engine) => {
                    guarded_noting(WHOLE, &engine.panicked, || write(&engine.database, &engine.newest, batch))
                }
                None => Err(StoreError::Poisoned),
            }
        });
        if let Err(error) = &written {
            self.full.store(matches!(error, StoreError::Full { .. }), Ordering::Release);
            self.freeze();
        }
        written
    }

    /// As opening the file anew, which a full disk leaves sound.
    fn reopen(&self) -> Result<(), StoreError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.poisoned.load(Ordering::Acquire) {
            return Ok(());
        }
        if !self.full.load(Ordering::Acquire) {
            return Err(StoreError::Poisoned);
        }
        if self.unsettled.load(Ordering::Acquire) {
            settle_header(&*self.disk).map_err(|error| io_error(WHOLE, &error))?;
            self.unsettled.store(false, Ordering::Release);
        }
        self.freeze();
        if self.engine.read().unwrap_or_else(PoisonError::into_inner).is_none() {
            return Err(unreadable());
        }
        self.full.store(false, Ordering::Release);
        self.poisoned.store(false, Ordering::Release);
        Ok(())
    }
}

impl Drop for RedbStore {
    fn drop(&mut self) {
        close_engine(self.engine.get_mut().unwrap_or_else(PoisonError::into_inner).take());
        // What was committed is durable; an error here loses nothing, and the system frees the lock with the file.
        let _ = self.disk.close();
    }
}

impl fmt::Debug for RedbStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbStore").field("poisoned", &self.poisoned).finish_non_exhaustive()
    }
}

/// What redb may do with the disk.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Use {
    /// It is a disk frozen over the real one.
    Read,
    /// It is the real one.
    Write,
}

/// redb at work on a disk, whether it has to leave it, and whether it broke off half-way.
struct Engine {
    purpose: Use,
    /// Before the database: what is read of it is let go first.
    newest: Newest,
    database: Database,
    closed: Arc<AtomicBool>,
    panicked: AtomicBool,
}

impl Engine {
    /// Compares every page with its sum.
    fn check(&mut self) -> Result<(), StoreError> {
        let Self { database, newest, panicked, .. } = self;
        newest.let_go();
        guarded_noting(WHOLE, panicked, || match database.check_integrity() {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Damaged {
                table: WHOLE.to_owned(),
                reason: "sums did not match and redb went back to an earlier state".to_owned(),
            }),
            Err(error) => Err(store_error(WHOLE, error)),
        })
    }
}

type Guard<'a> = redb::AccessGuard<'a, &'static [u8]>;

/// The rows of a scan. On damaged pages redb may walk in circles: rows that leave the range or its order end the scan.
fn records<'a>(
    found: impl Iterator<Item = Result<(Guard<'a>, Guard<'a>), StorageError>>,
    name: &str,
    range: KeyRange<'_>,
) -> Result<Vec<Record>, StoreError> {
    let mut records: Vec<Record> = Vec::new();
    for row in found {
        let (key, value) = row.map_err(|error| store_error(name, error))?;
        let record = Record { key: key.value().to_vec(), value: value.value().to_vec() };
        let follows = records.last().is_none_or(|last| match range.direction {
            Direction::Ascending => record.key > last.key,
            Direction::Descending => record.key < last.key,
        });
        if !follows || !range.contains(&record.key) {
            let reason = "its rows are not in order".to_owned();
            return Err(StoreError::Damaged { table: name.to_owned(), reason });
        }
        records.push(record);
    }
    Ok(records)
}

fn open_frozen(disk: &Arc<dyn Disk>, name: &str) -> Result<Engine, OpenError> {
    let frozen = FrozenDisk::over(Arc::clone(disk));
    let frozen = frozen.map_err(|source| OpenError::Io { what: name.to_owned(), source })?;
    let engine = open_engine(Arc::new(frozen), Use::Read, Arc::default(), name)?;
    // Only now, so that another format is named as one.
    match check_header(&**disk, name) {
        Ok(()) => Ok(engine),
        Err(error) => {
            close_engine(Some(engine));
            Err(error)
        }
    }
}

fn open_engine(disk: Arc<dyn Disk>, purpose: Use, unsettled: Arc<AtomicBool>, name: &str) -> Result<Engine, OpenError> {
    let mut unknown = None;
    let closed = Arc::new(AtomicBool::new(false));
    let opened = guarded(name, || {
        Database::builder()
            .set_cache_size(CACHE_BYTES)
            .create_with_backend(Backend::new(disk, Arc::clone(&closed), unsettled))
            .map_err(|error| match error {
                DatabaseError::Storage(StorageError::Io(error)) => io_error(name, &error),
                error => {
                    if let DatabaseError::UpgradeRequired(number) = error {
                        unknown = Some(u32::from(number));
                    }
                    store_error(name, error)
                }
            })
    });
    match unknown {
        Some(number) => Err(OpenError::UnknownFormat { what: name.to_owned(), number, known: REDB_FORMAT }),
        None => {
            let panicked = AtomicBool::new(false);
            opened
                .map(|database| Engine { purpose, newest: Newest::default(), database, closed, panicked })
                .map_err(OpenError::from)
        }
    }
}

/// Closes redb. What was committed is durable; closing a sound database notes the file's length and that it was closed.
///
/// One that only read, or that failed, gets no word to its disk any more: where its lists of free pages are damaged it
/// panics while it unwinds, which no caller can turn into an error.
fn close_engine(engine: Option<Engine>) {
    let Some(Engine { purpose, newest, mut database, closed, panicked }) = engine else { return };
    newest.let_go();
    let fails = closed.load(Ordering::Acquire) || panicked.load(Ordering::Acquire);
    if purpose == Use::Read || fails {
        closed.store(true, Ordering::Release);
        // redb writes nothing once it knows that its disk fails. The first thing that a check does is to ask the disk.
        let told =
            guarded_noting(WHOLE, &panicked, || database.check_integrity().map_err(|error| store_error(WHOLE, error)));
        let knows = matches!(told, Err(StoreError::Disk { .. } | StoreError::Poisoned));
        if !knows || panicked.load(Ordering::Acquire) {
            // Its memory is lost, once for each damaged store that is met.
            std::mem::forget(database);
            return;
        }
    }
    let _ = guarded(WHOLE, || {
        drop(database);
        Ok(())
    });
}

/// An error of opening that a store meets while it is open.
fn while_open(error: OpenError) -> StoreError {
    match error {
        OpenError::Store(error) => error,
        OpenError::Io { source, .. } => io_error(WHOLE, &source),
        other => StoreError::Damaged { table: WHOLE.to_owned(), reason: other.to_string() },
    }
}

fn unreadable() -> StoreError {
    StoreError::Disk { reason: "the disk failed earlier and could not be opened anew for reading".to_owned() }
}
