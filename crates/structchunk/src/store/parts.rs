//! What of an object goes into a copy and comes back from it: the holes of a sparse one stay holes, and what has not changed is not stored.
#![expect(unsafe_code, reason = "copies objects from and to mapped memory")]

use std::ops::Range;

use super::find::Payload;
use crate::error::Result;
use crate::format::PAGE_BYTES;
use crate::layout::support::{copy_words, write_words};

const PAGE: usize = PAGE_BYTES as usize;

/// The parts of an object that may be anything but zero, in whole pages of it: all but the holes of a body.
pub(crate) fn data_of(payload: &Payload<'_>) -> Result<Vec<Range<u64>>> {
    let Some(body) = payload.body() else {
        let all = 0..payload.bytes;
        return Ok(vec![all]);
    };
    let mut parts: Vec<Range<u64>> = Vec::new();
    let mut from = 0;
    while from < payload.bytes
        && let Some(data) = body.next_data(from)?
        && data.start < payload.bytes
    {
        let start = data.start / PAGE_BYTES * PAGE_BYTES;
        let end = data.end.next_multiple_of(PAGE_BYTES).min(payload.bytes).max(start);
        match parts.last_mut() {
            Some(last) if last.end >= start => last.end = end.max(last.end),
            _ => parts.push(start..end),
        }
        from = data.end.max(from + 1);
    }
    Ok(parts)
}

/// The parts to which a changed copy of an object is stored back. What was a hole and is to be anything but zero has its space from here on:
/// a full disk is an error here, and would end the process there.
///
/// # Errors
/// [`Error::NoSpace`](crate::Error::NoSpace): then nothing has changed.
pub(crate) fn make_room_for(payload: &Payload<'_>, copy: &[u8]) -> Result<Vec<Range<u64>>> {
    let mut parts = data_of(payload)?;
    if let Some(body) = payload.body() {
        let filled = filled_holes(&parts, copy);
        for hole in &filled {
            body.reserve(hole.start, hole.end - hole.start)?;
        }
        parts.extend(filled);
    }
    Ok(parts)
}

/// The pages outside of these parts in which the copy has anything but zeroes; what follows each other as one.
fn filled_holes(parts: &[Range<u64>], copy: &[u8]) -> Vec<Range<u64>> {
    let end = copy.len() as u64;
    let mut filled: Vec<Range<u64>> = Vec::new();
    let mut behind = 0;
    for part in parts.iter().cloned().chain(std::iter::once(end..end)) {
        for from in (behind..part.start).step_by(PAGE) {
            let page = from..(from + PAGE_BYTES).min(part.start);
            let bytes = copy.get(page.start as usize..page.end as usize).unwrap_or_default();
            if bytes.iter().all(|&byte| byte == 0) {
                continue;
            }
            match filled.last_mut() {
                Some(last) if last.end == page.start => last.end = page.end,
                _ => filled.push(page),
            }
        }
        behind = part.end;
    }
    filled
}

/// Copies these parts of an object.
///
/// # Safety
/// For each part what [`copy_words`] asks for: the object is mapped and others store there by words only; the copy is as large and the caller's.
pub(crate) unsafe fn copy_parts(parts: &[Range<u64>], object: *const u8, copy: *mut u8) {
    for part in parts {
        let (from, bytes) = (part.start as usize, (part.end - part.start) as usize);
        // SAFETY: the caller's promise.
        unsafe { copy_words(object.wrapping_add(from), copy.wrapping_add(from), bytes) };
    }
}

/// Stores those pages of these parts of a copy back that differ from the object, so that no others become dirty.
///
/// # Safety
/// For each part what [`write_words`] and, the other way, [`copy_words`] ask for.
pub(crate) unsafe fn store_parts(parts: &[Range<u64>], copy: *const u8, object: *mut u8) {
    let mut now = [0_u8; PAGE];
    for part in parts {
        for from in (part.start as usize..part.end as usize).step_by(PAGE) {
            let bytes = PAGE.min(part.end as usize - from);
            let (source, target) = (copy.wrapping_add(from), object.wrapping_add(from));
            // SAFETY: a page of the part, and a buffer of this call's.
            unsafe { copy_words(target, now.as_mut_ptr(), bytes) };
            // SAFETY: a page of the copy, which nobody changes meanwhile.
            let wanted = unsafe { std::slice::from_raw_parts(source, bytes) };
            if now[..bytes] != *wanted {
                // SAFETY: as above.
                unsafe { write_words(source, target, bytes) };
            }
        }
    }
}
