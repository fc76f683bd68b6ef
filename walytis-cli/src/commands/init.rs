//! `walytis init`

use anyhow::ensure;
use serde::Serialize;
use walytis_node::{Home, KdfCost};

use crate::arguments::Init;
use crate::context::Context;
use crate::home::HomeLock;
use crate::link::IdentityView;
use crate::progress::Progress;
use crate::unlock::{self, Purpose};

/// The most characters of a home's name.
const NAME_CHARACTERS_MAX: usize = 64;

#[derive(Serialize)]
struct Made {
    home: String,
    name: Option<String>,
    #[serde(flatten)]
    identity: IdentityView,
}

/// Makes a home.
pub(crate) async fn run(context: &mut Context, arguments: Init) -> anyhow::Result<()> {
    if let Some(name) = &arguments.name {
        let fits = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) && !name.chars().any(char::is_control);
        ensure!(fits, "a home's name has 1 to {NAME_CHARACTERS_MAX} characters, none of them a control character");
    }
    context.home.must_be_free()?;
    let unlock = unlock::unlock(&context.global, Purpose::Create, &mut context.stop).await?;
    let progress = Progress::new(&context.output, "making the home");
    let (home, name, command) = (context.home.clone(), arguments.name.clone(), context.command);
    let making = tokio::task::spawn_blocking(move || {
        home.make()?;
        let lock = HomeLock::take(&home, command)?;
        // Somebody may have been quicker.
        home.must_be_free()?;
        home.make_store(name.as_deref(), &lock, |place| Ok(Home::create(place, &unlock, KdfCost::DEFAULT)?))
    });
    let identity = IdentityView::from(context.stop.or(async { making.await? }).await?);
    drop(progress);
    let home = context.home.path().display().to_string();
    context.output.remark("Made a home. Its passphrase, or key file, cannot be restored: keep it safe.");
    let text =
        format!("home    {home}\nuser    {}\ndevice  {}\npeer    {}", identity.user, identity.device, identity.peer);
    context.output.result(text, &Made { home, name: arguments.name, identity })
}
