//! `walytis chain read` and `walytis chain ancestry`

use serde::Serialize;
use serde_bytes::ByteBuf;
use walytis_core::query::IdPrefix;

use super::read;
use crate::chain_arguments::ChainRead;
use crate::context::Context;
use crate::link::{self, QueryView, Reach, Reply, Request};

#[derive(Serialize)]
struct Counted {
    blocks: u64,
}

#[derive(Serialize)]
struct Ancestry {
    a: String,
    b: String,
    ancestry: String,
}

/// Prints the blocks that are asked for, or how many they are.
pub(super) async fn read(context: &mut Context, arguments: ChainRead) -> anyhow::Result<()> {
    let query = query(&arguments);
    let ChainRead { chain, latest, count, showing, subscription, .. } = arguments;
    let follow = showing.follow;
    if count {
        let counted = link::ask(context, Reach::Store, Request::CountChain { chain, query }, |reply| match reply {
            Reply::Counted { blocks } => Some(blocks),
            _ => None,
        });
        let blocks = counted.await?;
        return context.output.result(blocks, &Counted { blocks });
    }
    let request = match subscription {
        Some(name) => Request::ReadNamed { chain, name, topics: query.topics, follow },
        None => Request::ReadChain { chain, query, at_most: latest, follow },
    };
    read::read(context, showing, request).await
}

/// What the options ask for. They have been checked.
fn query(arguments: &ChainRead) -> QueryView {
    let ChainRead { since, until, after, before, latest, .. } = arguments;
    QueryView {
        topics: arguments.topics.iter().cloned().map(ByteBuf::from).collect(),
        author: arguments.author.map(|author| author.0),
        created_at_ms: (since.map_or(0, |since| since.0), until.map_or(u64::MAX, |until| until.0.saturating_sub(1))),
        content_bytes: (arguments.min_bytes.unwrap_or(0), arguments.max_bytes.unwrap_or(u64::MAX)),
        id: arguments.id.unwrap_or_default().to_string(),
        positions: (
            after.map_or(0, |after| after.saturating_add(1)),
            before.map_or(u64::MAX, |before| before.saturating_sub(1)),
        ),
        by_arrival: arguments.arrival || after.is_some() || before.is_some() || latest.is_some(),
        reverse: arguments.reverse || latest.is_some(),
    }
}

/// Says how one block stands to another.
pub(super) async fn ancestry(context: &mut Context, chain: String, a: IdPrefix, b: IdPrefix) -> anyhow::Result<()> {
    let request = Request::Ancestry { chain, a: a.to_string(), b: b.to_string() };
    let said = link::ask(context, Reach::Store, request, |reply| match reply {
        Reply::Ancestry { a, b, ancestry } => Some(Ancestry { a, b, ancestry }),
        _ => None,
    });
    let said = said.await?;
    context.output.result(&said.ancestry, &said)
}
