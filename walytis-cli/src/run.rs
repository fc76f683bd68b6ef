//! The program around the commands.

use std::process::ExitCode;
use std::time::Duration;

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::arguments::{Arguments, Command, Global};
use crate::commands;
use crate::context::Context;
use crate::escape::printable_line;
use crate::home::HomeFolder;
use crate::output::{Output, OutputClosed, complain, one_line};
use crate::panics;
use crate::stop::{INTERRUPTED, Interrupted, Stop};

/// How long what still runs may take when the program ends.
const LAST_MOMENTS: Duration = Duration::from_secs(2);

/// The crates of this workspace, whose remarks `-v` shows.
const OURS: [&str; 6] =
    ["walytis_cli", "walytis_node", "walytis_offchain", "walytis_identities", "offchain_net", "offchain_store"];

/// Carries out the command line.
#[must_use]
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(message) = arguments.command.check() {
        Arguments::command().error(ErrorKind::ArgumentConflict, message).exit();
    }
    trace(&arguments.global);
    panics::hide_the_databases();
    match run_command(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<OutputClosed>().is_some() => ExitCode::SUCCESS,
        Err(error) => {
            complain(format_args!("error: {}", one_line(&error)));
            match error.downcast_ref::<Interrupted>() {
                Some(_) => ExitCode::from(INTERRUPTED),
                None => ExitCode::FAILURE,
            }
        }
    }
}

/// What a store says that has no space left begins so, wherever the node runs.
const FULL: &str = "no space is left for the store";

/// Says what to do about a full disk.
fn advised(error: anyhow::Error, home: &HomeFolder) -> anyhow::Error {
    let line = one_line(&error);
    if !line.contains(FULL) {
        return error;
    }
    let home = home.path().display();
    error.context(format!("{line}. Free some on the disk of {home}, and try again; what was acknowledged is safe"))
}

fn run_command(Arguments { global, command }: Arguments) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let result = runtime.block_on(async {
        let mut context = Context {
            home: find_home(&global, &command)?,
            output: Output::new(&global),
            stop: Stop::listen()?,
            command: commands::name(&command),
            unlock: None,
            global,
        };
        let done = commands::carry_out(&mut context, command).await;
        done.map_err(|error| advised(error, &context.home))?;
        context.output.flush()
    });
    runtime.shutdown_timeout(LAST_MOMENTS);
    result?;
    Ok(panics::none_met()?)
}

/// The home, but for commands that need none and work for users without one.
fn find_home(global: &Global, command: &Command) -> anyhow::Result<HomeFolder> {
    match command {
        Command::Demo(_) | Command::Completions { .. } => Ok(HomeFolder::none()),
        _ => HomeFolder::find(global),
    }
}

/// Shows on standard error what goes on inside, as much as was asked for.
fn trace(global: &Global) {
    let (ours, others) = match global.verbose {
        0 => return,
        1 => (LevelFilter::DEBUG, LevelFilter::WARN),
        _ => (LevelFilter::TRACE, LevelFilter::DEBUG),
    };
    let filter = Targets::new().with_default(others).with_targets(OURS.map(|name| (name, ours)));
    // Peers choose some of what is told, such as addresses.
    let fields = debug_fn(|writer, field, value| {
        let value = printable_line(&format!("{value:?}"));
        if field.name() == "message" { write!(writer, "{value}") } else { write!(writer, "{field}={value}") }
    });
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr).with_ansi(colours());
    let lines = lines.fmt_fields(fields.delimited(" "));
    // Its complaint about a closed standard error would be a panic.
    let lines = lines.log_internal_errors(false);
    tracing_subscriber::registry().with(lines).with(filter).init();
}

/// Whether standard error may have colours.
fn colours() -> bool {
    use std::io::IsTerminal;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}

#[cfg(test)]
mod tests {
    use walytis_core::StoreError;

    use super::*;

    #[test]
    fn a_full_disk_is_told_with_what_to_do() {
        let home = HomeFolder::at("/h");
        let full = anyhow::Error::new(StoreError::Full { reason: "os".to_owned() }).context("the node has stopped");
        let said = one_line(&advised(full, &home));
        assert_eq!(
            said,
            "the node has stopped: no space is left for the store: os. Free some on the disk of /h, and try again; \
             what was acknowledged is safe"
        );
        assert_eq!(one_line(&advised(anyhow::anyhow!("x"), &home)), "x");
    }
}
