"""Counters that several processes add to, without a lock, while another one looks on.

python examples/shared_counters.py [DIRECTORY]

The counters are integers in an object, which forked workers have mapped; each addition is one instruction. They are in the file, so they are
there tomorrow.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import sys
import tempfile
from pathlib import Path

import structchunk

WORKERS, TIMES = 4, 10_000


class Counters(ctypes.Structure):
    _fields_ = [
        ("requests", ctypes.c_uint64),
        ("bytes", ctypes.c_uint64),
        ("by_worker", ctypes.c_uint32 * WORKERS),
    ]


def work(
    number: int, requests: structchunk.Atomic, transferred: structchunk.Atomic, own: structchunk.Atomic
) -> None:
    """What a worker does."""
    for _ in range(TIMES):
        requests.add()
        transferred.add(100 + number)
        own.add()


def watch(board: Path) -> None:
    """Looks on from a process of its own: what it sees never goes back."""
    last = 0
    with structchunk.open(board, "r") as store:
        requests = store.atomic("c", "requests")
        while last < WORKERS * TIMES:
            now = requests.load()
            if now < last:
                raise SystemExit("a counter went back")
            last = now


def main(folder: Path) -> None:
    board = folder / "counters.store"
    with structchunk.open(board, "a") as store:
        store.require("c", Counters)
        store.sync()
        context = multiprocessing.get_context("fork")
        shared = store.atomic("c", "requests"), store.atomic("c", "bytes")
        workers = [
            context.Process(target=work, args=(number, *shared, store.atomic("c", f"by_worker[{number}]")))
            for number in range(WORKERS)
        ]
        watcher = multiprocessing.get_context("spawn").Process(target=watch, args=(board,))
        for process in (watcher, *workers):
            process.start()
        for process in (*workers, watcher):
            process.join()
            if process.exitcode != 0:
                raise SystemExit("a process failed")
        counters = store.load("c")
        print(
            f"requests: {counters.requests}, bytes: {counters.bytes}, by worker: {list(counters.by_worker)}"
        )


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name))
