//! `oss get RID`: the request as it is now.

use crate::access::Access;
use crate::args::{GetArgs, Global};
use crate::client::Client;
use crate::exit::Exit;
use crate::ui::Ui;

pub(crate) async fn run(global: &Global, args: &GetArgs, ui: &Ui) -> anyhow::Result<Exit> {
    let client = Client::new(Access::find(global)?)?;
    let Some(answer) = client.request_status(args.rid, None, None).await? else {
        anyhow::bail!("the service answered 304 to an unconditional request");
    };
    ui.result(&answer.view, || answer.view.human())?;
    Ok(answer.view.exit())
}
