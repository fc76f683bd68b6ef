//! Where bugs are planted, to measure how many of them the simulated swarm finds, and which checks a test would miss.

/// Whether a planted bug is active here: `false`, unless the compiler was given `--cfg planted`. What the bugs are is
/// listed in `planted.rs` beside this file. Code reads best with the planted half of a condition last.
#[cfg(not(planted))]
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {
        false
    };
}

/// Whether a planted bug is active on this thread.
#[cfg(planted)]
#[doc(hidden)]
#[macro_export]
macro_rules! planted {
    ($fault:ident) => {
        $crate::planted::is($crate::planted::Fault::$fault)
    };
}

/// Whether a check is taken out of this process: `false`, unless the compiler was given `--cfg planted`. What the checks
/// are is listed in `planted/mutants.rs` beside this file.
#[cfg(not(planted))]
#[doc(hidden)]
#[macro_export]
macro_rules! mutant {
    ($mutant:ident) => {
        false
    };
}

/// Whether a check is taken out of this process.
#[cfg(planted)]
#[doc(hidden)]
#[macro_export]
macro_rules! mutant {
    ($mutant:ident) => {
        $crate::planted::is_mutant($crate::planted::Mutant::$mutant)
    };
}
