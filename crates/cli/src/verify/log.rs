use crate::args::{Global, VerifyLogArgs};
use crate::exit::Exit;
use crate::ui::Ui;
pub(crate) async fn run(_g: &Global, _a: &VerifyLogArgs, _ui: &Ui) -> anyhow::Result<Exit> {
    anyhow::bail!("wip")
}
