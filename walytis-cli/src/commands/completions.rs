//! `walytis completions`

use clap::CommandFactory;
use clap_complete::Shell;

use crate::arguments::Arguments;
use crate::context::Context;

/// Prints a script for a shell.
pub(crate) fn run(context: &mut Context, shell: Shell) -> anyhow::Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "walytis", &mut script);
    context.output.bytes(&script)
}
