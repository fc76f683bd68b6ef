//! Where a node wants to listen: a plain text beside its store, an address a line.
//!
//! It is what was asked for last, with the ports that the system chose for it. Where the node really listens may differ
//! for once, if a port is taken; the wish stays.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::Path;

use walytis_core::Address;

/// The file's name in the home.
const FILE: &str = "listen";
/// The name that it has until it is whole.
const UNFINISHED: &str = "listen.new";
/// The most bytes of the file that are looked at: far more than anybody's addresses.
const BYTES_MAX: u64 = 64 * 1024;

/// The wishes; none if none were kept. What cannot be read is as good as none.
pub(crate) fn kept(folder: &Path) -> Vec<Address> {
    let mut text = String::new();
    match File::open(folder.join(FILE)).and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            tracing::warn!(%error, "cannot read where to listen");
            Vec::new()
        }
        _ => text.lines().map(str::trim).filter(|line| line.starts_with('/')).filter_map(Address::new).collect(),
    }
}

/// Keeps the wishes, for this user alone. The node works without.
pub(crate) fn keep(folder: &Path, wishes: &[Address]) {
    if kept(folder) == wishes {
        return;
    }
    let write = || {
        let unfinished = folder.join(UNFINISHED);
        let mut options = File::options();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(&unfinished)?;
        for wish in wishes {
            writeln!(file, "{wish}")?;
        }
        file.sync_all()?;
        fs::rename(unfinished, folder.join(FILE))
    };
    if let Err(error) = write() {
        tracing::warn!(%error, "cannot keep where to listen next time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_are_kept_and_rubbish_is_none() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(kept(folder.path()), []);
        let wishes = ["/ip4/0.0.0.0/tcp/4001", "/ip6/::/udp/4001/quic-v1"].map(|text| Address::new(text).unwrap());
        keep(folder.path(), &wishes);
        assert_eq!(kept(folder.path()), wishes);
        keep(folder.path(), &wishes[..1]);
        assert_eq!(kept(folder.path()), wishes[..1]);
        for rubbish in [&b"\xff"[..], b"", b"hello\n\n"] {
            fs::write(folder.path().join(FILE), rubbish).unwrap();
            assert_eq!(kept(folder.path()), [], "{rubbish:?}");
        }
    }
}
