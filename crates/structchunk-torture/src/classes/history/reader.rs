//! A process that looks, and checks what it sees.

use structchunk::{Error, OwnedRef, Reader, Result};

use super::board::{ADDS, BATCH, Board, FIRST, LOOKS};
use super::words::{self, LARGE, RENAMED, SIZES, Seen, WIDE, look, may_be, or_later};
use crate::common::{Counter, Random, open_with};

/// As many references to sealed objects are kept.
const KEPT: usize = 3;

struct Eyes<'a> {
    board: &'a Board,
    random: Random,
    reader: Reader,
    /// What was seen of each array.
    least: [u64; 3],
    first: u64,
    batch: u64,
    sealed: Vec<(u64, OwnedRef<[u64]>)>,
}

#[expect(unsafe_code, reason = "attaching to a store is unsafe: others could change its files")]
fn attach(board: &Board) -> Reader {
    loop {
        // SAFETY: the store is this suite's own, and only structchunk changes its files.
        if let Some(reader) = or_later(unsafe { words::options().attach(board.store()) }) {
            return reader;
        }
    }
}

pub fn run(board: &Board, random: Random) {
    let reader = attach(board);
    let mut eyes = Eyes { board, random, reader, least: [0; 3], first: 0, batch: 0, sealed: Vec::new() };
    let mut looks = 0;
    while !board.is_over(1) {
        let (what, seen) = eyes.look();
        match seen {
            Ok(()) => looks += 1,
            Err(error) if may_be(&error) => {}
            Err(error) => panic!("{what}: {error} ({error:?})"),
        }
        if looks == 64 {
            board.count(LOOKS, looks);
            looks = 0;
        }
    }
    board.count(LOOKS, looks);
}

impl Eyes<'_> {
    /// Looks at something or other; at what, and what came of it.
    fn look(&mut self) -> (&'static str, Result<()>) {
        match self.random.below(1000) {
            0..250 => ("order", self.look_at_order()),
            250..450 => ("batch", self.look_at_batch()),
            450..750 => ("array", self.look_at_array()),
            750..830 => ("renamed", self.look_at_renamed()),
            830..900 => ("atomics", self.look_at_atomics()),
            900..970 => ("sealed", self.look_at_sealed()),
            970..990 => ("scan", self.scan()),
            990..998 => {
                self.reader = attach(self.board);
                ("attach", Ok(()))
            }
            _ => ("copy", self.copy()),
        }
    }

    fn number(&self, key: &str) -> Result<u64> {
        Ok(self.reader.load(key)?.unwrap_or_else(|| panic!("{key} is missing")))
    }

    fn look_at_order(&mut self) -> Result<()> {
        let returned = self.board.has_returned(FIRST);
        let (second, first) = (self.number("second")?, self.number("first")?);
        assert!(first >= second, "first is {first} after second was {second}");
        assert!(second >= returned, "second is {second} after {returned} was put");
        assert!(first >= self.first, "first is {first} after {}", self.first);
        self.first = first;
        Ok(())
    }

    /// In any order: once one of them is of a batch, all are, or of a later one.
    fn look_at_batch(&mut self) -> Result<()> {
        let mut least = self.board.has_returned(BATCH).max(self.batch);
        let from = self.random.below(8) as usize;
        let step = [1, 3, 5, 7][self.random.below(4) as usize];
        for turn in 0..8 {
            let key = words::BATCH[(from + turn * step) % 8];
            let Seen::Whole(number) = self.of_batch(key)? else { panic!("{key} is torn") };
            assert!(number >= least, "{key} is of batch {number} after {least} was there");
            least = number;
        }
        self.batch = least;
        Ok(())
    }

    fn of_batch(&self, key: &str) -> Result<Seen> {
        let seen = if key == words::BATCH[7] {
            look(&self.reader, key, LARGE)?
        } else {
            self.reader.load::<[u64; 4]>(key)?.map(|it| words::seen(&it))
        };
        Ok(seen.unwrap_or_else(|| panic!("{key} is missing")))
    }

    /// An object that others change. It may be torn only where nobody has looked through what a recovery took as it was.
    fn changing(&self, key: &str, words: usize) -> Result<Option<Seen>> {
        let doubts = self.board.doubts();
        let seen = look(&self.reader, key, words)?;
        if let Some(torn @ Seen::Torn { .. }) = seen {
            let excused = doubts.0 != doubts.1 || self.board.doubts() != doubts;
            assert!(excused, "{key} is torn: {torn:?}");
        }
        Ok(seen)
    }

    fn look_at_array(&mut self) -> Result<()> {
        let at = self.random.below(3) as usize;
        let size = &SIZES[at];
        let returned = if self.random.one_in(4) { self.board.sum(size.count) } else { 0 };
        let seen = self.changing(size.key, size.words)?;
        let Seen::Whole(number) = seen.unwrap_or_else(|| panic!("{} is missing", size.key)) else {
            return Ok(());
        };
        let least = self.least[at].max(returned);
        assert!(number >= least, "{} is {number} after {least}", size.key);
        self.least[at] = number;
        Ok(())
    }

    fn look_at_renamed(&self) -> Result<()> {
        for key in RENAMED {
            // It may be under neither key when it is looked for under both.
            self.changing(key, LARGE)?;
        }
        Ok(())
    }

    fn look_at_atomics(&mut self) -> Result<()> {
        let session = self.reader.session()?;
        let mut least = self.board.sum(ADDS);
        let Some(view) = session.atomic::<Counter>("counter")? else { panic!("counter is missing") };
        for _ in 0..self.random.below(200) {
            let hits = view.load()?.hits.into_inner();
            assert!(hits >= least, "counter is {hits} after {least}");
            least = hits;
        }
        Ok(())
    }

    /// References that are kept while the object is replaced, its chunk emptied, its writer killed.
    fn look_at_sealed(&mut self) -> Result<()> {
        for (number, words) in &self.sealed {
            assert_eq!(words::seen(words), Seen::Whole(*number), "what is sealed has changed");
        }
        if self.sealed.len() == KEPT || self.random.one_in(3) && !self.sealed.is_empty() {
            let one = self.random.below(self.sealed.len() as u64) as usize;
            self.sealed.swap_remove(one);
        }
        match self.reader.get::<[u64]>("sealed") {
            Ok(Some(words)) => {
                let Seen::Whole(number) = words::seen(&words) else { panic!("sealed is torn") };
                assert!([WIDE, LARGE].contains(&words.len()), "{} words", words.len());
                self.sealed.push((number, words));
                Ok(())
            }
            Ok(None) => panic!("sealed is missing"),
            // It was put, and is sealed in a moment.
            Err(Error::SharedStore { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn scan(&mut self) -> Result<()> {
        let session = self.reader.session()?;
        let mut met = Vec::new();
        if self.random.one_in(2) {
            for entry in session.prefix("b/")? {
                met.push(entry?.key().to_vec());
            }
        } else {
            for entry in session.iter()? {
                let key = entry?.key().to_vec();
                if key.starts_with(b"b/") {
                    met.push(key);
                }
            }
            met.sort_unstable();
        }
        assert!(met.iter().eq(words::BATCH.map(str::as_bytes).iter()), "met {met:?}");
        Ok(())
    }

    /// A copy is of one moment.
    fn copy(&mut self) -> Result<()> {
        let (board, doubts) = (self.board, self.board.doubts());
        let (first, batch) = (board.has_returned(FIRST), board.has_returned(BATCH));
        let place = board.place.join(format!("copy-{}", board.number));
        let report = match self.reader.copy_to(&place) {
            // Of one that was killed at this.
            Err(Error::AlreadyExists { .. }) => {
                std::fs::remove_dir_all(&place).expect("removed");
                return Ok(());
            }
            report => report?,
        };
        assert!(report.findings.is_empty(), "{report:?}");
        let copy = open_with(words::options(), &place).expect("the copy opens");
        let number = |key: &str| copy.load::<u64>(key).expect("a copy").expect("an object");
        let (is_first, is_second) = (number("first"), number("second"));
        assert!(is_first == is_second || is_first == is_second + 1, "{is_first} {is_second} in a copy");
        assert!(is_second >= first, "{is_second} in a copy after {first} was put");
        let [small @ .., large] = words::BATCH;
        let mut of = vec![look(&copy, large, LARGE).expect("a copy").expect("an object")];
        of.extend(
            small.map(|key| words::seen(&copy.load::<[u64; 4]>(key).expect("a copy").expect("an object"))),
        );
        assert!(of.iter().all(|it| *it == of[0]), "a batch in a copy: {of:?}");
        assert!(
            matches!(of[0], Seen::Whole(number) if number >= batch),
            "{:?} in a copy after batch {batch}",
            of[0]
        );
        for size in &SIZES {
            let is = look(&copy, size.key, size.words).expect("a copy").expect("an object");
            let excused = report.torn.contains(&size.key.as_bytes().to_vec())
                || doubts.0 != doubts.1
                || board.doubts() != doubts;
            assert!(excused || matches!(is, Seen::Whole(_)), "{} in a copy: {is:?}", size.key);
        }
        drop(copy);
        std::fs::remove_dir_all(&place).expect("removed");
        Ok(())
    }
}
