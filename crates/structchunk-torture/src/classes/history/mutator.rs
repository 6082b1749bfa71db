//! A process that changes objects beside the writer.

use std::sync::atomic::Ordering;

use structchunk::{Error, Mutator, Result};

use super::board::{ADDS, Board};
use super::words::{self, LARGE, RENAMED, SIZES, or_later, raise};
use crate::common::{Counter, Random};

#[expect(unsafe_code, reason = "attaching to a store is unsafe: others could change its files")]
fn attach(board: &Board) -> Mutator {
    loop {
        // SAFETY: the store is this suite's own, and only structchunk changes its files.
        if let Some(mutator) = or_later(unsafe { words::options().attach_mut(board.store()) }) {
            return mutator;
        }
    }
}

pub fn run(board: &Board, mut random: Random) {
    let mut mutator = attach(board);
    while !board.is_over(1) {
        match random.below(20) {
            0..14 => {
                let size = &SIZES[random.below(3) as usize];
                if or_later(raise(&mutator, size.key, size.words)) == Some(true) {
                    board.count(size.count, 1);
                }
            }
            14..16 => {
                // It may be under neither key when it is looked for under both.
                for key in RENAMED {
                    or_later(raise(&mutator, key, LARGE));
                }
            }
            16..19 => drop(or_later(add(&mutator, board, random.below(20)))),
            _ if random.one_in(20) => mutator = attach(board),
            _ => {}
        }
    }
}

fn add(mutator: &Mutator, board: &Board, times: u64) -> Result<()> {
    let session = mutator.session()?;
    let Some(counter) = session.get_atomic::<Counter>("counter")? else {
        return Err(Error::Closed);
    };
    for _ in 0..times {
        counter.hits.fetch_add(1, Ordering::Relaxed);
        board.count(ADDS, 1);
    }
    Ok(())
}
