use std::cmp::Ordering;
use std::fmt::Debug;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use super::{AsKey, Key, KeyError, KeyReader, KeyWriter};

fn encode<K: Key>(key: &K) -> Vec<u8> {
    let mut writer = KeyWriter::new(&[]);
    key.write_key(&mut writer);
    writer.bytes().to_vec()
}

fn decode<K: Key>(bytes: &[u8]) -> Result<K, KeyError> {
    let mut reader = KeyReader::new(bytes, 0);
    let key = K::read_key(&mut reader)?;
    reader.finish().map(|()| key)
}

/// Order, inverse, and that no encoding is the beginning of another one.
fn check_pair<K: Key + Ord + Debug>(a: &K, b: &K) {
    let (left, right) = (encode(a), encode(b));
    assert_eq!(left.cmp(&right), a.cmp(b), "{a:?} as {left:02x?}, {b:?} as {right:02x?}");
    assert_eq!(decode::<K>(&left).as_ref(), Ok(a));
    if a.cmp(b) != Ordering::Equal {
        assert!(!left.starts_with(&right) && !right.starts_with(&left), "{left:02x?} and {right:02x?}");
    }
}

/// What decodes is exactly what would be encoded.
fn check_bytes<K: Key + Debug>(bytes: &[u8]) {
    if let Ok(key) = decode::<K>(bytes) {
        assert_eq!(encode(&key), bytes, "{key:?}");
    }
}

/// Checks a kind of key: pairs of values, the same value changed a little, and encodings changed in one place.
fn check<K: Key + Ord + Clone + Debug>(keys: impl Strategy<Value = K>) {
    let mut runner = TestRunner::deterministic();
    for _ in 0..pairs() {
        let mut value = || keys.new_tree(&mut runner).expect("a value").current();
        let (a, b) = (value(), value());
        check_pair(&a, &b);
        check_pair(&a, &a.clone());
        let bytes = encode(&a);
        let (at, change) = (any::<prop::sample::Index>(), any::<u8>());
        let (at, change) = (at, change).new_tree(&mut runner).expect("a change").current();
        assert!(decode::<K>(&[&bytes[..], &[change]].concat()).is_err(), "{a:?} and {change:02x}");
        if !bytes.is_empty() {
            let mut changed = bytes.clone();
            changed[at.index(bytes.len())] = change;
            check_bytes::<K>(&changed);
            // A key that is cut short is none: no encoding begins another.
            assert!(decode::<K>(&bytes[..at.index(bytes.len())]).is_err(), "{a:?} cut short");
        }
    }
}

/// So many pairs for each kind, the same ones every time; `PROPTEST_CASES` says how many.
fn pairs() -> u32 {
    2 * ProptestConfig::default().cases
}

/// Texts that are mostly short and like each other, of bytes that matter.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![3 => Just(0_u8), 2 => Just(1), 1 => Just(0xfe), 2 => Just(0xff), 2 => any::<u8>()];
    prop::collection::vec(byte, 0..6)
}

fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("\0".to_owned()),
        Just("\u{1}".to_owned()),
        Just("a".to_owned()),
        Just("\u{ff}".to_owned()),
        Just("\u{10ffff}".to_owned()),
        any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

/// Numbers near the limits as well as any.
macro_rules! numbers {
    ($($type:ident)*) => { $(
        fn $type() -> impl Strategy<Value = $type> {
            prop_oneof![
                any::<$type>(),
                (0..3 as $type).prop_map(|n| $type::MIN + n),
                (0..3 as $type).prop_map(|n| $type::MAX - n),
                (0..3 as $type).prop_map(|n| n.wrapping_sub(1)),
            ]
        }
    )* };
}

numbers!(u8 u16 u32 u64 u128 i8 i16 i32 i64 i128);

#[test]
fn numbers_are_ordered_as_their_values_are() {
    check(u8());
    check(u16());
    check(u32());
    check(u64());
    check(u128());
    check(i8());
    check(i16());
    check(i32());
    check(i64());
    check(i128());
    check(any::<bool>());
    check(any::<char>());
    let all: Vec<i8> = (i8::MIN..=i8::MAX).collect();
    assert!(all.iter().map(encode).is_sorted());
}

#[test]
fn texts_and_bytes_are_ordered_as_their_values_are() {
    check(text());
    check(bytes());
    check(any::<[u8; 1]>());
    check(any::<[u8; 7]>());
    check(prop::collection::vec(any::<u8>(), 60..70));
}

#[test]
fn tuples_are_ordered_part_by_part() {
    check((text(), i32()));
    check((bytes(), bytes()));
    check((text(), text(), u16()));
    check((any::<bool>(), (bytes(), i8()), text()));
    check(((text(), (bytes(),)), (u8(), i16(), any::<char>())));
    check((u8(), i16(), u32(), i64(), u128(), i128()));
    check((any::<bool>(), u8(), text(), bytes(), any::<[u8; 3]>(), i8(), any::<char>(), text()));
}

#[test]
fn any_bytes_decode_to_what_they_encode_or_not_at_all() {
    let mut runner = TestRunner::deterministic();
    for _ in 0..pairs() {
        let noise = bytes().new_tree(&mut runner).expect("bytes").current();
        check_bytes::<String>(&noise);
        check_bytes::<Vec<u8>>(&noise);
        check_bytes::<(Vec<u8>, u8)>(&noise);
        check_bytes::<(bool, i16)>(&noise);
        check_bytes::<char>(&noise);
    }
}

#[test]
fn what_is_no_encoding_is_refused_where_it_ends_to_be_one() {
    let refusal = |error: KeyError| (error.offset, error.reason);
    let text = |bytes: &[u8]| refusal(decode::<String>(bytes).expect_err("no text"));
    assert_eq!(text(b""), (0, "the text has no end"));
    assert_eq!(text(b"ab"), (0, "the text has no end"));
    assert_eq!(text(b"ab\0"), (2, "a zero byte is followed by neither 01 nor ff"));
    assert_eq!(text(b"ab\0\0"), (2, "a zero byte is followed by neither 01 nor ff"));
    assert_eq!(text(b"a\0\xffb\0\x02"), (4, "a zero byte is followed by neither 01 nor ff"));
    assert_eq!(text(b"ab\0\x01c"), (4, "bytes after the end of the key"));
    assert_eq!(text(b"a\xff\0\x01"), (0, "the text is no UTF-8"));
    assert_eq!(refusal(decode::<bool>(&[2]).expect_err("no bool")), (0, "a bool is 00 or 01"));
    assert_eq!(refusal(decode::<u32>(&[1, 2, 3]).expect_err("too short")), (0, "the key is too short"));
    let pair = decode::<(u8, char)>(&[7, 0, 0, 0xd8, 0]).expect_err("a surrogate");
    assert_eq!(refusal(pair), (1, "no Unicode scalar value"));
}

#[test]
fn what_borrows_the_same_is_written_the_same() {
    fn written<K>(key: impl AsKey<K>) -> Vec<u8> {
        let mut writer = KeyWriter::new(b"p/");
        key.write_key(&mut writer);
        writer.bytes().to_vec()
    }
    let owned = (String::from("a\0"), 7_u64, vec![1_u8, 0]);
    let expected = written::<(String, u64, Vec<u8>)>(&owned);
    assert_eq!(expected, [b"p/a\0\xff\0\x01", &7_u64.to_be_bytes()[..], &[1, 0, 0xff, 0, 1]].concat());
    assert_eq!(written::<(String, u64, Vec<u8>)>(("a\0", 7, &[1, 0])), expected);
    assert_eq!(written::<(String, u64, Vec<u8>)>((&owned.0, &owned.1, &owned.2[..])), expected);
}

#[test]
fn keys_of_every_length_are_written_whole() {
    for length in 0..200_usize {
        let key: Vec<u8> = (0..length).map(|n| n as u8 | 1).collect();
        for piece in [1, 7, 64, 200] {
            let mut writer = KeyWriter::new(&[]);
            key.chunks(piece).for_each(|piece| writer.push(piece));
            assert_eq!(writer.bytes(), key, "{length} in pieces of {piece}");
        }
    }
}

#[test]
fn the_test_vectors_of_the_format_document_are_what_is_written() {
    let document = include_str!("../../../../../FORMAT.md");
    let holds = |kind: &str, value: &str, bytes: Vec<u8>| {
        let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        let line = format!("| {kind} | {value} | `{}` |", hex.join(" "));
        assert!(document.contains(&line), "{line}");
    };
    holds("u16", "258", encode(&258_u16));
    holds("i32", "-1", encode(&-1_i32));
    holds("i32", "1", encode(&1_i32));
    holds("i8", "-128", encode(&i8::MIN));
    holds("u128", "1", encode(&1_u128));
    holds("bool", "true", encode(&true));
    holds("char", "`é`", encode(&'é'));
    holds("3 bytes", "01 00 ff", encode(&[1_u8, 0, 0xff]));
    holds("text", "empty", encode(&String::new()));
    holds("text", "`ab`", encode(&"ab".to_owned()));
    holds("text", "`a`, NUL, `b`", encode(&"a\0b".to_owned()));
    holds("bytes", "00 ff", encode(&vec![0_u8, 0xff]));
    holds("(text, u16)", "(`a`, 258)", encode(&("a".to_owned(), 258_u16)));
    holds("((bool, text), i8)", "((false, empty), 0)", encode(&((false, String::new()), 0_i8)));
}
