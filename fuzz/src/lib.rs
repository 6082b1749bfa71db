//! The targets: functions of any bytes, which must neither panic, hang, nor touch what is not theirs.
//!
//! Those about files take a small store that is right, change it as the bytes say, make checksums right where the target is what they
//! protect, and then do with the store all that can be done. `crates/structchunk/tests/fuzz_corpus.rs` runs them all over the corpus.

mod change;
mod files;
mod survive;

use structchunk::Layout;

use change::{Change, changes};
use files::{Files, right};

/// A target and its name, which is that of its folder in `corpus/`, too.
pub type Target = (&'static str, fn(&[u8]));

pub const TARGETS: &[Target] = &[
    ("store", store),
    ("chunk", chunk),
    ("layout", layout),
    ("directory", directory),
    ("live", live),
    ("index", index),
    ("open", open),
];

/// `STORE`, with right checksums.
pub fn store(bytes: &[u8]) {
    one_file("STORE", bytes, right::store);
}

/// Header, seal and records of a chunk, with right checksums.
pub fn chunk(bytes: &[u8]) {
    one_file("chunks/00000000.chunk", bytes, right::chunk);
}

/// The description of a type; and objects of that type.
pub fn layout(bytes: &[u8]) {
    let (description, object) = match bytes {
        [low, high, rest @ ..] => {
            rest.split_at(usize::from(u16::from_le_bytes([*low, *high])).min(rest.len()))
        }
        _ => return,
    };
    let Ok(layout) = Layout::decode(description) else { return };
    // What can be decoded and written is the same again.
    if let Ok(encoded) = layout.encode() {
        let again = Layout::decode(&encoded).expect("what was written just now");
        assert_eq!((again.fingerprint(), again.encode().ok()), (layout.fingerprint(), Some(encoded)));
    }
    let _ = (layout.to_string(), format!("{layout:?}"));
    for shape in [None, Some(&[2, 3][..]), Some(&[u64::MAX, 2]), Some(&[])] {
        if let Some(value) = layout.read(object, shape, 100) {
            let _ = (value.to_string(), format!("{value:#}"), value.json().to_string());
        }
    }
}

/// The directory, whose words have no checksums.
pub fn directory(bytes: &[u8]) {
    one_file("directory", bytes, |_| ());
}

/// The live map.
pub fn live(bytes: &[u8]) {
    one_file("live", bytes, |_| ());
}

/// Values and the mark of the index, and every other structure of fixed form.
pub fn index(bytes: &[u8]) {
    structchunk::testing::decode_as_everything(bytes);
}

/// A folder in which anything may have been done to any file.
pub fn open(bytes: &[u8]) {
    let mut files = Files::base();
    changes(bytes).for_each(|change| change.apply_to(&mut files));
    survive::all(&files);
}

fn one_file(name: &str, bytes: &[u8], make_right: fn(&mut [u8])) {
    let mut files = Files::base();
    if let Some(file) = files.get_mut(name) {
        changes(bytes).for_each(|change: Change<'_>| change.overwrite(file));
        make_right(file);
    }
    survive::all(&files);
}
