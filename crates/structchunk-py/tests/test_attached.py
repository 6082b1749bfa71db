"""Stores whose objects several processes change: created with ``shared=True``, written by one process, attached to by others."""

from __future__ import annotations

import ctypes
import io
import multiprocessing
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structchunk
from structchunk import Store
from workers import Counters, add, append

METHODS = ["fork", "spawn", "forkserver"]


@pytest.fixture
def shared(path: Path) -> Iterator[Store]:
    """A store whose objects other processes may change, and its writer."""
    with structchunk.open(path, "x", shared=True, busy_timeout=60) as store:
        store["c"] = Counters()
        yield store


@pytest.fixture
def attached(shared: Store) -> Iterator[Store]:
    with structchunk.attach(shared.path) as store:
        yield store


@pytest.mark.parametrize("method", METHODS)
def test_eight_processes_add_beside_the_writer_and_lose_nothing(method: str, shared: Store) -> None:
    context = multiprocessing.get_context(method)
    with structchunk.attach(shared.path) as handle:
        # Under fork the handle is inherited, and attaches for itself; else it is pickled.
        handle.add("c", "hits", 5)
        workers = [context.Process(target=add, args=(handle, "c", 3000)) for _ in range(8)]
        for worker in workers:
            worker.start()
        for _ in range(1000):
            shared.add("c", "hits")
        shared["beside"] = np.arange(10)
        shared.sync()
        for worker in workers:
            worker.join(120)
            assert worker.exitcode == 0
        assert shared.load("c").hits == handle["c"].hits == 5 + 8 * 3000 + 1000


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_updates_of_several_processes_lose_nothing(method: str, shared: Store) -> None:
    shared["list"] = np.zeros(2000, "i8")
    with (
        structchunk.attach(shared.path, busy_timeout=60) as handle,
        ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as workers,
    ):
        done = [workers.submit(append, handle, "list", number, 300) for number in (1, 2)]
        for _ in range(300):
            with shared.update("list") as numbers:
                numbers[0] += 1
                numbers[numbers[0]] = 3
        for future in done:
            future.result(120)
    numbers = shared.load("list")
    assert numbers[0] == 900
    assert sorted(numbers[1:901].tolist()) == [1] * 300 + [2] * 300 + [3] * 300
    assert not numbers[901:].any()


def test_an_attached_handle_reads_as_a_reader_and_changes_what_is_there(
    shared: Store, attached: Store
) -> None:
    assert (attached.mode, attached.path, attached.closed) == ("attached", shared.path, False)
    assert repr(attached).endswith("mode 'attached', 1 objects>")
    shared["late"] = np.arange(3.0)
    assert (list(attached), len(attached), "late" in attached) == (["c", "late"], 2, True)
    with attached.update("late") as late:
        late[:] = 7
        # Nobody sees it before its end.
        with structchunk.open(shared.path, "r", busy_timeout=0.01) as reader, pytest.raises(structchunk.Busy):
            reader.load("late")
    view = attached["late"]
    assert (view.tolist(), shared.load("late").tolist(), view.flags.writeable) == ([7] * 3, [7] * 3, False)
    with pytest.raises(RuntimeError, match="stop"), attached.update("late") as late:
        late[:] = 9
        raise RuntimeError("stop")
    assert attached.load("late").tolist() == [7] * 3
    with pytest.raises(KeyError), attached.update("nothing"):
        pass
    assert (attached.add("c", "hits", 4), attached.sub("c", "low", 2), attached.or_("c", "pad[3]", 6)) == (
        0,
        0,
        0,
    )
    assert (attached.exchange("c", "hits", 9), attached.compare_exchange("c", "hits", 9, 10)) == (4, True)
    counters = shared.load("c")
    assert (counters.hits, counters.low, list(counters.pad)) == (10, -2, [0, 0, 0, 6, 0, 0])
    assert attached.column(Counters, "hits").tolist() == [10]
    assert [key for key, _ in attached.prefix("l")] == ["late"]
    assert len(attached.types()) == 2
    with pytest.raises(KeyError):
        attached.add("nothing", "hits")
    with pytest.raises(AttributeError):
        attached.add("c", "nothing")


def test_integers_of_a_shared_store_are_one_for_all(shared: Store, attached: Store) -> None:
    ours, theirs = shared.atomic("c", "hits"), attached.atomic("c", "hits")
    ours += 1
    theirs += 2
    assert (ours.load(), theirs.load(), shared.load("c").hits) == (3, 3, 3)
    # Of others' atomics a process knows nothing; its own writer waits for its own.
    with structchunk.attach(shared.path) as other, other.update("c") as counters:
        counters.low = 1
    quick = threading.Event()

    def update() -> None:
        with shared.update("c") as counters:
            counters.low += 1
        quick.set()

    thread = threading.Thread(target=update)
    thread.start()
    assert not quick.wait(0.05)
    del ours
    assert quick.wait(30)
    thread.join()
    attached.close()
    theirs += 1
    assert (shared.load("c").low, shared.load("c").hits) == (2, 4)


MAKING: dict[str, Callable[[Store], Any]] = {
    "put": lambda store: store.__setitem__("new", Counters()),
    "replace": lambda store: store.__setitem__("c", Counters(hits=1)),
    "remove": lambda store: store.__delitem__("c"),
    "pop": lambda store: store.pop("c"),
    "popitem": lambda store: store.popitem(),
    "clear": lambda store: store.clear(),
    "update": lambda store: store.update(new=Counters()),
    "setdefault": lambda store: store.setdefault("new", Counters()),
    "create": lambda store: store.create("new", Counters),
    "require": lambda store: store.require("new", Counters),
    "create_array": lambda store: store.create_array("new", "f8", 3),
    "loan": lambda store: store.loan("new", Counters).__enter__(),
    "loan_array": lambda store: store.loan_array("new", "f8", 3).__enter__(),
    "put_many": lambda store: store.put_many(["new"], np.zeros(1)),
    "table": lambda store: store.table("t/", Counters).__setitem__("new", Counters()),
    "sync": lambda store: store.sync(),
    "compact": lambda store: store.compact(),
}


@pytest.mark.parametrize("make", MAKING.values(), ids=MAKING.keys())
def test_an_attached_handle_neither_makes_nor_removes(
    make: Callable[[Store], Any], shared: Store, attached: Store
) -> None:
    with pytest.raises(structchunk.Unsupported, match=r"attached.*only the writer") as refusal:
        make(attached)
    assert isinstance(refusal.value, io.UnsupportedOperation)
    assert (list(shared), bytes(shared.load("c"))) == (["c"], bytes(Counters()))


def test_a_store_that_is_not_shared_is_not_attached_to(path: Path, tmp_path: Path) -> None:
    with structchunk.open(path, "x") as store:
        store["c"] = Counters()
        with pytest.raises(structchunk.Unsupported, match="shared=True"):
            structchunk.attach(path)
    for mode in ("r+", "a", "w"):
        with pytest.raises(structchunk.Unsupported, match="was not created with shared=True"):
            structchunk.open(path, mode, shared=True)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="attach"):
        structchunk.open(path, "r", shared=True)
    with pytest.raises(ValueError, match="r, r\\+, a, w or x"):
        structchunk.open(path, "attached")  # type: ignore[arg-type]
    with structchunk.open(path, "r+") as store:
        assert "c" in store
    with pytest.raises(FileNotFoundError):
        structchunk.attach(tmp_path / "nothing")


def test_a_store_that_was_made_as_shared_stays_so(path: Path) -> None:
    for mode in ("a", "a", "r+", "w"):
        with structchunk.open(path, mode, shared=mode != "r+") as store:  # type: ignore[arg-type]
            store["c"] = Counters(hits=1)
            with structchunk.attach(path) as other:
                assert other.add("c", "hits") == 1
            with pytest.raises(structchunk.Error, match="another process"):
                store.create("new", Counters)
            assert list(store) == ["c"]


def test_there_is_nothing_to_take_part_in_without_a_writer(path: Path) -> None:
    with structchunk.open(path, "x", shared=True) as store:
        store["c"] = Counters()
    with pytest.raises(structchunk.NoWriter, match="nobody has") as refusal:
        structchunk.attach(path)
    assert isinstance(refusal.value, OSError)
    with structchunk.open(path, "r+"):
        handle = structchunk.attach(path)
        handle.add("c", "hits")
    with structchunk.open(path, "r+") as store:
        # It goes on with the next writer.
        assert (handle.add("c", "hits"), store.load("c").hits) == (1, 2)
    handle.close()
    for use in (lambda: handle.add("c", "hits"), lambda: handle["c"], lambda: handle.update("c").__enter__()):
        with pytest.raises(structchunk.Closed):
            use()


def test_a_pickled_handle_attaches_when_it_is_used(shared: Store, attached: Store) -> None:
    again = pickle.loads(pickle.dumps(attached))
    assert (again.mode, again.path, again.closed) == ("attached", shared.path, False)
    assert (again.add("c", "hits"), again["c"].hits) == (0, 1)
    again.close()
    later = pickle.dumps(attached)
    attached.close()
    shared.close()
    lonely = pickle.loads(later)
    with pytest.raises(structchunk.NoWriter):
        lonely.add("c", "hits")
    # It reads without a writer, as a reader does.
    assert lonely.load("c").hits == 1
    with structchunk.open(shared.path, "r+"):
        assert lonely.add("c", "hits") == 1
    lonely.close()


def test_a_forked_child_attaches_for_itself(shared: Store, attached: Store) -> None:
    shared["d"] = Counters()
    hits = attached.atomic("c", "hits")
    begun = attached.update("d")
    begun.__enter__().low = 5
    child = os.fork()
    if child == 0:
        try:
            os._exit(0 if in_child(attached, hits, begun) == 6 else 1)
        finally:
            os._exit(2)
    begun.__exit__(None, None, None)
    assert os.waitpid(child, 0)[1] == 0
    assert (shared.load("c").hits, shared.load("d").low) == (11, 6)
    assert attached.add("c", "hits") == 11


def in_child(attached: Store, hits: structchunk.Atomic, begun: Any) -> int:
    # What was begun before the fork is the parent's to end.
    with pytest.raises(structchunk.Forked):
        begun.__exit__(None, None, None)
    hits += 1
    add(attached, "c", 10)
    with attached.update("d") as counters:
        counters.low += 1
    low = attached.load("d").low
    attached.close()
    return int(low)


DYING = """
import os, sys
import structchunk

with structchunk.attach(sys.argv[1]) as store, store.update("c") as counters:
    counters.hits = 99
    print("dwelling", flush=True)
    sys.stdin.read()
"""


def kill_in_the_middle(store: Store) -> None:
    """Has a process killed while it changes an object."""
    child = subprocess.Popen(
        [sys.executable, "-c", DYING, store.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "dwelling\n"
    child.send_signal(signal.SIGKILL)
    child.communicate(timeout=60)


def test_what_a_killed_process_was_changing_is_torn_until_somebody_mends_it(
    shared: Store, attached: Store
) -> None:
    for store in (attached, shared):
        shared["c"] = Counters(hits=7)
        kill_in_the_middle(shared)
        for one in (shared, attached):
            with pytest.raises(structchunk.Torn, match="half changed"):
                one.load("c")
            with pytest.raises(structchunk.Torn), one.update("c"):
                pass
            # It was killed before it wrote anything back.
            assert (one.load_torn("c").hits, one.load_torn("c", Counters).hits) == (7, 7)
        # Who fails to mend it leaves it torn.
        with pytest.raises(RuntimeError, match="stop"), store.mend("c") as counters:
            counters.hits = 1
            raise RuntimeError("stop")
        with pytest.raises(structchunk.Torn):
            shared.load("c")
        with store.mend("c") as counters:
            counters.hits += 1
        with store.mend("c") as nothing:
            assert nothing is None
        assert (shared.load("c").hits, attached["c"].hits, attached.add("c", "hits")) == (8, 8, 8)
    kill_in_the_middle(shared)
    shared["c"] = Counters(hits=3)
    assert attached.load("c").hits == 3
    with pytest.raises(KeyError), attached.mend("nothing"):
        pass
    with pytest.raises(KeyError):
        attached.load_torn("nothing")


def test_nothing_is_mended_where_nobody_else_changes_anything(store: Store) -> None:
    store["c"] = Counters(hits=1)
    with store.mend("c") as nothing:
        assert nothing is None
    assert (store.load_torn("c").hits, store["c"].hits) == (1, 1)
    with structchunk.open(store.path, "r") as reader, pytest.raises(structchunk.ReadOnly), reader.mend("c"):
        pass


def test_a_wait_for_another_process_ends_after_the_busy_timeout(shared: Store) -> None:
    with (
        structchunk.attach(shared.path) as one,
        structchunk.attach(shared.path, busy_timeout=0.02) as other,
        one.update("c") as counters,
    ):
        begun = time.monotonic()
        with pytest.raises(structchunk.Busy), other.update("c"):
            pass
        # (Where nothing is said it is five seconds.)
        assert time.monotonic() - begun < 4
        counters.hits = 1
    assert shared.load("c").hits == 1


def test_keys_come_out_as_they_are_asked_for(shared: Store) -> None:
    with structchunk.attach(shared.path, "bytes") as attached:
        assert (list(attached), attached.add(b"c", "hits")) == ([b"c"], 0)
        assert list(pickle.loads(pickle.dumps(attached))) == [b"c"]
    with pytest.raises(ValueError, match="str or bytes"):
        structchunk.attach(shared.path, "text")  # type: ignore[arg-type]


def test_objects_with_files_of_their_own_are_changed_as_a_whole_and_by_atomics(shared: Store) -> None:
    shared["large"] = np.zeros(1 << 20, "u8")
    with structchunk.attach(shared.path) as attached:
        with attached.update("large") as large:
            large[::1000] = 5
        assert (attached.add("large", "[1000]", 2), shared.add("large", "[1000]", 2)) == (5, 7)
        assert (shared.load("large").sum(), attached.load("large")[1000]) == (5 * 1049 + 4, 9)


def test_mappings_are_of_ctypes_too(shared: Store) -> None:
    shared["n"] = ctypes.c_int32(-5)
    with structchunk.attach(shared.path) as attached:
        with attached.update("n") as number:
            number.value *= 2
        assert (attached["n"].value, attached.view("n", ctypes.c_int32).value) == (-10, -10)
        assert (attached.exchange("n", "", 3), shared.load("n").value) == (-10, 3)


def test_an_interpreter_ends_with_everything_still_in_use(run: Callable[[str], str], shared: Store) -> None:
    run(f"""
        import gc, threading
        import structchunk
        store = structchunk.attach({shared.path!r})
        hits = store.atomic("c", "hits")
        hits += 1
        update = store.update("c")
        update.__enter__().low = 5
        try:
            store.load("nothing")
        except KeyError as error:
            cycle = [store, hits, update, error]
            cycle.append(cycle)
        store.close()
        hits += 1
        def forever():
            while True:
                try:
                    hits.load()
                except TypeError:
                    return
        threading.Thread(target=forever, daemon=True).start()
        gc.collect()
    """)
    # What was not ended is given up; or torn, where the process took it along.
    with shared.mend("c"):
        pass
    counters = shared.load("c")
    assert (counters.hits, counters.low) == (2, 0)
