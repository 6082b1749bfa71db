//! The chunks, drawn: which of their bytes are live.

use std::collections::BTreeMap;

use structchunk::Store;

use super::facts::{DrawnChunk, Sizes};
use super::interrupt::Interrupt;
use crate::chart::Row;
use crate::failure::Failure;
use crate::survey::each_object;

/// Makes everything durable and measures and draws it.
pub fn draw(store: &Store, interrupt: &Interrupt) -> Result<Sizes, Failure> {
    store.sync()?;
    let stats = store.stats()?;
    let row = |head| Row::new(stats.chunk_capacity, head);
    let mut rows: BTreeMap<_, _> = stats.chunks.iter().map(|chunk| (chunk.number, row(chunk.head))).collect();
    let damage = each_object(store.len(), store.iter()?, |entry| {
        let (chunk, bytes) = entry.place();
        if let Some(row) = rows.get_mut(&chunk) {
            row.add(bytes);
        }
    });
    interrupt.check()?;
    if let Some(damage) = damage {
        return Err(damage.into());
    }
    let mut sizes = Sizes::of(&stats);
    sizes.cell_bytes = rows.values().next().map_or(0, Row::cell_bytes);
    sizes.chunks = stats
        .chunks
        .iter()
        .map(|chunk| DrawnChunk {
            number: chunk.number,
            live_bytes: chunk.live_bytes,
            dead_bytes: chunk.dead_bytes,
            free_bytes: stats.chunk_capacity.saturating_sub(chunk.head),
            bytes_allocated: chunk.bytes_allocated,
            map: rows.get(&chunk.number).map_or(String::new(), Row::draw),
        })
        .collect();
    Ok(sizes)
}
