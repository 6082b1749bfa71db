//! A scan in key order, from both ends: keys and locations, some at a time, out of whichever source there is.

use crate::error::{Error, Result};
use crate::format::{IndexValue, Location};
use crate::index::{Block, Bounds, Direction, Index, Snapshot};
use crate::key::MAX_KEY_BYTES;
use crate::store::ordered::{INDEX, Source};
use crate::store::{Inner, Store};

/// So many entries are looked up at first, and at most, at a time.
const FIRST_BLOCK: usize = 128;
const LARGEST_BLOCK: usize = 4096;

/// Records are fetched so many entries ahead.
const AHEAD: usize = 32;

/// What a scan has to go through yet, from both ends.
pub(super) struct Scan<'a> {
    store: &'a Store,
    source: Source,
    /// What the scan was begun with, and what neither end has passed yet, but for what was taken out of a block since it was noted.
    whole: Bounds,
    left: Bounds,
    /// The front, the back.
    ends: [End; 2],
    /// Which end moved last, and whether both have: then a block may reach beyond the other end.
    going: Direction,
    both: bool,
    use_index: bool,
    /// To be told first.
    trouble: Option<Error>,
    course: Course,
}

/// Whether a scan goes on.
#[derive(PartialEq, Eq)]
enum Course {
    Going,
    /// The ends have met; it takes a seek to part them.
    Met,
    /// It ended with an error.
    Ended,
}

#[derive(Default)]
struct End {
    block: Block,
    most: usize,
}

impl<'a> Scan<'a> {
    pub(super) fn new(store: &'a Store, bounds: Bounds) -> Result<Self> {
        store.inner.check_open()?;
        let (source, trouble) = if bounds.is_empty() {
            (Source::Runs(Snapshot::default()), None)
        } else {
            store.inner.source(bounds.is_everything(), true).map_err(|error| store.inner.explained(error))?
        };
        let end = || End { block: Block::default(), most: FIRST_BLOCK };
        Ok(Self {
            store,
            source,
            left: bounds.clone(),
            whole: bounds,
            ends: [end(), end()],
            going: Direction::Forward,
            both: false,
            use_index: true,
            trouble,
            course: Course::Going,
        })
    }

    /// Goes on at the first key that is not before `key`, seen from one end.
    pub(super) fn seek(&mut self, key: &[u8], direction: Direction) {
        let bound = std::ops::Bound::Included(key.to_vec());
        match direction {
            Direction::Forward if self.whole.is_above_lower(key) => self.left.lower = bound,
            Direction::Forward => self.left.lower = self.whole.lower.clone(),
            Direction::Backward if self.whole.is_below_upper(key) => self.left.upper = bound,
            Direction::Backward => self.left.upper = self.whole.upper.clone(),
        }
        // Where it stands now, a step further is no longer the next key.
        if self.course == Course::Met {
            self.course = Course::Going;
        }
        self.both = true;
        let end = &mut self.ends[direction as usize];
        end.block.clear();
        end.most = FIRST_BLOCK;
    }

    /// Takes note of how far one end has come.
    fn note(&mut self, direction: Direction) {
        if let Some(key) = self.ends[direction as usize].block.taken() {
            self.left.pass(key, direction);
        }
    }

    /// The other end moves on.
    #[cold]
    fn turn(&mut self, direction: Direction) {
        self.note(self.going);
        self.going = direction;
        self.both = true;
    }

    /// What it was begun with.
    pub(super) fn whole(&self) -> &Bounds {
        &self.whole
    }

    pub(super) fn store(&self) -> &'a Store {
        self.store
    }

    /// The next key at one end that `look` makes something of.
    ///
    /// `BLIND`: where the keys are our own, the records are not looked at.
    #[inline]
    pub(super) fn next<const BLIND: bool, R>(
        &mut self,
        direction: Direction,
        mut look: impl FnMut(&'a Inner, bool, &[u8], Location) -> Result<Option<R>>,
    ) -> Option<Result<R>> {
        let inner: &'a Inner = &self.store.inner;
        if self.course != Course::Going {
            return None;
        }
        if let Err(error) = inner.check_scan() {
            self.course = Course::Ended;
            return Some(Err(error));
        }
        if let Some(trouble) = self.trouble.take() {
            return Some(Err(trouble));
        }
        if self.going != direction {
            self.turn(direction);
        }
        loop {
            let end = &mut self.ends[direction as usize];
            let is_own = matches!(self.source, Source::Runs(_));
            if !(is_own && BLIND)
                && let Some(ahead) = end.block.ahead(AHEAD)
            {
                fetch(inner, ahead);
            }
            let Some((key, location)) = end.block.take() else {
                match self.refill(direction) {
                    Ok(true) => {
                        let block = &self.ends[direction as usize].block;
                        let first: Vec<_> = (0..AHEAD).map_while(|ahead| block.ahead(ahead)).collect();
                        for location in first {
                            fetch(inner, location);
                        }
                        continue;
                    }
                    Ok(false) => {
                        self.course = Course::Met;
                        return None;
                    }
                    Err(error) => {
                        self.course = Course::Ended;
                        return Some(Err(inner.explained(error)));
                    }
                }
            };
            // The other end may have come this far.
            if self.both && !self.left.goes_on_to(key, direction) {
                end.block.put_back();
                self.course = Course::Met;
                return None;
            }
            if let Some(found) = look(inner, is_own, key, location).transpose() {
                return Some(found.map_err(|error| inner.explained(error)));
            }
        }
    }

    /// Gets some more keys; whether there are any.
    #[cold]
    fn refill(&mut self, direction: Direction) -> Result<bool> {
        self.note(direction);
        let end = &mut self.ends[direction as usize];
        let most = end.most;
        end.most = (most * 4).min(LARGEST_BLOCK);
        loop {
            let end = &mut self.ends[direction as usize];
            end.block.clear();
            if self.left.is_empty() {
                return Ok(false);
            }
            let failure = match &self.source {
                Source::Runs(runs) => {
                    runs.fill(&mut end.block, &self.left, direction, most);
                    return Ok(end.block.len() > 0);
                }
                // A forked child has none of LevelDB's threads, and perhaps a lock that nobody opens again.
                Source::Index(_) if self.store.inner.is_forked() => Some(Error::Closed),
                Source::Index(index) => match index.upgrade() {
                    Some(index) => read_block(&*index, &mut end.block, &self.left, direction, most).err(),
                    None => Some(Error::Closed),
                },
            };
            let Some(error) = failure else { return Ok(end.block.len() > 0) };
            let inner = &*self.store.inner;
            inner.check_open()?;
            if !matches!(error, Error::Closed) {
                inner.doubt_index(&error);
                self.use_index = false;
            }
            // It is gone, or of no use: from the next key on, the scan has another source.
            let (source, trouble) = inner.source(false, self.use_index)?;
            self.source = source;
            if trouble.is_some() {
                tracing::warn!("a scan goes on over a damaged log");
            }
        }
    }
}

/// Begins to bring near what tells whether a record is current, and the record.
#[inline]
fn fetch(inner: &Inner, location: Location) {
    /// The usual records have up to so many bytes.
    const USUAL: u64 = 128;
    inner.views.live.prefetch(location);
    inner.chunks.prefetch(location, USUAL);
}

/// Reads the next entries of the index. What cannot be there makes it useless: a scan must not go round in circles.
fn read_block(
    index: &dyn Index,
    block: &mut Block,
    bounds: &Bounds,
    direction: Direction,
    most: usize,
) -> Result<()> {
    let mut wrong = false;
    index.read(bounds.start(direction), direction, &mut |key, value| {
        if !bounds.goes_on_to(key, direction) {
            return false;
        }
        let in_order = match (block.last(), direction) {
            (None, Direction::Forward) => bounds.is_above_lower(key),
            (None, Direction::Backward) => bounds.is_below_upper(key),
            (Some((last, _)), Direction::Forward) => last < key,
            (Some((last, _)), Direction::Backward) => last > key,
        };
        let possible = in_order && (1..=MAX_KEY_BYTES).contains(&key.len());
        let Some(value) = IndexValue::decode(value).filter(|_| possible) else {
            wrong = true;
            return false;
        };
        block.push(key, value.location);
        block.len() < most
    })?;
    if wrong {
        return Err(Error::corrupt(INDEX, 0, "it holds an entry that cannot be"));
    }
    Ok(())
}
