//! Groups and public chains that share names: what is sealed for a few must not be taken for what everybody reads.

use super::host::{Ended, Host};
use super::messages::Request;

/// What a request is about, by the name that was typed.
pub(super) enum Named {
    /// A group; and the words for the same with a public chain.
    Group(String, &'static str),
    /// A public chain; and the words for the same with a group, where there is such a thing.
    Chain(String, Option<&'static str>),
}

impl Named {
    pub(super) fn by(request: &Request) -> Option<Self> {
        let group = |name: &String, words| Some(Self::Group(name.clone(), words));
        let chain = |name: &String, words| Some(Self::Chain(name.clone(), words));
        match request {
            Request::Read { group: name, .. } => group(name, "chain read"),
            Request::Post { group: name, .. } => group(name, "chain post"),
            Request::Group { group: name } => group(name, "chain show"),
            Request::Invite { group: name, .. } => group(name, "chain invite"),
            Request::ReadChain { chain: name, .. } => chain(name, Some("read")),
            Request::PostToChain { chain: name, .. } => chain(name, Some("post")),
            Request::Chain { chain: name } => chain(name, Some("group show")),
            Request::InviteToChain { chain: name, .. } => chain(name, Some("group invite")),
            Request::DeleteChain { chain: name }
            | Request::CountChain { chain: name, .. }
            | Request::Ancestry { chain: name, .. }
            | Request::ReadNamed { chain: name, .. }
            | Request::Subscriptions { chain: name }
            | Request::ExportChain { chain: name, .. }
            | Request::UpgradeChain { chain: name } => chain(name, None),
            _ => None,
        }
    }
}

impl Host {
    /// If what is not there as one kind is there as the other: what to type instead.
    pub(super) async fn of_another_kind(&self) -> Option<String> {
        match self.named.as_ref()? {
            Named::Group(name, words) => {
                self.node.chain(name).await.ok()?;
                Some(format!("{name:?} is a public chain, and no group: `walytis {words} {name}`"))
            }
            Named::Chain(name, words) => {
                self.node.group(name).await.ok()?;
                let instead = words.map_or_else(String::new, |words| format!(": `walytis {words} {name}`"));
                Some(format!("{name:?} is a private group, and no public chain{instead}"))
            }
        }
    }

    /// A group and a public chain with one name would be told apart by one word, `chain`, and what is posted to the wrong
    /// one of them is public for ever.
    pub(super) async fn one_kind_has_a_name(&self, request: &Request) -> Result<(), Ended> {
        let (name, taken, kind, command) = match request {
            Request::NewGroup { name } => (name, self.node.chain(name).await.is_ok(), "public chain", "group new"),
            Request::Join { name: Some(name), .. } => {
                (name, self.node.chain(name).await.is_ok(), "public chain", "group join CODE --as")
            }
            Request::NewChain { name } => (name, self.node.group(name).await.is_ok(), "private group", "chain new"),
            Request::JoinChain { name: Some(name), .. } => {
                (name, self.node.group(name).await.is_ok(), "private group", "chain join CODE --as")
            }
            Request::ImportChain { name: Some(name) } => {
                (name, self.node.group(name).await.is_ok(), "private group", "chain import FILE --as")
            }
            _ => return Ok(()),
        };
        if !taken {
            return Ok(());
        }
        let other = if kind == "public chain" { "group" } else { "chain" };
        Err(Ended::Refused(format!(
            "a {kind} is called {name:?} here, and what is meant for the one would soon be posted to the other: choose another \
             name, as in `walytis {command} {name}-{other}`"
        )))
    }
}
