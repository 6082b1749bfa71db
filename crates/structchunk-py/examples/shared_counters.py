"""Counters that several processes add to, without a lock, while another one looks on.

python examples/shared_counters.py [DIRECTORY [PROGRAM]]

The counters are integers in an object, which forked workers have mapped; each addition is one instruction. They are in the file, so they are
there tomorrow. PROGRAM is the Rust example `mixed_counters`: then it looks on as well, and afterwards adds as much to the same counters while Python looks on.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import subprocess
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
        requests += 1
        transferred += 100 + number
        own += 1


def watch(board: Path, total: int) -> None:
    """Looks on from a process of its own until there are so many requests: what it sees never goes back."""
    last = 0
    with structchunk.open(board, "r") as store:
        requests = store.atomic("c", "requests")
        while last < total:
            now = requests.load()
            if now < last:
                raise SystemExit("a counter went back")
            last = now


def add(board: Path) -> None:
    """Workers that add, forked from the process that has the store."""
    context = multiprocessing.get_context("fork")
    with structchunk.open(board, "r+") as store:
        shared = store.atomic("c", "requests"), store.atomic("c", "bytes")
        workers = [
            context.Process(target=work, args=(number, *shared, store.atomic("c", f"by_worker[{number}]")))
            for number in range(WORKERS)
        ]
        for process in workers:
            process.start()
        for process in workers:
            process.join()
        if any(process.exitcode for process in workers):
            raise SystemExit("a worker failed")


def run(program: list[str], role: str, *arguments: object) -> subprocess.Popen[bytes]:
    """One of the roles, as a process of its own."""
    return subprocess.Popen([*program, role, *map(str, arguments)])


def check(*processes: subprocess.Popen[bytes]) -> None:
    """Waits for all of them."""
    codes = [process.wait() for process in processes]
    if any(codes):
        raise SystemExit("a process failed")


def main(folder: Path, rust: str | None) -> None:
    board, total, ours = folder / "counters.store", WORKERS * TIMES, [sys.executable, __file__]
    with structchunk.open(board, "a") as store:
        store.require("c", Counters)
    everybody = [ours, [rust]] if rust else [ours]
    watchers = [run(program, "watch", board, total) for program in everybody]
    add(board)
    check(*watchers)
    if rust:
        watchers = [run(program, "watch", board, 2 * total) for program in everybody]
        check(run([rust], "work", board), *watchers)
    with structchunk.open(board, "r") as store:
        counters = store.load("c", Counters)
    print(f"requests: {counters.requests}, bytes: {counters.bytes}, by worker: {list(counters.by_worker)}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["watch"]:
        watch(Path(sys.argv[2]), int(sys.argv[3]))
    elif len(sys.argv) > 1:
        main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else None)
    else:
        with tempfile.TemporaryDirectory() as name:
            main(Path(name), None)
