//! The demo as people read it, told while it goes.

use std::io::{IsTerminal, Write};
use std::path::Path;

use clap::builder::styling::{AnsiColor, Style};

use super::facts::{ByPrefix, Changed, Checked, Deleted, Facts, Ordered, Sought, Stored, TypeCounts};
use super::scan::Scanned;
use crate::failure::Failure;
use crate::key::shown;
use crate::numbers::{bytes, counted, duration, each, grouped, rate};
use crate::text::quiet;

/// So many chunks are drawn; the others are counted.
const MOST_CHUNKS: usize = 24;
/// So many symbols are named that were found by prefix.
const MOST_NAMES: usize = 6;
/// So many skipped files are named; the others are counted.
const MOST_SKIPPED: usize = 3;

/// Tells what happens, or nothing at all.
pub struct Story<'a> {
    out: Option<&'a mut dyn Write>,
    colour: bool,
}

type Told = Result<(), Failure>;

impl<'a> Story<'a> {
    /// A story told to `out`, in colour where that is a terminal.
    pub fn new(out: Option<&'a mut dyn Write>) -> Self {
        let wanted = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Self { out, colour: wanted && std::io::stdout().is_terminal() }
    }

    fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// A step: its name, what was done, how fast; and further lines.
    fn step(&mut self, name: &str, lines: &[String]) -> Told {
        let name = self.paint(&format!("{name:>9}"), AnsiColor::Cyan.on_default().bold());
        let Some(out) = &mut self.out else { return Ok(()) };
        for (index, line) in lines.iter().enumerate() {
            if index == 0 {
                writeln!(out, "{name}  {line}")?;
            } else {
                writeln!(out, "{:9}  {line}", "")?;
            }
        }
        // It is to be seen while the next step goes on.
        out.flush()?;
        Ok(())
    }

    pub fn begin(&mut self, path: &Path) -> Told {
        let store = quiet(&path.display().to_string());
        self.step(
            "store",
            &[store, "of symbols, each an Elf64_Sym of 24 bytes, as it stands in its file".into()],
        )
    }

    pub fn stored(&mut self, stored: &Stored) -> Told {
        let files = counted(stored.files, "file", "files");
        let symbols = counted(stored.symbols, "symbol", "symbols");
        let limited = if stored.limited { " (the limit)" } else { "" };
        let mut lines = vec![format!("{files} in {}, {symbols}{limited}", duration(stored.reading))];
        for skipped in stored.skipped.iter().take(MOST_SKIPPED) {
            lines.push(format!("skipped {}", quiet(skipped)));
        }
        if stored.skipped.len() > MOST_SKIPPED {
            lines.push(format!("skipped {} more", stored.skipped.len() - MOST_SKIPPED));
        }
        if stored.cut_names > 0 {
            lines.push(format!("{} too long for a key were cut", counted(stored.cut_names, "name", "names")));
        }
        self.step("read", &lines)?;
        let put = stored.put;
        let (rate, one) = (rate(put.count, put.time), each(put.count, put.time));
        self.step("put", &[format!("{symbols} in {}: {rate}, {one} each", duration(put.time))])?;
        self.step("sync", &[format!("everything durable after {}", duration(stored.sync))])?;
        self.step("reopen", &[format!("closed, and open again after {}", duration(stored.reopen))])
    }

    pub fn scanned(&mut self, scanned: &Scanned) -> Told {
        let work = scanned.work;
        let all = counted(work.count, "symbol", "symbols");
        let mut lines = vec![format!("{all} in {}: {}", duration(work.time), rate(work.count, work.time))];
        lines.extend(type_lines(&scanned.types));
        self.step("scan", &lines)
    }

    pub fn found(&mut self, found: &Sought) -> Told {
        let line = |work: super::facts::Work, what: &str| {
            format!(
                "{} {what}: {}, {}",
                grouped(work.count),
                each(work.count, work.time),
                rate(work.count, work.time)
            )
        };
        self.step(
            "find",
            &[
                line(found.load, "by key, in random order"),
                line(found.load_many, "by key, 64 at a time"),
                line(found.absent, "keys that are not there"),
            ],
        )
    }

    pub fn ordered(&mut self, ordered: &Ordered) -> Told {
        let work = ordered.keys;
        let all = counted(work.count, "key", "keys");
        let mut lines =
            vec![format!("{all} in their order in {}: {}", duration(work.time), rate(work.count, work.time))];
        if let Some(ByPrefix { path, prefix, found, symbols }) = &ordered.prefix {
            let path = quiet(&path.display().to_string());
            let symbols_found = counted(found.count, "symbol", "symbols");
            lines.push(format!("{prefix}... in {path}: {symbols_found} in {}", duration(found.time)));
            let shown = symbols.iter().take(MOST_NAMES);
            let shown: Vec<_> =
                shown.map(|symbol| format!("{} at {:#x}", quiet(&symbol.name), symbol.st_value)).collect();
            lines.extend(shown.chunks(2).map(|names| names.join(", ")));
        }
        self.step("order", &lines)
    }

    pub fn changed(&mut self, changed: &Changed) -> Told {
        let work = changed.update;
        let (one, rate) = (each(work.count, work.time), rate(work.count, work.time));
        self.step(
            "change",
            &[
                format!("st_value of {} in place: {one}, {rate}", counted(work.count, "symbol", "symbols")),
                format!("{:#x} is now {:#x} in {}", changed.before, changed.after, shown(&changed.key)),
            ],
        )
    }

    pub fn deleted(&mut self, deleted: &Deleted) -> Told {
        let work = deleted.batch;
        let symbols = counted(work.count, "symbol", "symbols");
        self.step(
            "delete",
            &[
                format!("{symbols} in one batch: {}, {}", duration(work.time), rate(work.count, work.time)),
                format!(
                    "all of {}; {} left",
                    quiet(&deleted.path.display().to_string()),
                    grouped(deleted.objects_left)
                ),
            ],
        )
    }

    pub fn checked(&mut self, checked: &Checked) -> Told {
        let records = counted(checked.records.count, "record", "records");
        let findings = match checked.findings.len() as u64 {
            0 => "no findings".to_owned(),
            count => counted(count, "finding", "findings"),
        };
        self.step("check", &[format!("{records} in {}: {findings}", duration(checked.records.time))])
    }

    /// Sizes, the map, and where the store is.
    pub fn end(&mut self, facts: &Facts) -> Told {
        let sizes = &facts.sizes;
        let (apparent, real) = (bytes(sizes.bytes_apparent), bytes(sizes.bytes_allocated));
        let mut lines = vec![format!("{apparent} apparent, {real} on disk; the chunks:")];
        for chunk in sizes.chunks.iter().take(MOST_CHUNKS) {
            lines.push(format!("{:08x} {}", chunk.number, self.painted(&chunk.map)));
        }
        if sizes.chunks.len() > MOST_CHUNKS {
            lines.push(format!("and {} more", sizes.chunks.len() - MOST_CHUNKS));
        }
        let legend = ["█ live", "▓▒ partly", "░ dead", "· free"].map(|text| self.painted(text)).join("  ");
        lines.push(format!("{legend}  a cell is {}", bytes(sizes.cell_bytes)));
        self.step("map", &lines)?;
        let end = if facts.kept {
            format!("the store is kept; try: structchunk ls {} --long | head", quiet(&facts.store))
        } else {
            "the store goes away; --store DIR keeps one".to_owned()
        };
        self.step("end", &[end])
    }

    /// A drawing in its colours.
    fn painted(&self, map: &str) -> String {
        if !self.colour {
            return map.to_owned();
        }
        let style = |c| match c {
            '█' => AnsiColor::Green.on_default(),
            '▓' | '▒' => AnsiColor::Yellow.on_default(),
            '░' => AnsiColor::Red.on_default(),
            _ => Style::new(),
        };
        let cells: Vec<char> = map.chars().collect();
        let runs = cells.chunk_by(|a, b| style(*a) == style(*b));
        runs.map(|run| self.paint(&run.iter().collect::<String>(), style(run[0]))).collect()
    }
}

/// The counts, most frequent first, three on a line.
fn type_lines(types: &TypeCounts) -> Vec<String> {
    let mut counts: Vec<_> = types.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let cells: Vec<_> =
        counts.iter().map(|(name, count)| format!("{name:<7} {:>9}", grouped(**count))).collect();
    cells.chunks(3).map(|cells| cells.join("    ")).collect()
}
