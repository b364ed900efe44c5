pub(crate) mod facts;
use crate::args::{DemoArgs, Global};
use crate::exit::Exit;
use crate::ui::Ui;
pub(crate) async fn run(_g: &Global, _a: &DemoArgs, _ui: &Ui) -> anyhow::Result<Exit> {
    anyhow::bail!("wip")
}
