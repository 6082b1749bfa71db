//! The promise in numbers. `STRUCTCHUNK_TEST_SCALE=32` makes it a gibibyte, in chunks of the default capacity.

use std::os::unix::fs::MetadataExt;

use structchunk::Store;

use super::*;

/// Disk space of a folder with everything in it, as `du` counts it.
fn disk_usage(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("a name"));
    let usage = |entry: std::fs::DirEntry| {
        let metadata = entry.metadata().expect("a file");
        let below = if metadata.is_dir() { disk_usage(&entry.path()) } else { 0 };
        metadata.blocks() * 512 + below
    };
    entries.map(usage).sum()
}

#[test]
fn of_a_store_of_which_nine_tenths_are_deleted_less_than_a_fifth_stays_on_disk() {
    let scale = cases(1).next_power_of_two();
    let bytes = scale * (32 << 20);
    let folder = folder();
    let path = folder.path().join("store");
    let options = || Store::options().create(true).chunk_capacity((8 << 20) * scale);
    let store = open_with(options(), &path).expect("open");
    let key = |number: u64| number.to_le_bytes();
    let objects = bytes / 1024;
    for number in 0..objects {
        store.put(key(number), &Wide { words: [number; 128] }).expect("put");
    }
    let mut random = Random::new(seed());
    let stays: Vec<bool> = (0..objects).map(|_| random.one_in(10)).collect();
    for number in (0..objects).filter(|&number| !stays[number as usize]) {
        assert!(store.remove(key(number)).expect("remove"));
    }
    store.sync().expect("sync");
    let before = disk_usage(&path);
    let begin = std::time::Instant::now();
    let report = store.compact().expect("compact");
    let (time, after) = (begin.elapsed(), disk_usage(&path));
    println!("{} MiB, then {} MiB, in {time:?}: {report:?}", before >> 20, after >> 20);
    assert!(before > bytes && after < bytes / 1024 * 200, "{before} bytes, then {after}");
    let look = |store: &Store| {
        for number in 0..objects {
            let found = store.load::<Wide>(key(number)).expect("load");
            let stays = stays[number as usize];
            assert_eq!(found.map(|wide| wide.words[127]), stays.then_some(number), "{number}");
        }
        assert_eq!(
            store.check().expect("check").map(|finding| finding.to_string()).collect::<Vec<_>>(),
            [""; 0]
        );
    };
    look(&store);
    let directory = || std::fs::metadata(path.join("directory")).expect("the directory").blocks() * 512;
    let open_directory = directory();
    store.close().expect("close");
    println!("{} MiB closed, with an index", disk_usage(&path) >> 20);
    assert!(disk_usage(&path) < after + (2 << 20) && directory() <= open_directory);
    look(&open_with(options(), &path).expect("open"));
}
