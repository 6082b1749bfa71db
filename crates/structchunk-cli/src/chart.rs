//! Chunks drawn in characters.

use std::ops::Range;

/// How wide a drawing is, in characters.
const WIDTH: u64 = 64;
/// The same, for the bar in a table.
const SHORT: u64 = 24;

/// What the characters of [`proportions`] mean.
pub const LEGEND_OF_PROPORTIONS: &str = "  █ live  ░ dead  · free";

/// A bar divided as a chunk's bytes are. Whatever is there gets at least one character.
pub fn proportions(live: u64, dead: u64, free: u64) -> String {
    let total = (live + dead + free).max(1);
    let share = |part: u64| {
        if part == 0 { 0 } else { (u128::from(part) * u128::from(SHORT) / u128::from(total)).max(1) as usize }
    };
    let (live, dead) = (share(live), share(dead));
    let mut bar = "█".repeat(live) + &"░".repeat(dead);
    bar.push_str(&"·".repeat((SHORT as usize).saturating_sub(live + dead)));
    bar
}

/// A chunk as a row of cells, each a stretch of its bytes.
pub struct Row {
    cell_bytes: u64,
    used: u64,
    live: Vec<u64>,
}

impl Row {
    /// A chunk of `capacity` bytes of which the first `used` are taken, by nothing live so far.
    pub fn new(capacity: u64, used: u64) -> Self {
        Self { cell_bytes: capacity.div_ceil(WIDTH).max(1), used, live: vec![0; WIDTH as usize] }
    }

    /// How many bytes a cell stands for.
    pub fn cell_bytes(&self) -> u64 {
        self.cell_bytes
    }

    /// Says that these bytes are live.
    pub fn add(&mut self, bytes: Range<u64>) {
        let first = bytes.start / self.cell_bytes;
        for (index, live) in (0..).zip(&mut self.live).skip(first as usize) {
            let cell = index * self.cell_bytes..(index + 1) * self.cell_bytes;
            if cell.start >= bytes.end {
                break;
            }
            *live += bytes.end.min(cell.end) - bytes.start.max(cell.start);
        }
    }

    /// One character a cell.
    pub fn draw(&self) -> String {
        let cell = |(index, &live): (u64, &u64)| {
            let used = self.used.saturating_sub(index * self.cell_bytes).min(self.cell_bytes);
            match (used, live * 20 / used.max(1)) {
                (0, _) => '·',
                (_, 0) => '░',
                (_, 1..10) => '▒',
                (_, 10..19) => '▓',
                _ => '█',
            }
        };
        (0..).zip(&self.live).map(cell).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, proportions};

    #[test]
    fn a_bar_shows_even_the_smallest_part() {
        assert_eq!(proportions(12, 6, 6), "████████████░░░░░░······");
        assert_eq!(proportions(1, 0, 1 << 50), format!("█{}", "·".repeat(23)));
        assert_eq!(proportions(1 << 50, 1, 0).chars().count(), 24);
        assert_eq!(proportions(0, 0, 0), "·".repeat(24));
    }

    #[test]
    fn cells_show_where_bytes_are_live_dead_and_free() {
        let mut row = Row::new(6400, 650);
        row.add(0..190);
        row.add(300..330);
        row.add(450..620);
        assert_eq!(row.draw(), format!("█▓░▒▓█▒{}", "·".repeat(57)));
    }
}
