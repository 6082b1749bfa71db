"""Space that comes back while a store is open."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import structchunk
from structchunk import Store


def gone_but_open(path: Path) -> int:
    """How many chunks were dropped whose files are open or mapped still."""
    with open("/proc/self/maps") as maps:
        mapped = sum(str(path) in line and "deleted" in line for line in maps)
    links = (Path("/proc/self/fd") / name for name in os.listdir("/proc/self/fd"))
    held = [os.readlink(link) for link in links if link.is_symlink()]
    return mapped + sum(str(path) in target and "deleted" in target for target in held)


def fill_anew(store: Store) -> None:
    """What takes the place of all that is there."""
    store.put_many([f"k{index}" for index in range(2000)], np.zeros(2000, [("a", "f8", 64)]))
    store.sync()


def view_of_what_is_dropped(store: Store) -> ctypes.c_uint64:
    store["one"] = ctypes.c_uint64(7)
    view = store["one"]
    fill_anew(store)
    fill_anew(store)
    assert store.compact(1.0)["dropped_chunks"]
    return view


def test_compaction_gives_the_space_of_chunks_to_the_file_system(store: Store, path: Path) -> None:
    dropped = 0
    for _ in range(4):
        fill_anew(store)
        assert store["k1"]["a"].sum() == 0
        dropped += len(store.compact(1.0)["dropped_chunks"])
    assert dropped > 4
    assert gone_but_open(path) == 0


def test_dropped_chunks_are_released_when_the_last_view_is_gone(store: Store, path: Path) -> None:
    view = view_of_what_is_dropped(store)
    assert gone_but_open(path) > 0
    assert not store.release_dropped()
    assert (view.value, gone_but_open(path) > 0) == (7, True)
    del view
    assert store.release_dropped()
    assert gone_but_open(path) == 0
    assert store["one"].value == 7
    assert store.check() == []


def test_a_sync_releases_dropped_chunks_too(store: Store, path: Path) -> None:
    view = view_of_what_is_dropped(store)
    del view
    store.sync()
    assert gone_but_open(path) == 0


def test_a_reader_has_nothing_to_release(store: Store, path: Path) -> None:
    with structchunk.open(path, "r") as reading:
        assert not reading.release_dropped()


def test_threads_that_look_keep_chunks_until_they_are_done(run: Callable[[str], str]) -> None:
    said = run("""
        import sys, threading
        import numpy as np
        import structchunk
        with structchunk.open(sys.argv[1] + "/a", "x", chunk_capacity=256 << 10) as store:
            keys = [f"k{index}" for index in range(500)]
            store.put_many(keys, np.zeros((500, 64)))
            done = threading.Event()
            seen = []
            def look():
                while not done.is_set():
                    for key in keys:
                        seen.append(store.load(key).sum() + store[key].sum())
            threads = [threading.Thread(target=look) for _ in range(2)]
            for thread in threads:
                thread.start()
            for _ in range(40):
                store.put_many(keys, np.zeros((500, 64)))
                store.sync()
                store.compact(1.0)
            done.set()
            for thread in threads:
                thread.join()
            print(sum(seen), len(seen) > 0, store.release_dropped(), store.check())
    """)
    assert said == "0.0 True True []\n"


def test_a_program_says_which_file_was_truncated(tmp_path: Path) -> None:
    program = """
import os, sys
import structchunk
structchunk.explain_bus_errors()
structchunk.explain_bus_errors()
with structchunk.open(sys.argv[1], "x") as store:
    array = store.create_array("a", "u1", 1 << 20)
    os.truncate(sys.argv[1] + "/chunks/00000000.chunk", 8192)
    print(array[500_000])
"""
    done = subprocess.run(
        [sys.executable, "-c", program, tmp_path / "a.store"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == -signal.SIGBUS
    assert "structchunk: " in done.stderr
    assert "00000000.chunk" in done.stderr
    assert "is not there" in done.stderr
