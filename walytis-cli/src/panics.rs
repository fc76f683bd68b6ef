//! Panics of the database below, which a damaged file causes and the store turns into errors.

use std::path::{Component, Path};
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the database met what no sound file holds.
static MET_DAMAGE: AtomicBool = AtomicBool::new(false);

/// Keeps the database's panics from standard error; all others are bugs, and are shown as usual.
pub(crate) fn hide_the_databases() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| match panic.location() {
        Some(place) if is_the_databases(place.file()) => {
            MET_DAMAGE.store(true, Ordering::Release);
            tracing::debug!(place = %place, "the database met a damaged page");
        }
        _ => usual(panic),
    }));
}

/// The store's file is damaged, though the command came to its end.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("the store of this home is damaged, though this command did without the part: `walytis check` tells more")]
pub(crate) struct MetDamage;

/// Refuses to call a command done while which the database met damage.
pub(crate) fn none_met() -> Result<(), MetDamage> {
    if MET_DAMAGE.load(Ordering::Acquire) { Err(MetDamage) } else { Ok(()) }
}

/// Whether a source file is redb's: of its crate as cargo keeps it, or in a folder of this name.
fn is_the_databases(file: &str) -> bool {
    // Its paths may come from another system than this one.
    let file = file.replace('\\', "/");
    let mut folders = Path::new(&file).components().rev().skip_while(|part| *part != Component::Normal("src".as_ref()));
    let folder = folders.nth(1).and_then(|part| part.as_os_str().to_str()).unwrap_or_default();
    let version = folder.strip_prefix("redb").unwrap_or("other");
    version.is_empty()
        || version.strip_prefix('-').is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_files_are_known() {
        let check = |file: &str, expected: bool| assert_eq!(is_the_databases(file), expected, "{file}");
        check("/home/me/registry/redb-4.4.0/src/tree_store/btree.rs", true);
        check("C:\\registry\\redb-4.4.0\\src\\db.rs", true);
        check("vendor/redb/src/db.rs", true);
        check("offchain-store/src/redb_store.rs", false);
        check("/home/redb-4/walytis/src/main.rs", false);
        check("redb-tools/src/main.rs", false);
        check("", false);
    }
}
