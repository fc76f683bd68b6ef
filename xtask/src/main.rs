//! The project's own commands: `cargo xtask --help` lists them, one file here per command.
#![expect(clippy::print_stdout, reason = "a command's results go to standard output")]

mod android;
mod bench;
mod ci;
mod cpu_time;
mod deny;
mod hosts;
mod mutants;
mod plant;
mod process;
mod sim;
mod tidy;
mod workspace;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own commands, the same on a laptop and in CI
#[derive(Parser)]
#[command(bin_name = "cargo xtask", after_help = "Before you hand in a change: `cargo xtask ci`.")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Ci(ci::Arguments),
    Tidy(tidy::Arguments),
    Bench(bench::Arguments),
    Sim(sim::Arguments),
    Mutants(mutants::Arguments),
    Hosts(hosts::Arguments),
    Android(android::Arguments),
}

fn main() -> ExitCode {
    if let Some(ended) = plant::compile() {
        return ended;
    }
    let outcome = match Arguments::parse().command {
        Command::Ci(arguments) => ci::run(&arguments),
        Command::Tidy(arguments) => tidy::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Mutants(arguments) => mutants::run(&arguments),
        Command::Hosts(arguments) => hosts::run(&arguments),
        Command::Android(arguments) => android::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::Arguments;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }
}
