//! Tables for people.

use comfy_table::{CellAlignment, ContentArrangement, Table, presets};

/// A table without lines; columns named in `numbers` are aligned to the right.
pub fn table(columns: &[&str], numbers: &[&str]) -> Table {
    let mut table = Table::new();
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(ContentArrangement::Disabled)
        .set_header(columns.iter().copied());
    for (index, name) in columns.iter().enumerate() {
        let Some(column) = table.column_mut(index) else { continue };
        column.set_padding((if index == 0 { 2 } else { 1 }, 1));
        if numbers.contains(name) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}
