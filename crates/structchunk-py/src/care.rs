//! What is asked of a store as a whole.

use std::path::PathBuf;

use pyo3::prelude::*;
use pyo3::types::PyDict;
use structchunk::{Compaction, Store};

use crate::errors::{OrRaise, named};
use crate::handle::Handle;

pub fn check(py: Python<'_>, handle: &Handle) -> PyResult<Vec<String>> {
    let look = |store: &Store| Ok(store.check()?.map(|finding| finding.to_string()).collect());
    py.detach(|| handle.alone(look)).or_raise(py)
}

pub fn copy_to(py: Python<'_>, handle: &Handle, path: PathBuf) -> PyResult<u64> {
    let reader = handle.reader(py).or_raise(py)?;
    let report = py.detach(|| match reader {
        Some(reader) => reader.copy_to(path),
        None => handle.own()?.copy_to(path),
    });
    report.or_raise(py).map(|report| report.objects)
}

pub fn compact<'py>(py: Python<'py>, store: &Store, fill_ratio: Option<f64>) -> PyResult<Bound<'py, PyDict>> {
    let report = py.detach(|| match fill_ratio {
        Some(ratio) => store.compact_with(Compaction::new().fill_ratio(ratio)),
        None => store.compact(),
    });
    let report = report.or_raise(py)?;
    let left: Vec<(u32, String)> =
        report.left_chunks.iter().map(|(chunk, reason)| (*chunk, reason.to_string())).collect();
    named(
        py,
        [
            ("moved_objects", report.moved_objects.into_pyobject(py)?.into_any()),
            ("moved_bytes", report.moved_bytes.into_pyobject(py)?.into_any()),
            ("dropped_chunks", report.dropped_chunks.into_pyobject(py)?.into_any()),
            ("dropped_bytes", report.dropped_bytes.into_pyobject(py)?.into_any()),
            ("left_chunks", left.into_pyobject(py)?.into_any()),
        ],
    )
}

pub fn stats<'py>(py: Python<'py>, handle: &Handle) -> PyResult<Bound<'py, PyDict>> {
    let reader = handle.reader(py).or_raise(py)?;
    let stats = py.detach(|| match reader {
        Some(reader) => reader.stats(),
        None => handle.own()?.stats(),
    });
    let stats = stats.or_raise(py)?;
    let live: u64 = stats.chunks.iter().map(|chunk| chunk.live_bytes).sum();
    let dead: u64 = stats.chunks.iter().map(|chunk| chunk.dead_bytes).sum();
    let counts = named(
        py,
        [
            ("objects", stats.objects.into_pyobject(py)?.into_any()),
            ("chunks", stats.chunks.len().into_pyobject(py)?.into_any()),
            ("chunk_capacity", stats.chunk_capacity.into_pyobject(py)?.into_any()),
            ("bodies", stats.bodies.into_pyobject(py)?.into_any()),
            ("live_bytes", live.into_pyobject(py)?.into_any()),
            ("dead_bytes", dead.into_pyobject(py)?.into_any()),
            ("bytes_apparent", stats.bytes_apparent.into_pyobject(py)?.into_any()),
            ("bytes_allocated", stats.bytes_allocated.into_pyobject(py)?.into_any()),
        ],
    )?;
    if let Some(sequence) = stats.sequence {
        counts.set_item("sequence", sequence)?;
    }
    Ok(counts)
}
