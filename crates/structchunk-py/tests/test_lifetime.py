"""Objects keep what they refer to: garbage, threads, forks, exceptions and the end of the interpreter, each in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from structchunk import Store

BEGIN = """
import copy, ctypes, gc, os, sys, threading
import numpy as np
import structchunk

class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]

class Line(ctypes.Structure):
    _fields_ = [("id", ctypes.c_uint64), ("ends", Point * 2)]

path = sys.argv[1] + "/a.store"
store = structchunk.open(path, "a", chunk_capacity=256 << 10)
"""

PROGRAMS = {
    "views outlive the store, in any order": """
        views = []
        for number in range(2000):
            store[f"k{number}"] = Line(number, (Point * 2)(Point(number, 1), Point(2, number)))
            views.append(store[f"k{number}"].ends[1])
        store["n"] = np.arange(100_000)
        views += [store["n"][5:], memoryview(store["n"]), store.view("n", ctypes.c_int64 * 100_000)]
        store.close()
        del store
        gc.collect()
        assert all(view.y == number for number, view in enumerate(views[:2000]))
        assert views[2000][0] == views[2001][5] == views[2002][5] == 5
        views[3].x = 7
        del views[::2]
        gc.collect()
        """,
    "a cycle through a view is collected": """
        for number in range(100):
            store["k"] = Point(1, 2)
            array = np.ndarray(1, object)
            array[0] = [array, store["k"], store]
            del array
        gc.collect()
        """,
    "threads read and write one store": """
        failures = []
        def work(name):
            try:
                for number in range(400):
                    key = f"{name}{number % 7}"
                    store[key] = Point(number, number)
                    view = store[key]
                    view.x += 1
                    with store.update("shared") as shared:
                        shared.x += 1
                    if number % 50 == 0:
                        store.sync()
                        store.compact()
                    if number % 9 == 0:
                        store.pop(key, None)
                    list(store.keys(prefix=name))
            except BaseException as error:
                failures.append(error)
        store["shared"] = Point(0, 0)
        threads = [threading.Thread(target=work, args=(name,)) for name in "abcd"]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        assert not failures, failures
        assert store["shared"].x == 1600
        assert store.check() == []
        store.close()
        """,
    "an exception inside of with closes the store": """
        try:
            with store:
                store["k"] = Point(1, 2)
                with store.loan("l", Point) as lent, store.batch() as batch, store.update("k") as point:
                    batch["b"] = Point()
                    point.x = 1 / 0
        except ZeroDivisionError:
            pass
        assert store.closed
        with structchunk.open(path) as store:
            assert list(store) == ["k"] and store["k"].x == 1
        """,
    "the interpreter ends with everything open": """
        store["k"] = Point(1, 2)
        store["n"] = np.zeros(1 << 20)
        kept = [store["k"], store["n"], store.batch(), store.loan("l", Point), iter(store.keys())]
        lent = store.loan("m", Point)
        lent.__enter__()
        held = store.update("k")
        held.__enter__()
        sys.modules["kept"] = kept
        """,
    "the interpreter ends while threads are at work": """
        store["shared"], store["n"] = Point(0, 0), np.arange(1000)
        begun = threading.Barrier(5)
        def work(name):
            begun.wait()
            while True:
                store[name] = Point(1, 1)
                store[name].x += 1
                with store.update("shared") as shared:
                    shared.x += 1
                store["n"].sum(), store.load("n"), list(store.keys())
                store.sync()
                store.compact()
        for name in "abcd":
            threading.Thread(target=work, args=(name,), daemon=True).start()
        begun.wait()
        while store["shared"].x < 20: pass
        """,
    "a child of a fork loads copies, and is refused everything else": """
        store["k"] = Point(1, 2)
        store["n"] = np.arange(3)
        before = store["k"]
        child = os.fork()
        if child == 0:
            assert store.load("k").y == 2 and store.load("n").tolist() == [0, 1, 2]
            assert before.x == 1
            for call in (lambda: store["k"], lambda: store.view("k", Point), lambda: store.array("n"),
                         lambda: store.__setitem__("k", Point()), lambda: store.pop("k"),
                         lambda: store.create("l", Point), lambda: store.update("k").__enter__(), store.sync):
                try:
                    call()
                except structchunk.Forked as refusal:
                    assert isinstance(refusal, RuntimeError)
                else:
                    os._exit(3)
            # What was taken before the fork still writes to the file.
            before.x = 5
            store.close()
            os._exit(0)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert store["k"].x == 5
        store["k"] = Point(7, 8)
        store.close()
        """,
    "objects of loans and updates outlive them": """
        store["k"] = Point(1, 2)
        with store.loan("l", Point) as lent: lent.x = 1
        with store.loan_array("big", "u1", 1 << 20) as big: big[5] = 1
        with store.loan_array("sparse", "u1", 100, sparse=True) as sparse: sparse[5] = 1
        with store.update("k") as update: update.x = 9
        try:
            with store.loan_array("gone", "u1", 1 << 20) as gone: raise KeyError
        except KeyError: pass
        del store["big"], store["sparse"]
        for _ in range(3): store.sync()
        store.close()
        gc.collect()
        lent.x, update.x, gone[7] = 2, 3, 4
        assert big[5] == sparse[5] == 1 and not hasattr(gone, "nothing")
        """,
    "buffers of other kinds are released": """
        store["n"] = np.arange(1000)
        for number in range(100):
            memoryview(store["n"]).release()
            bytes(store["n"]), np.frombuffer(store["n"]).sum()
        store["k"] = Point()
        copies = [copy.deepcopy(store["k"]) for _ in range(100)]
        store.close()
        assert structchunk.open(path, "r+")["n"][3] == 3
        """,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_in_a_process_of_its_own(name: str, run: Callable[[str], str]) -> None:
    lines = PROGRAMS[name].splitlines()
    run(BEGIN + "\n".join(line[8:] for line in lines))


def test_what_a_killed_process_had_put_is_there(run: Callable[[str], str]) -> None:
    run(
        BEGIN
        + """
import subprocess
store.close()
program = '''
import os, signal, sys, ctypes, structchunk
class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]
store = structchunk.open(sys.argv[1], "r+")
for number in range(100): store[f"k{number}"] = Point(number, number)
store["k7"].x = 70
os.kill(os.getpid(), signal.SIGKILL)
'''
done = subprocess.run([sys.executable, "-c", program, path])
assert done.returncode == -9
with structchunk.open(path, "r+") as store:
    assert len(store) == 100 and store["k7"].x == 70 and store["k99"].y == 99
    assert store.check() == []
"""
    )


def test_space_comes_back_although_objects_were_looked_at(store: Store) -> None:
    def blocks() -> int:
        return sum(file.stat().st_blocks for file in (Path(store.path) / "chunks").iterdir())

    for number in range(100):
        store[str(number)] = np.zeros(3000)
    store.sync()
    full = blocks()
    for number in range(100):
        assert store[str(number)][0] == 0
    store.clear()
    for _ in range(3):
        store.sync()
    assert blocks() < full // 2


ASSIGNMENTS = """
gc.disable()

class Two(ctypes.Structure):
    _fields_ = [("a", Line), ("b", Line)]

def is_free(where):
    try:
        structchunk.open(where, "r+").close()
    except structchunk.Locked:
        return False
    return True
"""


def test_what_was_assigned_between_objects_keeps_no_store_open(run: Callable[[str], str]) -> None:
    run(
        BEGIN
        + ASSIGNMENTS
        + """
store["k"], store["l"] = Two(), Two()
large = type("Large", (ctypes.Structure,), {"_fields_": [("a", Line * 2000), ("b", Line * 2000)]})
store["large"] = large()
for times in range(3):
    # First made by itself, then as an item of an array of all; and one with a file of its own.
    one, other, whole = store["k"], store["l"], store["large"]
    one.a, other.a, one.a.ends, whole.a = one.b, one.b, other.b.ends, whole.b
    whole.a[5].ends[1] = other.a.ends[0]
    del one, other, whole
two = store["k"]
two.b = two.a
store.close()
assert not is_free(path)
assert two.b.id == 0
del two
assert is_free(path)
"""
    )


def test_what_was_assigned_from_another_store_does_not_keep_that_open(run: Callable[[str], str]) -> None:
    run(
        BEGIN
        + ASSIGNMENTS
        + """
other = structchunk.open(sys.argv[1] + "/b.store", "a")
for times in range(3):
    store["k"], other["k"] = Two(), Two()
    for look in range(3):
        store["k"].a.id = 7
        other["k"].b = store["k"].a
kept = Two()
kept.a = store["k"].a
here = other["k"]
here.a = store["k"].a
store.close()
assert is_free(path)
assert here.b.id == here.a.id == kept.a.id == 7
other.close()
assert not is_free(other.path)
del here
assert is_free(other.path)
"""
    )
