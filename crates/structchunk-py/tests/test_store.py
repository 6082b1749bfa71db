"""A store as a mapping: what each call does, and what it raises."""

from __future__ import annotations

import ctypes
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structchunk
from structchunk import Store
from types_table import CLASSES, Point, SinglePoint


def test_the_object_is_the_file(path: Path) -> None:
    with structchunk.open(path, "a") as store:
        point = store.create("home", Point, x=1.0)
        point.x = 3.5
        assert store["home"].x == 3.5
        assert store.view("home", Point).y == 0
    del point
    with structchunk.open(path) as store:
        assert store["home"].x == 3.5


def test_modes_are_those_of_h5py(path: Path) -> None:
    for mode in ("r", "r+"):
        with pytest.raises(FileNotFoundError):
            structchunk.open(path, mode)  # type: ignore[arg-type]
    structchunk.open(path, "x").close()
    with pytest.raises(FileExistsError):
        structchunk.open(path, "x")
    with structchunk.open(path, "a") as store:
        store["k"] = Point(1, 2)
    with structchunk.open(path, "r+") as store:
        store["l"] = Point(1, 2)
    with structchunk.open(path, "r") as store:
        assert list(store) == ["k", "l"]
        with pytest.raises(structchunk.ReadOnly) as refusal:
            store["m"] = Point(1, 2)
        assert isinstance(refusal.value, PermissionError)
    with structchunk.open(path, "w") as store:
        assert list(store) == []
    with pytest.raises(ValueError, match="mode"):
        structchunk.open(path, "rw")  # type: ignore[arg-type]


def test_what_is_no_store_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "file").write_text("?")
    for mode in ("r", "a"):
        with pytest.raises(structchunk.NotAStore, match="is not a store"):
            structchunk.open(tmp_path / "folder", mode)  # type: ignore[arg-type]
    with pytest.raises((structchunk.Error, OSError)):
        structchunk.open(tmp_path / "folder" / "file", "a")


def test_a_second_handle_is_told_who_has_the_store(path: Path) -> None:
    with structchunk.open(path, "a") as store:
        store["k"] = Point()
        with pytest.raises(structchunk.Locked, match="this process") as refusal:
            structchunk.open(path, "r+")
        assert isinstance(refusal.value, OSError)


def test_keys_are_text_or_bytes_and_come_out_as_one_of_them(path: Path) -> None:
    with structchunk.open(path, "a") as store:
        store["é"] = Point(1, 1)
        store[b"\xff"] = Point(2, 2)
        assert list(store) == ["é", "\udcff"]
        assert store["\udcff"].x == 2
        assert "é".encode() in store
    with structchunk.open(path, keys="bytes") as store:
        assert list(store) == ["é".encode(), b"\xff"]
        assert store["é"].x == 1


@pytest.mark.parametrize("key", ["", "x" * 65_536, b""])
def test_keys_of_an_impossible_length_are_refused(store: Store, key: Any) -> None:
    with pytest.raises(ValueError, match="keys have 1 to 65535"):
        store[key] = Point()
    assert key not in store
    with pytest.raises(KeyError):
        store[key]
    assert len(store) == 0


@pytest.mark.parametrize("key", [1, None, (), 1.5])
def test_keys_of_another_kind_are_refused(store: Store, key: Any) -> None:
    with pytest.raises(TypeError, match="a key is str or bytes, not"):
        store[key] = Point()
    with pytest.raises(TypeError, match="a key is str or bytes, not"):
        store[key]


@pytest.mark.parametrize(
    ("value", "use"),
    [
        (1, "c_int64"),
        (1.5, "c_double"),
        ("x", "encode"),
        (True, "c_bool"),
        (None, "ctypes instances"),
        ([], "numpy"),
    ],
)
def test_values_without_a_layout_are_refused_and_the_message_says_what_to_use(
    store: Store, value: Any, use: str
) -> None:
    with pytest.raises(TypeError, match=use):
        store["k"] = value
    assert len(store) == 0


def test_a_missing_key_is_a_key_error(store: Store) -> None:
    for call in (
        lambda: store["k"],
        lambda: store.view("k", Point),
        lambda: store.load("k"),
        lambda: store.array("k"),
        lambda: store.pop("k"),
        lambda: store.update("k").__enter__(),
        lambda: store.__delitem__("k"),
        lambda: store.popitem(),
    ):
        with pytest.raises(KeyError):
            call()
    assert store.get("k") is None
    assert store.pop("k", 5) == 5


def test_a_wrong_class_is_a_type_error_that_names_key_and_field(store: Store) -> None:
    store["k"] = Point(1, 2)
    with pytest.raises(structchunk.LayoutMismatch) as refusal:
        store.view("k", SinglePoint)
    assert isinstance(refusal.value, TypeError)
    assert 'object "k"' in str(refusal.value)
    assert "field x is f8 at 0 in the store, f4 at 0 in the program" in str(refusal.value)
    with pytest.raises(structchunk.LayoutMismatch, match="no array in the store"):
        store.view("k", Point * 1)
    with pytest.raises(structchunk.LayoutMismatch):
        store.load("k", np.dtype("f8"))
    store["n"] = (ctypes.c_double * 3)(1, 2, 3)
    with pytest.raises(structchunk.LayoutMismatch, match=r"array \[3\]"):
        store.view("n", ctypes.c_double * 4)


def test_create_and_require(store: Store) -> None:
    assert store.create("a", Point, 1, y=2).y == 2
    with pytest.raises(FileExistsError, match="'a'"):
        store.create("a", Point)
    assert store["a"].x == 1
    assert store.require("a", Point, x=9).x == 1
    assert store.require("b", Point, x=9).x == 9
    with pytest.raises(structchunk.LayoutMismatch):
        store.require("a", SinglePoint)
    with pytest.raises(TypeError):
        store.create("c", Point, 1, 2, 3)
    assert "c" not in store


@pytest.mark.parametrize("name", [*CLASSES])
def test_every_kind_of_struct_comes_back_as_it_was(store: Store, name: str) -> None:
    cls = CLASSES[name]
    value = cls.from_buffer_copy(
        bytes(range(1, 1 + ctypes.sizeof(cls) % 200)).ljust(ctypes.sizeof(cls), b"\1")
    )
    store["before"] = b"12345"
    store["k"] = value
    assert type(store["k"]) is cls
    assert bytes(store["k"]) == bytes(store.load("k")) == bytes(value)
    many = (cls * 3)(value, value, value) if not issubclass(cls, ctypes._SimpleCData) else (cls * 3)()
    store["many"] = many
    assert bytes(store.view("many", cls * 3)) == bytes(many)


def test_numpy_values_come_back_as_they_were(store: Store) -> None:
    record = np.dtype([("at", "M8[ns]"), ("name", "S5"), ("z", "c16"), ("m", "f4", (2, 2))])
    values: list[Any] = [
        np.arange(6.0).reshape(2, 3),
        np.arange(12, dtype=">i4")[::2],
        np.asfortranarray(np.arange(6).reshape(2, 3)),
        np.array([b"one", b"three"]),
        np.array(["eins", "zwei"]),
        np.array([1 + 2j, 3j]),
        np.array([True, False]),
        np.array(["2020-01-01"], "M8[D]"),
        np.zeros(3, record),
        np.zeros((), record),
        np.float64(1.5),
        np.int8(-1),
        np.array(7, "u2"),
        np.arange(200_000.0),
    ]
    for value in values:
        store["k"] = value
        found = store["k"]
        assert isinstance(found, np.ndarray)
        assert found.dtype == np.asarray(value).dtype
        assert found.shape == np.shape(value)
        assert found.flags.c_contiguous
        assert (found == value).all()
        assert (store.load("k") == value).all()
        assert not store.load("k").flags.owndata or store.load("k").flags.writeable


def test_bytes_are_an_array_of_numbers(store: Store) -> None:
    store["k"] = b"abc"
    assert bytes(store.array("k")) == b"abc"
    assert store.view("k", ctypes.c_uint8 * 3)[1] == ord("b")
    with pytest.raises(ValueError, match="would be empty"):
        store["k"] = b""
    assert bytes(store.array("k")) == b"abc"


def test_arrays_without_elements_are_refused(store: Store) -> None:
    with pytest.raises(ValueError, match="no bytes"):
        store["k"] = np.zeros((0, 3))
    with pytest.raises(ValueError, match="would be empty"):
        store.create_array("k", "f4", (0, 3))
    assert len(store) == 0


def test_create_array_makes_zeroes_in_place(store: Store) -> None:
    grid = store.create_array("grid", "f4", (100_000, 100_000), sparse=True)
    assert grid.shape == (100_000, 100_000)
    grid[99_999, 5] = 7
    assert store["grid"][99_999, 5] == 7
    assert store.stats()["bytes_allocated"] < 1 << 30
    with pytest.raises(FileExistsError):
        store.create_array("grid", "f4", 5)
    small = store.create_array("small", Point, (2, 2))
    small["x"][1, 1] = 3
    assert store.view("small", Point * 2 * 2)[1][1].x == 3
    texts = store.create_array("texts", "S7", 3)
    texts[1] = b"abc"
    assert store["texts"][1] == b"abc"


def test_a_loan_is_published_at_its_end_and_dropped_on_an_exception(store: Store) -> None:
    with store.loan("k", Point) as point:
        point.x = 1
        assert "k" not in store
    assert store["k"].x == 1
    with pytest.raises(ZeroDivisionError), store.loan("l", Point) as point:
        point.x = 1 / 0
    assert "l" not in store
    with store.loan_array("a", "f8", (3, 2)) as array:
        array[2, 1] = 5
    assert store["a"][2, 1] == 5
    with store.loan("big", ctypes.c_uint8 * 1_000_000) as big:
        big[999_999] = 3
    assert store["big"][999_999] == 3
    # What was lent stays readable.
    assert big[999_999] == 3
    assert point.x == 0


def test_an_update_is_written_back_as_a_whole_or_not_at_all(store: Store) -> None:
    store["k"] = Point(1, 2)
    with store.update("k") as point:
        point.x, point.y = 5, 6
        assert store["k"].x == 1
    assert (store["k"].x, store["k"].y) == (5, 6)
    with pytest.raises(ZeroDivisionError), store.update("k") as point:
        point.x = 7
        point.y = 1 / 0
    assert store["k"].x == 5
    store["n"] = np.zeros(1000)
    with store.update("n") as numbers:
        numbers[:] = 3
    assert store["n"].sum() == 3000


def test_a_batch_is_all_or_nothing_and_reads_its_own_puts(store: Store) -> None:
    store["old"] = Point(1, 1)
    with store.batch() as batch:
        batch["k"] = Point(5, 6)
        batch["n"] = np.arange(3)
        del batch["old"]
        assert batch["k"].x == 5
        assert batch["n"].tolist() == [0, 1, 2]
        assert "old" not in batch
        assert sorted(store) == ["old"]
        with pytest.raises(KeyError):
            batch["old"]
    assert sorted(store) == ["k", "n"]
    with pytest.raises(ZeroDivisionError), store.batch() as batch:
        batch["m"] = Point(1 / 0, 0)
    assert "m" not in store


def test_many_at_once(store: Store) -> None:
    keys = [f"k{number}" for number in range(100)]
    values = np.zeros(100, [("a", "f8"), ("b", "u4")])
    values["a"] = range(100)
    store.put_many(keys, values)
    assert store["k7"]["a"] == 7
    assert (store.load_many(keys, values.dtype) == values).all()
    store.put_many(["p", "q"], [Point(1, 2), Point(3, 4)])
    assert [point.x for point in store.load_many(["p", "q"], Point)] == [1, 3]
    with pytest.raises(ValueError, match="2 keys and 1 values"):
        store.put_many(["p", "q"], [Point()])
    with pytest.raises(KeyError):
        store.load_many(["p", "absent"])


def test_many_puts_wait_for_whoever_changes_one_of_the_objects(store: Store) -> None:
    keys = [f"k{number}" for number in range(600)]
    values = np.zeros(600, [("a", "i8")])
    store.put_many(keys, values)
    begun, done = threading.Event(), []

    def change() -> None:
        with store.update("k300"):
            begun.set()
            time.sleep(0.3)
            done.append("changed")

    thread = threading.Thread(target=change)
    thread.start()
    begun.wait()
    values["a"] = range(600)
    store.put_many(keys, values)
    assert done == ["changed"]
    thread.join()
    assert store.column(values.dtype, "a", keys).tolist() == list(range(600))


def test_keys_are_sorted_and_ranges_and_prefixes_are_part_of_them(store: Store) -> None:
    names = [f"{letter}{number:03}" for letter in "abc" for number in range(200)]
    for name in reversed(names):
        store[name] = Point(1, 2)
    assert list(store) == list(store.keys()) == names
    assert list(reversed(store)) == names[::-1]
    assert list(store.keys(prefix="b")) == names[200:400]
    assert [key for key, _ in store.prefix("b", reverse=True)] == names[399:199:-1]
    assert [key for key, _ in store.range("a190", "b010")] == names[190:210]
    assert [key for key, _ in store.range("c1", reverse=True)] == names[:499:-1]
    assert len(store.keys()) == len(store.items()) == len(store.values()) == 600
    assert len(store.keys(prefix="c", start="c100")) == 100
    assert "b001" in store.keys(prefix="b")
    assert "a001" not in store.keys(prefix="b")
    assert {key: value.y for key, value in store.items("a00")} == dict.fromkeys(names[:10], 2)
    assert sum(value.x for value in store.values()) == 600
    store[b"\xff\xff"] = Point()
    assert [*store.keys(prefix=b"\xff")] == ["\udcff\udcff"]
