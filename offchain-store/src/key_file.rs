use std::fs::{File, OpenOptions};
use std::io::Read;
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;

use crate::disk::{Disk, FileDisk};
use crate::kdf::KdfCost;
use crate::key_slot::{self, SLOT_BYTES, Slot, SlotFault, SlotRefusal};
use crate::open_error::OpenError;
use crate::scratch::{lock, open_scratch, settle};
use crate::secrets::{RootKey, Unlock};

/// Where each slot begins. They lie in different pages and sectors, so that a write of one that is cut short cannot
/// touch the other.
const SLOT_STARTS: [usize; 2] = [0, 4096];
const FILE_BYTES: usize = 8192;

/// The small file that keeps a store's root key, locked by a passphrase or a raw key.
///
/// It has two slots, each with a generation and a sum of its own; the newest sound one counts. Usually both hold the
/// same. A change writes one, syncs it, and then overwrites the other, so that at every instant one is whole, and
/// nothing of the old lock remains at the end. On flash and on file systems that copy on write, the overwritten bytes
/// may stay readable to whoever takes the medium apart.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The key file at `path`, whether it exists or not.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }

    /// Creates the file with a new root key: whole and durable, or not at all. `cost` counts for a passphrase only.
    ///
    /// # Errors
    /// [`OpenError::Exists`], [`OpenError::InUse`], [`OpenError::Cost`] or [`OpenError::Io`].
    pub fn create(&self, unlock: &Unlock, cost: KdfCost, random: &mut dyn CryptoRng) -> Result<RootKey, OpenError> {
        let root = RootKey::generate(random);
        self.keep(&root, unlock, cost, random)?;
        Ok(root)
    }

    pub(crate) fn keep(
        &self,
        root: &RootKey,
        unlock: &Unlock,
        cost: KdfCost,
        random: &mut dyn CryptoRng,
    ) -> Result<(), OpenError> {
        let slot = Slot::wrap(root, unlock, cost, 1, random)?;
        let mut bytes = [0; FILE_BYTES];
        for start in SLOT_STARTS {
            bytes[start..start + SLOT_BYTES].copy_from_slice(slot.bytes());
        }
        let disk = FileDisk::from_file(open_scratch(&self.path, &[&self.path])?);
        disk.write(0, &bytes).and_then(|()| disk.sync()).map_err(|error| OpenError::io(&self.path, error))?;
        settle(&self.path)
    }

    /// Unlocks the root key. A change of the lock that was cut short is completed, if the file can be written.
    ///
    /// # Errors
    /// [`OpenError::NotFound`], [`OpenError::WrongUnlock`], [`OpenError::OtherUnlock`], [`OpenError::Damaged`],
    /// [`OpenError::UnknownFormat`] or [`OpenError::Io`].
    pub fn open(&self, unlock: &Unlock) -> Result<RootKey, OpenError> {
        let file = File::open(&self.path).map_err(|error| OpenError::io(&self.path, error))?;
        let slots = self.read(&file)?;
        let (_, newest) = self.newest(&slots)?;
        let root = self.unwrap_root(newest, unlock)?;
        if slots.iter().any(|slot| matches!(slot, Ok(other) if other != newest) || *slot == Err(SlotFault::Damaged)) {
            // What could not be completed now is tried again at the next opening, which is as good as this one.
            let _ = self.complete();
        }
        Ok(root)
    }

    /// Whether both slots are whole and hold the same. One is enough to open the file, and opening writes the other anew
    /// from it if the file can be written: whoever wants to know of a failing disk asks before.
    ///
    /// # Errors
    /// [`OpenError::NotFound`] or [`OpenError::Io`].
    pub fn is_whole(&self) -> Result<bool, OpenError> {
        let file = File::open(&self.path).map_err(|error| OpenError::io(&self.path, error))?;
        Ok(matches!(self.read(&file)?, [Ok(first), Ok(second)] if first == second))
    }

    /// Locks the same root key by `new` instead of `old`, and overwrites the old lock.
    ///
    /// After an error, the file opens with `old` or with `new`: with `new` only if it was already durable.
    ///
    /// # Errors
    /// As [`KeyFile::open`], which nothing was changed after; [`OpenError::InUse`], [`OpenError::Cost`].
    pub fn change(
        &self,
        old: &Unlock,
        new: &Unlock,
        cost: KdfCost,
        random: &mut dyn CryptoRng,
    ) -> Result<(), OpenError> {
        let (disk, slots) = self.open_locked()?;
        let (newest_at, newest) = self.newest(&slots)?;
        let root = self.unwrap_root(newest, old)?;
        let generation =
            newest.generation().checked_add(1).ok_or_else(|| self.damaged("its generations are used up"))?;
        let slot = Slot::wrap(&root, new, cost, generation, random)?;
        self.write(&disk, 1 - newest_at, &slot)?;
        self.write(&disk, newest_at, &slot)
    }

    /// Writes the newest slot over the other.
    fn complete(&self) -> Result<(), OpenError> {
        let (disk, slots) = self.open_locked()?;
        let (newest_at, newest) = self.newest(&slots)?;
        match &slots[1 - newest_at] {
            // A newer program's slot is not this one's to overwrite.
            Err(SlotFault::UnknownFormat(_)) => Ok(()),
            Ok(other) if other == newest => Ok(()),
            _ => self.write(&disk, 1 - newest_at, newest),
        }
    }

    fn open_locked(&self) -> Result<(FileDisk, [Result<Slot, SlotFault>; 2]), OpenError> {
        let file = OpenOptions::new().read(true).write(true).open(&self.path);
        let file = file.map_err(|error| OpenError::io(&self.path, error))?;
        lock(&file, &self.path)?;
        let slots = self.read(&file)?;
        Ok((FileDisk::from_file(file), slots))
    }

    fn read(&self, file: &File) -> Result<[Result<Slot, SlotFault>; 2], OpenError> {
        let mut bytes = Vec::with_capacity(FILE_BYTES);
        let mut file = file.take(FILE_BYTES as u64);
        file.read_to_end(&mut bytes).map_err(|error| OpenError::io(&self.path, error))?;
        Ok(SLOT_STARTS.map(|start| {
            let slot = bytes.get(start..).and_then(|rest| rest.first_chunk());
            slot.ok_or(SlotFault::Damaged).and_then(Slot::read)
        }))
    }

    fn write(&self, disk: &FileDisk, at: usize, slot: &Slot) -> Result<(), OpenError> {
        let start = SLOT_STARTS[at] as u64;
        disk.write(start, slot.bytes()).and_then(|()| disk.sync()).map_err(|error| OpenError::io(&self.path, error))
    }

    fn newest<'a>(&self, slots: &'a [Result<Slot, SlotFault>; 2]) -> Result<(usize, &'a Slot), OpenError> {
        match slots {
            [Ok(first), Ok(second)] if first.generation() >= second.generation() => Ok((0, first)),
            [_, Ok(second)] => Ok((1, second)),
            [Ok(first), Err(_)] => Ok((0, first)),
            [Err(SlotFault::UnknownFormat(number)), Err(_)] | [Err(_), Err(SlotFault::UnknownFormat(number))] => {
                let known = u32::from(key_slot::FORMAT);
                Err(OpenError::UnknownFormat { what: self.name(), number: u32::from(*number), known })
            }
            [Err(SlotFault::Damaged), Err(SlotFault::Damaged)] => Err(self.damaged("neither of its slots is whole")),
        }
    }

    fn unwrap_root(&self, slot: &Slot, unlock: &Unlock) -> Result<RootKey, OpenError> {
        slot.unwrap_root(unlock).map_err(|refusal| match refusal {
            SlotRefusal::Wrong => OpenError::WrongUnlock { what: self.name(), kind: unlock.kind() },
            SlotRefusal::OtherKind(wanted) => OpenError::OtherUnlock { what: self.name(), wanted },
            SlotRefusal::Other(error) => error,
        })
    }

    fn damaged(&self, reason: &str) -> OpenError {
        OpenError::Damaged { what: self.name(), reason: reason.to_owned() }
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
