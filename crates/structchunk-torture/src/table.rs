//! The table at the end.

use crate::plan::Part;

/// Lines of a class and a part each, columns aligned, and a sum.
pub fn show(rows: &[(&str, Part)], seed: u64) -> String {
    let heading = ["class", "part", "runs", "failures", "seconds", "seed", "notes"].map(str::to_owned);
    let mut lines = vec![heading];
    for (class, part) in rows {
        let Part { name, runs, failures, took, notes } = part;
        lines.push([
            (*class).to_owned(),
            name.clone(),
            runs.to_string(),
            failures.to_string(),
            format!("{:.1}", took.as_secs_f64()),
            seed.to_string(),
            notes.clone(),
        ]);
    }
    let sum = |number: fn(&Part) -> u64| rows.iter().map(|(_, part)| number(part)).sum::<u64>();
    let seconds: f64 = rows.iter().map(|(_, part)| part.took.as_secs_f64()).sum();
    lines.push([
        "together".to_owned(),
        String::new(),
        sum(|part| part.runs).to_string(),
        sum(|part| part.failures).to_string(),
        format!("{seconds:.1}"),
        seed.to_string(),
        String::new(),
    ]);
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let mut text = String::new();
    for line in &lines {
        let cells: Vec<_> = line
            .iter()
            .enumerate()
            .map(|(column, cell)| {
                let width = width(column);
                let is_number = (2..6).contains(&column);
                if is_number { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_part_and_their_sum() {
        let part = |runs, failures| Part { runs, failures, ..Part::new("part") };
        let text = show(&[("kill", part(10, 0)), ("power", part(5, 2))], 7);
        let lines: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "class part runs failures seconds seed notes",
                "kill part 10 0 0.0 7",
                "power part 5 2 0.0 7",
                "together 15 2 0.0 7",
            ]
        );
    }
}
