/// Columns are at least this wide, as in Docker's tables.
const MIN_WIDTH: usize = 10;
/// Spaces between a column's longest cell and the next column.
const PADDING: usize = 3;

/// Aligns lines whose cells are separated by tabs; the last cell of a line is not padded.
pub(crate) fn align(lines: &[String]) -> String {
    let rows: Vec<Vec<&str>> = lines.iter().map(|line| line.split('\t').collect()).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let width = |column: usize| {
        let cells = rows.iter().filter(|row| column + 1 < row.len()).map(|row| row[column].chars().count() + PADDING);
        cells.max().unwrap_or_default().max(MIN_WIDTH)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (column, cell) in row.iter().enumerate() {
            out.push_str(cell);
            if column + 1 < row.len() {
                out.extend(std::iter::repeat_n(' ', widths[column] - cell.chars().count()));
            }
        }
        out.push('\n');
    }
    out
}
