//! What goes to the disk, as the kernel counts it for this process: so there is one test in this program.
#![expect(unsafe_code, reason = "opening a store is unsafe: others could change its files")]

use structchunk::Store;

#[test]
fn a_small_durable_put_writes_few_pages_whether_the_store_is_fresh_or_reopened() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let path = folder.path().join("store");
    for round in ["fresh", "reopened"] {
        // SAFETY: nobody else knows the folder.
        let store = unsafe { Store::options().create(true).open(&path).unwrap() };
        for number in 0..40_000_u64 {
            store.put(format!("{round} {number}"), &[number; 8]).unwrap();
        }
        store.sync().unwrap();
        let before = bytes_written();
        for number in 0..50_u64 {
            store.put(format!("{round} {}", number * 700), &[number; 8]).unwrap();
            store.sync().unwrap();
        }
        let each = (bytes_written() - before) / 50;
        assert!(each <= 16 << 10, "{each} bytes for one put into a {round} store");
        store.close().unwrap();
    }
}

/// Bytes of pages that this process made dirty.
fn bytes_written() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let count = text.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    count.unwrap().parse().unwrap()
}
