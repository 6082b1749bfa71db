//! Clones of one reader in several threads.

use std::sync::atomic::{AtomicU64, Ordering};

use structchunk::Sparse;

use super::attach;
use crate::common::{folder, open_with, options};

#[test]
fn what_was_put_is_found_by_every_clone_at_once_where_files_grow_in_steps() {
    const THREADS: usize = 4;
    const KEYS: u64 = 60_000;
    let folder = folder();
    let options = options().sparse(Sparse::Never).chunk_capacity(16 << 20).reserve_step(64 << 10);
    let store = open_with(options, folder.path()).unwrap();
    store.put("first", &1_u64).unwrap();
    let reader = attach(folder.path());
    let put = AtomicU64::new(0);
    let missed: usize = std::thread::scope(|scope| {
        let look = || {
            let (reader, mut seen, mut missed) = (reader.clone(), 0, 0);
            while seen < KEYS {
                let now = put.load(Ordering::Acquire);
                if now > seen {
                    seen = now;
                    let found = reader.load::<[u64; 64]>((now - 1).to_be_bytes()).unwrap();
                    missed += usize::from(found != Some([now - 1; 64]));
                }
            }
            missed
        };
        let threads = [(); THREADS].map(|()| scope.spawn(look));
        for key in 0..KEYS {
            store.put(key.to_be_bytes(), &[key; 64]).unwrap();
            put.store(key + 1, Ordering::Release);
        }
        threads.map(|thread| thread.join().unwrap()).iter().sum()
    });
    assert_eq!(missed, 0, "of what had been put before");
}
