//! The bytes of a disk at one instant, of which thousands can be held.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::ops::Range;
use std::sync::Arc;

/// The unit in which a [`DiskImage`] keeps bytes, in bytes: a page of most systems and of redb.
pub const DISK_PAGE_BYTES: usize = 4096;

type Page = Arc<[u8; DISK_PAGE_BYTES]>;

/// The bytes of a disk at one instant.
///
/// Clones share their pages until one of them is changed, and a page that was never written to takes no memory.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct DiskImage {
    bytes: u64,
    // Pages that are not here are zeros.
    pages: BTreeMap<u64, Page>,
}

impl DiskImage {
    /// An image of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        let mut image = Self { bytes: bytes.len() as u64, pages: BTreeMap::new() };
        image.put(0, bytes);
        image
    }

    /// The disk's length in bytes.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many pages the disk has; the last one may be cut.
    #[must_use]
    pub const fn pages(&self) -> u64 {
        self.bytes.div_ceil(DISK_PAGE_BYTES as u64)
    }

    /// Whether anything but zeros was ever written to the page.
    #[must_use]
    pub fn is_used(&self, page: u64) -> bool {
        self.pages.contains_key(&page)
    }

    /// All bytes, in order.
    ///
    /// # Panics
    /// If they do not fit into memory.
    #[must_use]
    pub fn to_vec(&self) -> Vec<u8> {
        let bytes = usize::try_from(self.bytes).unwrap_or_else(|_| unreachable!("an image fits into memory"));
        let mut all = vec![0; bytes];
        self.copy_to(0, &mut all);
        all
    }

    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.check_end(offset, out.len())?;
        self.copy_to(offset, out);
        Ok(())
    }

    pub(crate) fn write(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.check_end(offset, bytes.len())?;
        self.put(offset, bytes);
        Ok(())
    }

    /// Writes what of `bytes` lies within the disk's length; nobody sees the rest.
    pub(crate) fn write_within(&mut self, offset: u64, bytes: &[u8]) {
        let left = usize::try_from(self.bytes.saturating_sub(offset)).unwrap_or(usize::MAX).min(bytes.len());
        self.put(offset, &bytes[..left]);
    }

    pub(crate) fn set_len(&mut self, bytes: u64) {
        if bytes < self.bytes {
            self.pages.split_off(&bytes.div_ceil(DISK_PAGE_BYTES as u64));
            let cut = (bytes % DISK_PAGE_BYTES as u64) as usize;
            if let Some(page) = self.pages.get_mut(&(bytes / DISK_PAGE_BYTES as u64)) {
                Arc::make_mut(page)[cut..].fill(0);
            }
        }
        self.bytes = bytes;
    }

    pub(crate) fn swap_pages(&mut self, left: u64, right: u64) {
        let pages = (self.pages.remove(&left), self.pages.remove(&right));
        self.pages.extend(pages.0.map(|page| (right, page)));
        self.pages.extend(pages.1.map(|page| (left, page)));
    }

    fn check_end(&self, offset: u64, bytes: usize) -> io::Result<()> {
        match offset.checked_add(bytes as u64) {
            Some(end) if end <= self.bytes => Ok(()),
            _ => Err(io::ErrorKind::UnexpectedEof.into()),
        }
    }

    fn copy_to(&self, offset: u64, out: &mut [u8]) {
        for (page, within, part) in page_pieces(offset, out.len()) {
            match self.pages.get(&page) {
                Some(page) => out[part].copy_from_slice(&page[within]),
                None => out[part].fill(0),
            }
        }
    }

    fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (page, within, part) in page_pieces(offset, bytes.len()) {
            let page = self.pages.entry(page).or_insert_with(|| Arc::new([0; DISK_PAGE_BYTES]));
            Arc::make_mut(page)[within].copy_from_slice(&bytes[part]);
        }
    }
}

impl fmt::Debug for DiskImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DiskImage({} bytes, {} pages in use)", self.bytes, self.pages.len())
    }
}

/// Cuts `bytes` bytes at `offset` at the pages' borders: (page, range within the page, range within the bytes).
pub(crate) fn page_pieces(offset: u64, bytes: usize) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    cut_at(DISK_PAGE_BYTES, offset, bytes)
}

/// Cuts `bytes` bytes at `offset` at the borders of units: (unit, range within the unit, range within the bytes).
pub(crate) fn cut_at(
    unit_bytes: usize,
    offset: u64,
    bytes: usize,
) -> impl Iterator<Item = (u64, Range<usize>, Range<usize>)> {
    let mut done = 0;
    std::iter::from_fn(move || {
        if done >= bytes {
            return None;
        }
        let position = offset + done as u64;
        let start = (position % unit_bytes as u64) as usize;
        let length = (unit_bytes - start).min(bytes - done);
        let piece = (position / unit_bytes as u64, start..start + length, done..done + length);
        done += length;
        Some(piece)
    })
}
