//! `walytis id`

use serde::Serialize;

use crate::context::Context;
use crate::link::{self, IdentityView, Reach, Reply, Request};

#[derive(Serialize)]
struct Id {
    name: Option<String>,
    #[serde(flatten)]
    identity: IdentityView,
}

/// Shows who the home is.
pub(crate) async fn run(context: &mut Context) -> anyhow::Result<()> {
    let identity = link::ask(context, Reach::Store, Request::Identity, |reply| match reply {
        Reply::Identity(identity) => Some(identity),
        _ => None,
    });
    let identity = identity.await?;
    let name = context.home.name();
    let mut text = String::new();
    if let Some(name) = &name {
        text = format!("name    {}\n", crate::escape::printable_line(name));
    }
    text = format!("{text}user    {}\ndevice  {}\npeer    {}", identity.user, identity.device, identity.peer);
    context.output.result(text, &Id { name, identity })
}
