//! The commands, one to a file.

mod check;
mod completions;
mod demo;
mod group;
mod id;
mod init;
mod post;
mod read;
mod serve;
mod status;

use crate::arguments::{Command, Group};
use crate::context::Context;

/// Carries out a command.
pub(crate) async fn carry_out(context: &mut Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => init::run(context, arguments).await,
        Command::Id => id::run(context).await,
        Command::Status => status::run(context).await,
        Command::Group(arguments) => group::run(context, arguments).await,
        Command::Post(arguments) => post::run(context, arguments).await,
        Command::Read(arguments) => read::run(context, arguments).await,
        Command::Serve(arguments) => serve::run(context, arguments).await,
        Command::Check => check::run(context).await,
        Command::Demo(arguments) => demo::run(context, arguments).await,
        Command::Completions { shell } => completions::run(context, shell),
    }
}

/// The command's name, as it is typed.
pub(crate) const fn name(command: &Command) -> &'static str {
    match command {
        Command::Init(_) => "init",
        Command::Id => "id",
        Command::Status => "status",
        Command::Group(Group::New { .. }) => "group new",
        Command::Group(Group::List) => "group list",
        Command::Group(Group::Show { .. }) => "group show",
        Command::Group(Group::Invite { .. }) => "group invite",
        Command::Group(Group::Join { .. }) => "group join",
        Command::Post(_) => "post",
        Command::Read(_) => "read",
        Command::Serve(_) => "serve",
        Command::Check => "check",
        Command::Demo(_) => "demo",
        Command::Completions { .. } => "completions",
    }
}
