"""Where memory is short: a `MemoryError`, and the store goes on."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from pathlib import Path

import pytest
import structchunk

BEGIN = """
import resource, sys
import numpy as np
import structchunk

MIB = 1 << 20
store = structchunk.open(sys.argv[1] + "/a.store", "a", chunk_capacity=1 << 30)
store["large"] = np.ones(80 * MIB, "u1")
store["small"] = np.arange(10)
store["rows"] = np.zeros((), [("data", "u1", (20 * MIB,))])
for number in range(4):
    store[f"row{number}"] = store.load("rows")
store.create_array("sparse", "u1", 1 << 29, sparse=True)
item = np.ones(80 * MIB, "u1")
for key in ("large", "small", "sparse"):
    store[key]

def leave(mib):
    with open("/proc/self/status") as status:
        lines = status.read().splitlines()
    used = next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmSize"))
    resource.setrlimit(resource.RLIMIT_AS, (used + mib * MIB, -1))

def refused(action):
    try:
        action()
    except MemoryError:
        return True
    return False

def lend():
    with store.loan_array("lent", "u1", 100 * MIB):
        pass

def update():
    with store.update("sparse") as sparse:
        sparse[5] = 1

def change():
    with store.batch() as batch:
        batch["batch"] = item
"""

SHORT = {
    "load": ("lambda: store.load('large')", [20, 60, 100, 130]),
    "load many": ("lambda: store.load_many(['small', 'large'])", [20, 100]),
    "pop": ("lambda: store.pop('large')", [20]),
    "column": (
        "lambda: store.column(store['rows'].dtype, 'data', ['rows', 'row1', 'row2'])",
        [30, 50, 70, 100],
    ),
    "loan": ("lend", [50]),
    "update": ("update", [100]),
    "batch": ("change", [20, 120]),
}


@pytest.mark.parametrize("name", SHORT)
def test_where_memory_is_short_nothing_happens_and_the_store_goes_on(
    name: str, run: Callable[[str], str]
) -> None:
    action, rooms = SHORT[name]
    run(
        BEGIN
        + f"""
for room in {rooms}:
    leave(room)
    assert refused({action}), room
    assert store["small"].sum() == 45
assert store["large"][7] == 1 and "lent" not in store and "batch" not in store and store["sparse"][5] == 0
resource.setrlimit(resource.RLIMIT_AS, (-1, -1))
assert not refused({action})
assert store["small"].sum() == 45
"""
    )


def test_a_change_in_a_large_sparse_array_takes_space_for_what_is_changed(store: structchunk.Store) -> None:
    array = store.create_array("u", "u1", 1 << 28, sparse=True)
    array[77] = 7
    before = store.stats()["bytes_allocated"]
    with store.update("u") as copy:
        assert copy[77] == 7
        copy[1 << 27] = 9
    assert (array[77], array[1 << 27]) == (7, 9)
    assert store.stats()["bytes_allocated"] - before < 1 << 20


class Wanted(ctypes.Structure):
    """A `Py_buffer`, as far as it matters."""

    _fields_ = [("buf", ctypes.c_void_p), ("obj", ctypes.c_void_p), ("rest", ctypes.c_uint64 * 16)]


def test_a_refused_buffer_leaves_no_object_in_the_view(path: Path) -> None:
    with structchunk.open(path, "x") as store:
        store.create_array("a", "u1", 10)
    with structchunk.open(path, "r") as reader:
        memory = reader["a"].base
        wanted, get = Wanted(obj=1), ctypes.pythonapi.PyObject_GetBuffer
        writable = 1
        with pytest.raises(BufferError, match="read-only"):
            get(ctypes.py_object(memory), ctypes.byref(wanted), writable)
        assert wanted.obj is None


def test_two_threads_publish_one_loan_while_the_object_is_changed(run: Callable[[str], str]) -> None:
    run(
        BEGIN
        + """
import threading, time
described = structchunk._native.Described(structchunk.layout_of("i8"), [10])
loan = store._loan("small", described, None)
outcomes = []

def publish():
    try:
        outcomes.append(loan.publish())
    except FileExistsError:
        outcomes.append("over")

with store.update("small"):
    threads = [threading.Thread(target=publish, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    time.sleep(0.05)
for thread in threads:
    thread.join()
assert outcomes in ([None, "over"], ["over", None]), outcomes
assert store["small"].sum() == 0
"""
    )
