"""What forked children do with what they inherit, whatever the threads of their parent were at."""

from __future__ import annotations

from collections.abc import Callable

import pytest

PROGRAM = """
import ctypes, os, signal, sys, threading, time
import structchunk

class Wide(ctypes.Structure):
    _fields_ = [("words", ctypes.c_double * FIELDS)]

path = sys.argv[1] + "/a.store"
store = structchunk.open(path, "a")
for number in range(1000):
    store[f"k{number}"] = Wide()

def child(work):
    # What hangs is killed, and seen as that.
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)
        try:
            work()
        except BaseException as error:
            print(repr(error), file=sys.stderr)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(pid, 0)[1]
    assert status == 0, f"{work.__name__} after {forks} forks: {status}"

def in_threads(*works):
    def forever(work):
        while True:
            work()
    for work in works:
        threading.Thread(target=forever, args=(work,), daemon=True).start()
"""

READERS = """
store.close()
reader = structchunk.open(path, "r")
in_threads(*[lambda: reader.load("k5")] * 3, lambda: list(reader.keys()))

def load():
    assert reader.load("k7").words[0] == 0 and len(reader) == 1000 and "k9" in reader

def scan():
    assert len(list(reader)) == 1000

for forks in range(60):
    child(load)
    if forks % 10 == 0:
        child(scan)
    # A child of a child, too.
    if forks % 20 == 0:
        child(lambda: (load(), child(scan)))
    time.sleep(0.001)
os._exit(0)
"""

WRITER = """
numbers = iter(range(10**9))

def put():
    number = next(numbers)
    store[f"k{number % 1000}"] = Wide()
    if number % 3 == 0:
        store.sync()

in_threads(put, put, lambda: list(store.keys()))

def scan():
    keys = list(store.keys())
    assert len(keys) == len(set(keys)) == 1000

def late():
    while "late" not in store:
        time.sleep(0.001)
    assert "late" in list(store)

for forks in range(150):
    child(scan)
    time.sleep(0.001)

begun, tell = os.pipe()
def write_late():
    os.read(begun, 1)
    store["late"] = Wide()
threading.Thread(target=write_late, daemon=True).start()
os.write(tell, b"!")
child(late)
os._exit(0)
"""


@pytest.mark.parametrize(("program", "fields"), [(READERS, 4096), (WRITER, 20)], ids=["readers", "writer"])
def test_a_child_waits_for_no_thread_of_its_parent(
    program: str, fields: int, run: Callable[[str], str]
) -> None:
    run(PROGRAM.replace("FIELDS", str(fields)) + program)
