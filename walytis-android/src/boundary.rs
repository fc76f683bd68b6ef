//! Where Rust ends: what each exported function runs in.

use std::any::Any;
use std::cell::RefCell;
use std::ffi::{CString, c_char};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::AbiError;
use crate::layout::{self, Status};

thread_local! {
    /// What went wrong in the thread's last call.
    static LAST_ERROR: RefCell<CString> = RefCell::new(CString::default());
}

/// Runs a function of the interface. A panic ends here; nothing of it but its text is left.
pub(crate) fn guarded(work: impl FnOnce() -> Result<(), AbiError>) -> Status {
    // Whatever a panic leaves half done is behind a handle, and its locks are taken over as they are.
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|panic| Err(AbiError::Panic(message(panic))));
    let (status, text) = match outcome {
        Ok(()) => (layout::OK, String::new()),
        Err(error) => (error.status(), error.to_string()),
    };
    // A text for C has no 0 inside. While a thread ends, its text may be gone already.
    let text = CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default();
    let _ = LAST_ERROR.try_with(|last| *last.borrow_mut() = text);
    status
}

/// The last call's error of this thread: valid until [`guarded`] runs again on it.
pub(crate) fn last_error() -> *const c_char {
    LAST_ERROR.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

/// What a panic says.
fn message(panic: Box<dyn Any + Send>) -> String {
    let panic = match panic.downcast::<String>() {
        Ok(text) => return *text,
        Err(other) => other,
    };
    match panic.downcast::<&'static str>() {
        Ok(text) => (*text).to_owned(),
        Err(other) => {
            // Whatever it is, dropping it may panic again, and nothing would catch that.
            std::mem::forget(other);
            "it says nothing".to_owned()
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::panic_any;

    use super::{guarded, last_error};
    use crate::error::AbiError;
    use crate::layout;

    /// The text as C sees it, copied.
    fn text() -> String {
        super::LAST_ERROR.with(|last| last.borrow().to_string_lossy().into_owned())
    }

    #[test]
    fn no_panic_leaves() {
        struct Worse;
        impl Drop for Worse {
            fn drop(&mut self) {
                panic!("again");
            }
        }
        let number = 7;
        assert_eq!(guarded(|| panic!("as it is")), layout::BUG);
        assert!(text().ends_with("as it is"), "{}", text());
        assert_eq!(guarded(|| panic!("with a number, {number}")), layout::BUG);
        assert!(text().ends_with("with a number, 7"), "{}", text());
        assert_eq!(guarded(|| panic_any(Worse)), layout::BUG);
        assert!(text().ends_with("it says nothing"), "{}", text());
    }

    #[test]
    fn the_last_error_is_the_threads_own() {
        assert_eq!(guarded(|| Err(AbiError::Null("a\0b"))), layout::ARGUMENT);
        assert_eq!(text(), "`a\u{fffd}b` is null");
        assert!(!last_error().is_null());
        let elsewhere = std::thread::spawn(text).join().expect("it ends");
        assert_eq!(elsewhere, "");
        assert_eq!(guarded(|| Ok(())), layout::OK);
        assert_eq!(text(), "");
    }
}
