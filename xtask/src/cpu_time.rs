//! The CPU time that we and the processes we waited for have used.

use std::time::Duration;

/// User and system time so far, ours and that of all finished children and their children. Zero where the platform
/// does not say.
#[cfg(unix)]
pub(crate) fn so_far() -> Duration {
    use nix::sys::resource::{UsageWho, getrusage};
    use nix::sys::time::TimeVal;

    let length = |value: TimeVal| {
        let seconds = Duration::from_secs(u64::try_from(value.tv_sec()).unwrap_or(0));
        seconds.saturating_add(Duration::from_micros(u64::try_from(value.tv_usec()).unwrap_or(0)))
    };
    [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN]
        .into_iter()
        .filter_map(|who| getrusage(who).ok())
        .map(|usage| length(usage.user_time()).saturating_add(length(usage.system_time())))
        .fold(Duration::ZERO, Duration::saturating_add)
}

/// The same where the platform has no such count.
#[cfg(not(unix))]
pub(crate) fn so_far() -> Duration {
    Duration::ZERO
}

#[cfg(all(test, unix))]
mod tests {
    use super::so_far;

    #[test]
    fn a_child_adds_its_time() {
        let before = so_far();
        let status = std::process::Command::new("rustc").arg("-vV").stdout(std::process::Stdio::null()).status();
        assert!(status.expect("rustc starts").success());
        assert!(so_far() > before);
    }
}
