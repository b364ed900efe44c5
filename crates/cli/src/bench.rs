use crate::args::BenchCommand;
use crate::exit::Exit;
use crate::ui::Ui;
pub(crate) async fn run(_a: &BenchCommand, _ui: &Ui) -> anyhow::Result<Exit> {
    anyhow::bail!("wip")
}
