"""`mode="r"`: any number of processes read while one writes."""

from __future__ import annotations

import ctypes
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import structchunk


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


RECORD = np.dtype([("a", "i4"), ("b", "f8")])


class Told:
    """A process that runs what it is told, a program at a time."""

    def __init__(self, path: Path) -> None:
        program = """
            import ctypes, json, sys
            import numpy as np
            import structchunk
            class Point(ctypes.Structure):
                _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]
            path = sys.argv[1]
            for line in sys.stdin:
                answer = None
                exec(json.loads(line))
                print(json.dumps(answer), flush=True)
            """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(program), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def tell(self, program: str) -> object:
        import json

        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(program) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def start(path: Path) -> Iterator[Callable[[], Told]]:
    """Starts processes."""
    started: list[Told] = []

    def start_one() -> Told:
        started.append(Told(path))
        return started[-1]

    yield start_one
    for told in started:
        told.process.kill()
        told.process.communicate()


@pytest.fixture
def reader(path: Path, store: structchunk.Store) -> Iterator[structchunk.Store]:
    """A reader beside the store."""
    with structchunk.open(path, "r") as reader:
        yield reader


def test_several_processes_see_at_once_what_one_writes(
    store: structchunk.Store, start: Callable[[], Told]
) -> None:
    readers = [start() for _ in range(3)]
    for reader in readers:
        reader.tell('store = structchunk.open(path, "r")')
    for number in range(20):
        store[f"k{number:02}"] = Point(number, -number)
        for reader in readers:
            assert reader.tell(f'answer = store["k{number:02}"].y') == -number
            assert reader.tell("answer = len(store), list(store)[-1]") == [number + 1, f"k{number:02}"]
    del store["k03"]
    for reader in readers:
        assert reader.tell('answer = "k03" in store, store.get("k03"), len(store)') == [False, None, 19]


def test_values_of_a_reader_cannot_be_written_to(store: structchunk.Store, reader: structchunk.Store) -> None:
    store["p"], store["n"], store["r"] = Point(1, 2), np.arange(4), np.ones((), RECORD)
    store["c"] = (ctypes.c_int * 3)(1, 2, 3)
    numbers, record = reader["n"], reader["r"]
    for value in (numbers, reader.array("n"), reader.view("n", "i8"), reader.array("p"), record):
        assert not value.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            value[...] = 0
    assert (numbers.tolist(), record["b"].item()) == ([0, 1, 2, 3], 1.0)
    copy = reader.view("p", Point)
    copy.x = 7
    assert (store["p"].x, reader["p"].x, list(reader.view("c", ctypes.c_int * 3))) == (1, 1, [1, 2, 3])
    # Arrays are where the file has them, all else is a copy of one moment.
    store["n"][0], store["p"].y = 9, 9
    assert (numbers[0], copy.y, reader["p"].y) == (9, 2, 9)
    assert structchunk.is_live(numbers)
    assert not structchunk.is_live(copy)
    store["n"] = np.zeros(4, int)
    assert (numbers[0], reader["n"][0], structchunk.is_live(numbers)) == (9, 0, False)
    with pytest.raises(structchunk.LayoutMismatch):
        reader.view("p", RECORD)


CHANGES: dict[str, Callable[[structchunk.Store], object]] = {
    "put": lambda store: store.__setitem__("p", Point()),
    "put what is there": lambda store: store.__setitem__("p", store["p"]),
    "delete": lambda store: store.__delitem__("p"),
    "create": lambda store: store.create("q", Point),
    "setdefault": lambda store: store.setdefault("q", Point()),
    "pop": lambda store: store.pop("p"),
    "update one": lambda store: store.update("p").__enter__(),  # type: ignore[attr-defined]
    "update many": lambda store: store.update({"p": Point()}),
    "clear": lambda store: store.clear(),
    "put_many": lambda store: store.put_many(["p"], [Point()]),
    "put_many of an array": lambda store: store.put_many(["p"], np.zeros(1, RECORD)),
    "loan": lambda store: store.loan("q", Point).__enter__(),
    "create_array": lambda store: store.create_array("q", "f8", 3),
    "compact": lambda store: store.compact(),
    "sync": lambda store: store.sync(),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_reader_changes_nothing(
    change: Callable[[structchunk.Store], object], store: structchunk.Store, reader: structchunk.Store
) -> None:
    store["p"] = Point(1, 2)
    with pytest.raises(structchunk.ReadOnly, match="read-only"):
        change(reader)
    assert (list(store), store["p"].y) == (["p"], 2)


def test_a_reader_goes_on_when_the_writer_closes_or_dies(path: Path, start: Callable[[], Told]) -> None:
    structchunk.open(path, "x").close()
    with structchunk.open(path, "r") as reader:
        assert (len(reader), list(reader)) == (0, [])
        for number in range(4):
            writer = start()
            writer.tell('store = structchunk.open(path, "r+")')
            writer.tell(f'store["k{number}"] = Point({number}, 0)')
            assert reader[f"k{number}"].x == number
            if number % 2:
                writer.tell("store.close()")
            writer.process.kill()
            writer.process.wait()
            assert (list(reader), len(reader)) == ([f"k{n}" for n in range(number + 1)], number + 1)
            assert reader.items(prefix="k").__len__() == number + 1
        assert [layout.name for layout in reader.types()] == ["Point"]


def test_a_reader_copies_the_store_while_it_is_written(path: Path, tmp_path: Path) -> None:
    with structchunk.open(path, "x") as writer, structchunk.open(path, "r") as reader:
        writer["p"] = Point(1, 2)
        done = threading.Event()

        def write() -> None:
            while not done.is_set():
                writer["q"] = Point(3, 3)

        thread = threading.Thread(target=write)
        thread.start()
        copied = reader.copy_to(tmp_path / "copy")
        done.set()
        thread.join()
        assert copied in (1, 2)
    with structchunk.open(tmp_path / "copy", "r+") as copy:
        assert (copy["p"].y, copy.check()) == (2, [])


def test_what_takes_the_whole_store_waits_for_no_writer(path: Path) -> None:
    writer = structchunk.open(path, "x")
    writer["p"] = Point(1, 2)
    reader = structchunk.open(path, "r")
    with pytest.raises(structchunk.Locked, match="this process"):
        reader.check()
    beside, own = reader.stats(), writer.stats()
    assert own.pop("sequence") == 2
    assert beside == own
    writer.close()
    assert (reader.check(), reader.stats()["objects"]) == ([], 1)
    reader.close()
    for question in (
        reader.check,
        reader.types,
        lambda: reader["p"],
        lambda: len(reader),
        lambda: "p" in reader,
    ):
        with pytest.raises(structchunk.Closed):
            question()
    with pytest.raises(structchunk.Closed):
        reader["p"] = Point()


def test_a_scan_goes_on_in_the_next_session(path: Path) -> None:
    with structchunk.open(path, "x") as writer:
        writer.put_many([f"k{number:04}" for number in range(500)], np.zeros(500, RECORD))
        reader = structchunk.open(path, "r")
        keys = iter(reader.keys())
        first = [next(keys) for _ in range(10)]
    with structchunk.open(path, "r+") as writer:
        writer["k9999"] = Point()
        rest = list(keys)
    assert first + rest == [f"k{number:04}" for number in range(500)] + ["k9999"]


def test_what_a_reader_looks_at_stays_where_it_is_and_no_longer(path: Path) -> None:
    with structchunk.open(path, "x", chunk_capacity=256 << 10) as writer:
        writer["n"] = np.arange(100)
        for number in range(4):
            writer[f"waste{number}"] = np.zeros(3000)
        reader = structchunk.open(path, "r")
        looked = reader["n"][5:]
        writer.clear()
        writer["n"] = np.zeros(100, int)
        left = writer.compact(0.99)["left_chunks"]
        assert [chunk for chunk, _ in left] == [0]
        assert looked.tolist() == list(range(5, 100))
        reader.close()
        assert looked.tolist() == list(range(5, 100))
        del looked
        assert writer.compact(0.99)["left_chunks"] == []


def test_threads_read_what_another_one_writes(store: structchunk.Store, reader: structchunk.Store) -> None:
    store["p"], failures, done = Point(0, 0), [], threading.Event()

    def read() -> None:
        last = 0.0
        while not done.is_set():
            seen = reader["p"]
            if seen.x != seen.y or seen.x < last:
                failures.append((last, seen.x, seen.y))
            last = seen.x

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for number in range(2000):
        if number % 2:
            store["p"] = Point(number, number)
        else:
            with store.update("p") as point:
                point.x = point.y = number
    done.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_a_reader_opens_what_is_there_and_nothing_else(tmp_path: Path, path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        structchunk.open(path, "r")
    (tmp_path / "empty").mkdir()
    with pytest.raises(structchunk.NotAStore):
        structchunk.open(tmp_path / "empty", "r")
    assert not path.exists()


def test_a_reader_gives_back_a_writer_nothing_to_wait_for(path: Path) -> None:
    structchunk.open(path, "x").close()
    with structchunk.open(path, "r") as reader, structchunk.open(path, "r+") as writer:
        writer["p"] = Point(1, 2)
        assert reader["p"].y == 2
        assert repr(reader).endswith("mode 'r', 1 objects>")
