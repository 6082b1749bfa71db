//! Bytes of a file.

use super::on_both;
use crate::disk::Access;
use crate::error::Error;

#[test]
fn what_is_written_is_read_back() {
    on_both(|folder| {
        let file = folder.create_file("file").unwrap();
        file.write_at(4096, b"hello").unwrap();
        assert_eq!(file.len().unwrap(), 4101);
        let again = folder.open_file("file", Access::Read).unwrap();
        let mut buffer = [0xff; 8];
        assert_eq!(again.read_at(4094, &mut buffer).unwrap(), 7);
        assert_eq!(&buffer, b"\0\0hello\xff");
        assert_eq!(again.read_at(4101, &mut buffer).unwrap(), 0);
        file.sync_data().unwrap();
        file.drop_cached_pages(0..4096).unwrap();
        assert!(again.write_at(0, b"x").is_err(), "opened for reading only");
    });
}

#[test]
fn reading_past_the_end_names_file_and_byte() {
    on_both(|folder| {
        let file = folder.create_file("short").unwrap();
        file.write_at(0, b"abc").unwrap();
        let error = file.read_exact_at(1, &mut [0; 4]).unwrap_err();
        assert!(
            matches!(&error, Error::Corrupt { path, offset: 1, .. } if path.ends_with("short")),
            "{error}"
        );
        file.read_exact_at(1, &mut [0; 2]).unwrap();
    });
}

#[test]
fn a_length_is_set_without_taking_space() {
    on_both(|folder| {
        let file = folder.create_file("file").unwrap();
        file.set_len(1 << 40).unwrap();
        assert_eq!(file.len().unwrap(), 1 << 40);
        assert_eq!(file.allocated_bytes().unwrap(), 0);
        file.set_len(10).unwrap();
        assert_eq!(file.len().unwrap(), 10);
    });
}

#[test]
fn absurd_offsets_are_errors() {
    on_both(|folder| {
        let file = folder.create_file("file").unwrap();
        for offset in [u64::MAX, u64::MAX - 3, i64::MAX as u64] {
            assert!(matches!(file.write_at(offset, b"xxxx"), Err(Error::NoSpace { .. })));
            assert!(matches!(file.reserve(offset, 4), Err(Error::NoSpace { .. })));
            assert!(matches!(file.punch(offset, 4), Err(Error::NoSpace { .. })));
            assert!(file.read_at(offset, &mut [0; 4]).map_or(true, |read| read == 0));
        }
        assert!(matches!(file.set_len(u64::MAX), Err(Error::NoSpace { .. })));
        assert_eq!(file.len().unwrap(), 0);
    });
}
