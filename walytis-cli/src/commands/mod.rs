//! The commands, one to a file.

mod chain;
mod chain_files;
mod chain_queries;
mod chain_upgrade;
mod check;
mod completions;
mod demo;
mod group;
mod id;
mod init;
mod peers;
mod post;
mod read;
mod serve;
mod status;

use crate::arguments::{Command, Group};
use crate::chain_arguments::Chain;
use crate::context::Context;

/// Carries out a command.
pub(crate) async fn carry_out(context: &mut Context, command: Command) -> anyhow::Result<()> {
    match command {
        Command::Init(arguments) => init::run(context, arguments).await,
        Command::Id => id::run(context).await,
        Command::Status => status::run(context).await,
        Command::Peers => peers::run(context).await,
        Command::Group(arguments) => group::run(context, arguments).await,
        Command::Chain(arguments) => chain::run(context, arguments).await,
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
        Command::Peers => "peers",
        Command::Group(Group::New { .. }) => "group new",
        Command::Group(Group::List) => "group list",
        Command::Group(Group::Show { .. }) => "group show",
        Command::Group(Group::Invite { .. }) => "group invite",
        Command::Group(Group::Join { .. }) => "group join",
        Command::Chain(chain) => match chain {
            Chain::New { .. } => "chain new",
            Chain::List => "chain list",
            Chain::Show { .. } => "chain show",
            Chain::Delete { .. } => "chain delete",
            Chain::Post { .. } => "chain post",
            Chain::Read(_) => "chain read",
            Chain::Ancestry { .. } => "chain ancestry",
            Chain::Subscriptions { .. } => "chain subscriptions",
            Chain::Letters { .. } => "chain letters",
            Chain::Export { .. } => "chain export",
            Chain::Import { .. } => "chain import",
            Chain::Invite { .. } => "chain invite",
            Chain::Invitations { .. } => "chain invitations",
            Chain::Revoke { .. } => "chain revoke",
            Chain::Join { .. } => "chain join",
            Chain::Rules(_) => "chain rules",
            Chain::Upgrade { .. } => "chain upgrade",
        },
        Command::Post(_) => "post",
        Command::Read(_) => "read",
        Command::Serve(_) => "serve",
        Command::Check => "check",
        Command::Demo(_) => "demo",
        Command::Completions { .. } => "completions",
    }
}
