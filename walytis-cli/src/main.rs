//! The `walytis` command.

fn main() -> std::process::ExitCode {
    walytis_cli::run()
}
