//! Callers' memory. Everything is checked that can be; that a pointer which is not null points to what the header says, the
//! caller vouches for.

use std::ffi::c_char;
use std::ptr::NonNull;

use crate::error::AbiError;
use crate::layout::Bytes;

/// A text that ends with a 0. No byte behind the first `bytes_max` and one is looked at.
///
/// # Safety
/// `pointer` is null, or readable up to its first 0 byte, and stays as it is while the text is used.
#[expect(unsafe_code, reason = "C's texts are pointers")]
pub(crate) unsafe fn text<'a>(
    what: &'static str,
    pointer: *const c_char,
    bytes_max: usize,
) -> Result<&'a str, AbiError> {
    let start = NonNull::new(pointer.cast_mut()).ok_or(AbiError::Null(what))?.cast::<u8>();
    // SAFETY: each byte up to the first 0 can be read, and the search ends there.
    let length = (0..=bytes_max).find(|index| unsafe { start.add(*index).read() } == 0);
    let length = length.ok_or(AbiError::TooLong { what, length_max: bytes_max })?;
    // SAFETY: these bytes were read just now, and nobody changes them while they are used.
    let bytes = unsafe { std::slice::from_raw_parts(start.as_ptr(), length) };
    std::str::from_utf8(bytes).map_err(|_| AbiError::NotUtf8(what))
}

/// As [`text`], or `None` for a null pointer.
///
/// # Safety
/// As [`text`].
#[expect(unsafe_code, reason = "C's texts are pointers")]
pub(crate) unsafe fn optional_text<'a>(
    what: &'static str,
    pointer: *const c_char,
    bytes_max: usize,
) -> Result<Option<&'a str>, AbiError> {
    if pointer.is_null() {
        return Ok(None);
    }
    // SAFETY: the caller vouches for the same.
    unsafe { text(what, pointer, bytes_max) }.map(Some)
}

/// As many values as are said. A null pointer is none of them.
///
/// # Safety
/// `pointer` is null, or `count` values can be read there, and stay as they are while they are used.
#[expect(unsafe_code, reason = "C's arrays are pointers")]
pub(crate) unsafe fn values<'a, T>(
    what: &'static str,
    pointer: *const T,
    count: usize,
    count_max: usize,
) -> Result<&'a [T], AbiError> {
    if count > count_max {
        return Err(AbiError::TooLong { what, length_max: count_max });
    }
    if count == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(AbiError::Null(what));
    }
    // SAFETY: the caller vouches for the values, and they are not more than the limits above, far below `isize::MAX` bytes.
    Ok(unsafe { std::slice::from_raw_parts(pointer, count) })
}

/// What `walytis_bytes` points to.
///
/// # Safety
/// As [`values`].
#[expect(unsafe_code, reason = "C's arrays are pointers")]
pub(crate) unsafe fn bytes<'a>(what: &'static str, bytes: Bytes, bytes_max: usize) -> Result<&'a [u8], AbiError> {
    // SAFETY: the caller vouches for the same.
    unsafe { values(what, bytes.bytes, bytes.length, bytes_max) }
}

/// A structure that is read, or `None` for a null pointer.
///
/// # Safety
/// `pointer` is null, or one value can be read there.
#[expect(unsafe_code, reason = "C's structures come as pointers")]
pub(crate) unsafe fn optional_value<T: Copy>(pointer: *const T) -> Option<T> {
    // SAFETY: it is not null, so the caller vouches for a value there.
    NonNull::new(pointer.cast_mut()).map(|pointer| unsafe { pointer.read() })
}

/// Where a result goes, once there is one: nothing is written before.
pub(crate) struct Out<T>(Option<NonNull<T>>);

impl<T> Out<T> {
    /// For a parameter that must not be null.
    ///
    /// # Safety
    /// `pointer` is null, or a value can be written there while this is used.
    #[expect(unsafe_code, reason = "C's results go through pointers")]
    pub(crate) unsafe fn needed(what: &'static str, pointer: *mut T) -> Result<Self, AbiError> {
        NonNull::new(pointer).map(|pointer| Self(Some(pointer))).ok_or(AbiError::Null(what))
    }

    /// For a parameter that may be null: nothing is written then.
    ///
    /// # Safety
    /// As [`Out::needed`].
    #[expect(unsafe_code, reason = "C's results go through pointers")]
    pub(crate) unsafe fn optional(pointer: *mut T) -> Self {
        Self(NonNull::new(pointer))
    }

    /// Whether anybody wants it.
    pub(crate) const fn is_wanted(&self) -> bool {
        self.0.is_some()
    }

    /// Writes the result.
    #[expect(unsafe_code, reason = "C's results go through pointers")]
    pub(crate) fn set(self, value: T) {
        if let Some(pointer) = self.0 {
            // SAFETY: whoever made this vouched for it.
            unsafe { pointer.write(value) };
        }
    }
}
