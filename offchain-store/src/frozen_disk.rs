//! A disk as it is now, on which nothing is written any more: writes stay in memory.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::disk::Disk;

/// The unit in which writes are kept, in bytes: a page of most systems and of redb.
const PAGE_BYTES: usize = 4096;

/// Reads come from the disk below, writes are kept in memory and forgotten with this value.
///
/// After a failed write redb refuses every further access, and opening it anew writes to its header. So that reads
/// still work on a disk that is full or failing, the store is opened anew over this.
pub(crate) struct FrozenDisk {
    below: Arc<dyn Disk>,
    above: Mutex<Above>,
}

struct Above {
    bytes: u64,
    // How much of the disk below is still seen: cutting and then extending the disk must show zeros.
    below_bytes: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE_BYTES]>>,
}

impl FrozenDisk {
    pub(crate) fn over(below: Arc<dyn Disk>) -> io::Result<Self> {
        let bytes = below.len()?;
        Ok(Self { below, above: Mutex::new(Above { bytes, below_bytes: bytes, pages: BTreeMap::new() }) })
    }

    fn above(&self) -> MutexGuard<'_, Above> {
        self.above.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read_below(&self, below_bytes: u64, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let seen = below_bytes.saturating_sub(offset);
        let seen = usize::try_from(seen).unwrap_or(usize::MAX).min(out.len());
        let (there, beyond) = out.split_at_mut(seen);
        beyond.fill(0);
        if there.is_empty() { Ok(()) } else { self.below.read(offset, there) }
    }
}

impl Disk for FrozenDisk {
    fn len(&self) -> io::Result<u64> {
        Ok(self.above().bytes)
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let above = self.above();
        check_end(above.bytes, offset, out.len())?;
        for (page, within, part) in pieces(offset, out.len()) {
            let target = &mut out[part];
            match above.pages.get(&page) {
                Some(kept) => target.copy_from_slice(&kept[within]),
                None => self.read_below(above.below_bytes, page_start(page) + within.start as u64, target)?,
            }
        }
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut above = self.above();
        check_end(above.bytes, offset, bytes.len())?;
        let below_bytes = above.below_bytes;
        for (page, within, part) in pieces(offset, bytes.len()) {
            let kept = match above.pages.entry(page) {
                Entry::Occupied(kept) => kept.into_mut(),
                Entry::Vacant(place) => {
                    let mut kept = Box::new([0; PAGE_BYTES]);
                    self.read_below(below_bytes, page_start(page), kept.as_mut_slice())?;
                    place.insert(kept)
                }
            };
            kept[within].copy_from_slice(&bytes[part]);
        }
        Ok(())
    }

    fn set_len(&self, bytes: u64) -> io::Result<()> {
        let mut above = self.above();
        above.below_bytes = above.below_bytes.min(bytes);
        if bytes < above.bytes {
            let first_gone = bytes.div_ceil(PAGE_BYTES as u64);
            above.pages.split_off(&first_gone);
            let cut = (bytes % PAGE_BYTES as u64) as usize;
            if let Some(kept) = above.pages.get_mut(&(bytes / PAGE_BYTES as u64)) {
                kept[cut..].fill(0);
            }
        }
        above.bytes = bytes;
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }

    fn try_lock(&self) -> io::Result<bool> {
        // Whoever froze the disk holds its lock.
        Ok(true)
    }

    fn close(&self) -> io::Result<()> {
        Ok(())
    }
}

fn check_end(disk_bytes: u64, offset: u64, bytes: usize) -> io::Result<()> {
    match offset.checked_add(bytes as u64) {
        Some(end) if end <= disk_bytes => Ok(()),
        _ => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn page_start(page: u64) -> u64 {
    page * PAGE_BYTES as u64
}

/// Cuts `bytes` bytes at `offset` at the pages' borders: (page, range within the page, range within the bytes).
fn pieces(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= bytes {
            return None;
        }
        let position = offset + done as u64;
        let start = (position % PAGE_BYTES as u64) as usize;
        let length = (PAGE_BYTES - start).min(bytes - done);
        let piece = (position / PAGE_BYTES as u64, start..start + length, done..done + length);
        done += length;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Bytes(Vec<u8>);

    impl Disk for Bytes {
        fn len(&self) -> io::Result<u64> {
            Ok(self.0.len() as u64)
        }
        fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
            check_end(self.0.len() as u64, offset, out.len())?;
            out.copy_from_slice(&self.0[offset as usize..offset as usize + out.len()]);
            Ok(())
        }
        fn write(&self, _: u64, _: &[u8]) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn set_len(&self, _: u64) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn sync(&self) -> io::Result<()> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn try_lock(&self) -> io::Result<bool> {
            Ok(true)
        }
        fn close(&self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_frozen_disk_behaves_as_a_copy_in_memory() {
        let mut model: Vec<u8> = (0..10_000_u32).map(|i| (i % 251) as u8).collect();
        let frozen = FrozenDisk::over(Arc::new(Bytes(model.clone()))).unwrap();
        let check = |model: &Vec<u8>| {
            let mut seen = vec![1; model.len()];
            frozen.read(0, &mut seen).unwrap();
            assert_eq!(&seen, model);
            let mut one = [0];
            assert!(frozen.read(model.len() as u64, &mut one).is_err(), "nothing is read beyond the end");
        };
        check(&model);
        for (offset, bytes) in [(0, 10), (4000, 200), (4096, 4096), (9_990, 10), (100, 9_000)] {
            frozen.write(offset as u64, &vec![7; bytes]).unwrap();
            model[offset..offset + bytes].fill(7);
            check(&model);
        }
        for length in [9_000, 12_345, 4_096, 8_192, 1, 20_000] {
            frozen.set_len(length as u64).unwrap();
            model.resize(length, 0);
            check(&model);
        }
    }
}
