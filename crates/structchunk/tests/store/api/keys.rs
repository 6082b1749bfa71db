//! Keys: any bytes, 1 to 65,535 of them.

use structchunk::{Error, EscapedKey, MAX_KEY_BYTES, Store};

use super::on_both;
use crate::common::{contents, folder, open};

fn refuses(store: &Store, key: &[u8]) {
    let length = key.len();
    let check = |what: &str, error: Option<Error>| match error {
        Some(Error::KeyLength { length: said }) => assert_eq!(said, length, "{what}"),
        other => panic!("{what} with a key of {length} bytes: {other:?}"),
    };
    check("put", store.put(key, &1_u8).err());
    check("insert_new", store.insert_new(key, &1_u8).err());
    check("replace", store.replace(key, &1_u8).err());
    check("put_if", store.put_if(key, 1, &1_u8).err());
    check("put of a large object", store.put(key, &vec![0_u8; 100_000][..]).err());
    check("remove", store.remove(key).err());
    check("take", store.take::<u8>(key).err());
    check("rename from", store.rename(key, "x").err());
    check("rename to", store.rename("x", key).err());
    check("loan", store.loan::<u8>(key).err());
    check("loan_slice", store.loan_slice::<u8>(key, 100_000).err());
    check("batch put", store.batch().put(key, &1_u8).err());
    check("batch remove", store.batch().remove(key).err());
    check("get_or_insert_with", store.get_or_insert_with(key, || 1_u8).err());
    // Looking up what cannot be there finds nothing.
    assert_eq!(store.load::<u8>(key).unwrap(), None);
    assert!(!store.contains(key).unwrap() && store.get::<u8>(key).unwrap().is_none());
    assert_eq!(store.len(), 0);
}

#[test]
fn keys_of_no_bytes_and_of_more_than_65535_are_refused_by_every_operation() {
    on_both(|store| {
        refuses(store, b"");
        refuses(store, &vec![b'k'; MAX_KEY_BYTES + 1]);
        refuses(store, &vec![b'k'; 2 * (MAX_KEY_BYTES + 1)]);
    });
    let error = Error::KeyLength { length: 65_536 };
    assert_eq!(error.to_string(), "a key of 65536 bytes; keys have 1 to 65535");
}

#[test]
fn the_longest_keys_differ_in_their_last_byte_and_outlive_a_close() {
    let folder = folder();
    let key = |last: u8| [vec![b'k'; MAX_KEY_BYTES - 1], vec![last]].concat();
    let store = open(folder.path());
    for last in 0..10 {
        store.put(key(last), &last).unwrap();
    }
    store.remove(key(3)).unwrap();
    store.close().unwrap();
    let store = open(folder.path());
    for last in 0..11 {
        assert_eq!(store.load::<u8>(key(last)).unwrap(), (last < 10 && last != 3).then_some(last));
    }
    assert_eq!(store.check().unwrap().count(), 0);
}

#[test]
fn any_bytes_are_a_key_and_no_file_is_named_after_one() {
    let mut keys: Vec<Vec<u8>> = (0..=255).map(|byte| vec![byte]).collect();
    let names = ["../../x", "a\0b", "/etc/passwd", "\u{202e}evil", "..", "STORE", "x\x1b[2J"];
    keys.extend(names.iter().map(|name| name.as_bytes().to_vec()));
    keys.push(vec![0; 300]);
    keys.push((0..=255).collect());
    keys.extend((2..40).map(|length| vec![0; length]));
    on_both(|store| {
        for (n, key) in (0_u64..).zip(&keys) {
            store.put(key, &n).unwrap();
        }
        for (n, key) in (0_u64..).zip(&keys) {
            assert_eq!(store.load(key).unwrap(), Some(n), "{}", EscapedKey(key));
        }
        assert!(contents(store).keys().eq(std::collections::BTreeSet::from_iter(keys.clone()).iter()));
    });
    let folder = folder();
    let store = open(folder.path());
    for key in &keys {
        store.put(key, &vec![1_u8; 40_000][..]).unwrap();
    }
    store.close().unwrap();
    for place in [folder.path().to_owned(), folder.path().join("chunks")] {
        for entry in std::fs::read_dir(place).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = ["STORE", "LOCK", "chunks", "shared", "directory", "live", "index"].contains(&&*name);
            let stem = name.strip_suffix(".chunk").or(name.strip_suffix(".body"));
            let numbered = stem.is_some_and(|stem| u64::from_str_radix(stem, 16).is_ok());
            assert!(known || numbered, "{name}");
        }
    }
}

#[test]
fn error_texts_show_keys_escaped() {
    let store = Store::in_memory().unwrap();
    store.put("a\x1b[2J\n", &1_u8).unwrap();
    let text = store.insert_new("a\x1b[2J\n", &1_u8).unwrap_err().to_string();
    assert_eq!(text, "object \"a\\x1b[2J\\x0a\" exists already");
    assert!(
        store.load::<u16>("a\x1b[2J\n").unwrap_err().to_string().starts_with("object \"a\\x1b[2J\\x0a\": ")
    );
}
