"""A board of market data: one process feeds it, others read it, and none knows of the others. Then the feed is killed, and another takes over.

python examples/quote_board.py DIRECTORY [PROGRAM]

PROGRAM is the Rust example of the same name: then the first feed and one reader are Rust, on the same board.
"""

from __future__ import annotations

import ctypes
import subprocess
import sys
import time
from pathlib import Path

import structchunk

SYMBOLS = ["AUDUSD", "EURUSD", "GBPUSD", "USDJPY"]
#: What ends a reader's look at the board.
LAST = 4000


class Quote(ctypes.Structure):
    #: `ask` is always `bid + 1`: whoever sees anything else has seen half a quote.
    _fields_ = [("bid", ctypes.c_uint64), ("ask", ctypes.c_uint64), ("number", ctypes.c_uint64)]


def feed(board: Path) -> None:
    """Puts quotes, in the order of the symbols, from where the last feed ended."""
    with structchunk.open(board, "r+") as store:
        number = store.view(SYMBOLS[0], Quote).number if SYMBOLS[0] in store else 0
        while True:
            number += 1
            for symbol in SYMBOLS:
                # (A put, because an object that is changed where it lies may be left half changed when the feed is killed.)
                store[symbol] = Quote(10_000 + number, 10_001 + number, number)


def read(board: Path) -> None:
    """Looks at the board until the last quote, whoever feeds it."""
    looks, last, end = 0, 0, time.monotonic() + 60
    with structchunk.open(board, "r") as store:
        while last < LAST and time.monotonic() < end:
            for symbol in SYMBOLS:
                if symbol not in store:
                    continue
                quote = store.view(symbol, Quote)
                if quote.ask != quote.bid + 1 or quote.bid != 10_000 + quote.number:
                    raise SystemExit("half a quote was seen")
                looks += 1
            now = store.view(SYMBOLS[0], Quote).number if SYMBOLS[0] in store else 0
            if now < last:
                raise SystemExit("the board went back")
            last = now
        symbols = len(list(store))
    print(
        f"reader: {symbols} symbols, {looks} looks, never half a quote, the last one at least {min(last, LAST)}"
    )


def show(board: Path, rust: str | None) -> None:
    """Feeds and readers, each a process."""
    structchunk.open(board, "x").close()
    ours = [sys.executable, __file__]

    def run(program: list[str], role: str) -> subprocess.Popen[str]:
        return subprocess.Popen([*program, role, str(board)], stdout=subprocess.PIPE, text=True)

    first = run([rust] if rust else ours, "feed")
    readers = [run(ours, "read"), run([rust] if rust else ours, "read")]
    with structchunk.open(board, "r") as store:
        while "EURUSD" not in store or store.view("EURUSD", Quote).number < LAST / 4:
            time.sleep(0.001)
        first.kill()
        first.communicate()
        left = store.view("EURUSD", Quote).number
        print(f"the first feed was killed; the board is still there, at quote {left}")
    second = run(ours, "feed")
    try:
        for reader in readers:
            said, _ = reader.communicate()
            print(said, end="")
            if reader.returncode != 0:
                raise SystemExit("a reader failed")
    finally:
        second.kill()
        second.communicate()


if __name__ == "__main__":
    if sys.argv[1] in ("feed", "read"):
        {"feed": feed, "read": read}[sys.argv[1]](Path(sys.argv[2]))
    else:
        show(Path(sys.argv[1]) / "board.store", sys.argv[2] if len(sys.argv) > 2 else None)
