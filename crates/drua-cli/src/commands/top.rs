use drua_types::exit;

use crate::context::Context;
use crate::failure::Outcome;

/// Cells are at least this wide here, as in Docker's.
const MIN_WIDTH: usize = 20;

/// Display the running processes of a container
#[derive(Debug, clap::Args)]
pub(crate) struct Top {
    /// Container: name, id, or the beginning of an id
    container: String,
    /// Options of ps [default: -ef]
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "PS_OPTION")]
    ps_args: Vec<String>,
}

impl Top {
    pub(super) async fn run(self, ctx: &Context) -> Outcome {
        let args = self.ps_args.join(" ");
        let args = (!args.is_empty()).then_some(args);
        let top = ctx.client().await?.container_top(&self.container, args.as_deref()).await?;
        let rows = std::iter::once(top.titles.unwrap_or_default()).chain(top.processes.unwrap_or_default());
        ctx.ui.data(render(&rows.collect::<Vec<_>>()).as_bytes())?;
        Ok(exit::OK)
    }
}

/// Columns of at least 20 characters, three spaces apart; the last one is not padded.
pub(super) fn render(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| column + 1 < row.len()).map(|row| row[column].chars().count() + 3);
        cells.max().unwrap_or_default().max(MIN_WIDTH)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or_default()).map(width).collect();
    let line = |row: &Vec<String>| {
        let last = row.len().saturating_sub(1);
        let cells = row.iter().enumerate();
        let cells = cells
            .map(|(column, cell)| if column == last { cell.clone() } else { format!("{cell:<0$}", widths[column]) });
        cells.collect::<String>() + "\n"
    };
    rows.iter().map(line).collect()
}
