"""Single integers of objects, and one field of many objects."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import threading
from pathlib import Path

import numpy as np
import pytest
import structchunk
from workers import Counters


class Inner(ctypes.Structure):
    _fields_ = [("small", ctypes.c_int8), ("wide", ctypes.c_uint64 * 3), ("x", ctypes.c_double)]


class Big(ctypes.BigEndianStructure):
    _fields_ = [("short", ctypes.c_int16), ("long", ctypes.c_uint32)]


class Packed(ctypes.Structure):
    _pack_ = 1
    _fields_ = [("byte", ctypes.c_uint8), ("number", ctypes.c_uint32)]


class Outer(ctypes.Structure):
    _fields_ = [
        ("hits", ctypes.c_uint32),
        ("balance", ctypes.c_int64),
        ("inner", Inner * 2),
        ("grid", (ctypes.c_int16 * 3) * 2),
        ("big", Big),
        ("packed", Packed),
        ("bits", ctypes.c_uint32, 3),
    ]


@pytest.fixture
def outer(store: structchunk.Store) -> Outer:
    return store.create("k", Outer)


def test_integers_of_every_width_sign_and_order_are_changed_in_place(
    store: structchunk.Store, outer: Outer
) -> None:
    assert (store.add("k", "hits"), store.add("k", "hits", 41), outer.hits) == (0, 1, 42)
    assert (store.sub("k", "balance", 50), outer.balance) == (0, -50)
    assert (store.add("k", "balance", -(2**63) + 50), outer.balance) == (-50, -(2**63))
    assert (store.sub("k", "balance"), outer.balance) == (-(2**63), 2**63 - 1)
    assert (store.add("k", "inner[1].small", 200), outer.inner[1].small) == (0, -56)
    assert (store.add("k", "inner[-1].wide[2]", 2**64 - 1), outer.inner[1].wide[2]) == (0, 2**64 - 1)
    assert (store.sub("k", "hits", 43), outer.hits) == (42, 2**32 - 1)
    assert (store.exchange("k", "grid[1, 2]", -7), outer.grid[1][2]) == (0, -7)
    assert (store.exchange("k", "grid[1][2]", 8), outer.grid[1][2]) == (-7, 8)
    assert (store.add("k", "big.short", 258), outer.big.short) == (0, 258)
    assert (store.sub("k", "big.short", 259), outer.big.short, store.add("k", "big.short")) == (258, -1, -1)
    assert (store.or_("k", "big.long", 0xF0F0), store.and_("k", "big.long", 0xFF), outer.big.long) == (
        0,
        0xF0F0,
        0xF0,
    )
    assert (store.xor("k", "big.long", 0xFF), outer.big.long) == (0xF0, 0x0F)
    assert store.compare_exchange("k", "big.long", 0x0F, 7)
    assert not store.compare_exchange("k", "big.long", 0x0F, 8)
    assert outer.big.long == 7
    assert (store.or_("k", "packed.byte", 5), outer.packed.byte) == (0, 5)
    # What lies beside them is as it was.
    others = bytes(outer)
    store.add("k", "grid[0, 1]", 1)
    assert sum(a != b for a, b in zip(others, bytes(outer), strict=True)) == 1


@pytest.mark.parametrize(
    ("field", "largest"), [("hits", 2**32 - 1), ("big.long", 2**32 - 1), ("balance", -1)]
)
def test_operators_change_an_integer_where_it_is(
    field: str, largest: int, store: structchunk.Store, outer: Outer
) -> None:
    number = same = store.atomic("k", field)
    number += 0b1111
    number -= 3
    number |= 0b10000
    number &= 0b11001
    number ^= 0b10
    assert number is same
    assert store.atomic("k", field).load() == 0b11010
    number -= 0b11011
    assert same.load() == largest
    for wrong in ("1", 1.5, None):
        with pytest.raises(TypeError, match="integer"):
            number += wrong  # type: ignore[operator]
        with pytest.raises(TypeError, match="integer"):
            store.exchange("k", field, wrong)  # type: ignore[arg-type]
    assert same.load() == largest


def test_objects_that_are_integers_have_an_empty_path(store: structchunk.Store) -> None:
    store["n"], store["a"] = ctypes.c_uint16(7), np.arange(6, dtype="i8").reshape(2, 3)
    assert (store.add("n", ""), store.load("n").value) == (7, 8)
    assert (store.add("a", "[1, 2]", 10), store["a"].tolist()) == (5, [[0, 1, 2], [3, 4, 15]])
    atomic = store.atomic("a", "[0][1]")
    atomic.store(99)
    assert (atomic.load(), store["a"][0, 1]) == (99, 99)
    assert repr(atomic) == '<structchunk.Atomic "[0][1]": 99 of kind i8>'


REFUSED = [
    ("nothing", AttributeError, "no field"),
    ("hits.x", AttributeError, "a number has no field"),
    ("inner", TypeError, "an array"),
    ("inner[0]", TypeError, "a struct"),
    ("inner.small", TypeError, "which element"),
    ("inner[2].small", IndexError, "element 2 of an array of 2"),
    ("inner[-3].small", IndexError, "element -3"),
    ("hits[0]", TypeError, "no array"),
    ("inner[0].x", TypeError, "floating-point"),
    ("packed.number", TypeError, "not aligned"),
    ("bits", TypeError, "bit-field"),
    ("inner[", ValueError, "no path"),
    ("inner[a]", ValueError, "no path"),
    ("grid[1,]", ValueError, "no path"),
    ("", TypeError, "a struct"),
]


@pytest.mark.parametrize(("field", "error", "message"), REFUSED, ids=[field for field, _, _ in REFUSED])
def test_what_is_no_aligned_integer_is_refused(
    field: str, error: type[Exception], message: str, store: structchunk.Store, outer: Outer
) -> None:
    before = bytes(outer)
    with pytest.raises(error, match=message):
        store.add("k", field)
    assert bytes(outer) == before


def test_values_that_are_set_have_to_fit(store: structchunk.Store, outer: Outer) -> None:
    for field, value in [("hits", -1), ("hits", 2**32), ("inner[0].small", 128), ("balance", 2**63)]:
        with pytest.raises(OverflowError, match="does not fit"):
            store.exchange("k", field, value)
        with pytest.raises(OverflowError, match="does not fit"):
            store.compare_exchange("k", field, 0, value)
    with pytest.raises((TypeError, AttributeError)):
        store.add("k", "hits", 1.5)  # type: ignore[arg-type]
    assert bytes(outer) == bytes(Outer())
    with pytest.raises(KeyError):
        store.add("l", "hits")


def test_a_reader_looks_at_an_integer_and_does_not_change_it(path: Path, store: structchunk.Store) -> None:
    store["k"] = Outer(hits=5)
    with structchunk.open(path, "r") as reader:
        atomic = reader.atomic("k", "hits")
        for change in (
            atomic.add,
            lambda: atomic.__iadd__(1),
            lambda: atomic.store(1),
            lambda: atomic.compare_exchange(5, 6),
        ):
            with pytest.raises(structchunk.ReadOnly):
                change()
        assert (store.add("k", "hits"), atomic.load()) == (5, 6)
    assert atomic.load() == 6


def test_threads_lose_no_addition(store: structchunk.Store) -> None:
    store["k"] = Counters()

    def work() -> None:
        for _ in range(500):
            store.add("k", "hits")
            store.sub("k", "low")

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (store["k"].hits, store["k"].low) == (2000, -2000)


def test_forked_processes_go_on_with_an_integer_and_lose_no_addition(store: structchunk.Store) -> None:
    store["k"] = Counters()
    hits = store.atomic("k", "hits")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            for _ in range(5000):
                hits.add()
            os._exit(0)
        children.append(child)
    for child in children:
        assert os.waitpid(child, 0)[1] == 0
    assert store["k"].hits == 20_000
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(hits_of, ()) is None


def hits_of() -> None:
    """(In a pool that was forked from a process with a store.)"""


class Named(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char * 4),
        ("at", ctypes.c_double * 2),
        ("flag", ctypes.c_bool),
        ("z", ctypes.c_float),
    ]


def test_a_column_has_one_field_of_many_objects(path: Path, store: structchunk.Store) -> None:
    for number in reversed(range(300)):
        at = (ctypes.c_double * 2)(number, -number)
        store[f"k{number:03}"] = Named(b"n%02d" % (number % 100), at, number % 2, number / 2)
    store["j"], store["l"] = Outer(), np.zeros(3)
    everything = np.arange(300)
    with structchunk.open(path, "r") as reader:
        for one in (store, reader):
            assert one.column(Named, "z").tolist() == (everything / 2).tolist()
            assert one.column(Named, "z").dtype == np.float32
            assert one.column(Named, "at").tolist() == [[n, -n] for n in range(300)]
            assert one.column(Named, "at[1]", ["k007", "k003"]).tolist() == [-7, -3]
            assert one.column(Named, "flag", [b"k001", "k002"]).tolist() == [True, False]
            assert one.column(Named, "name", ["k012"]).tolist() == [b"n12"]
            assert one.column(Outer, "inner[0].wide").tolist() == [[0, 0, 0]]
            assert one.column(Outer, "packed").dtype.names == ("byte", "number")
            assert one.column(Named, "").shape == (300,)
            assert one.column(np.dtype([("other", "i4")]), "other").shape == (0,)
            assert one.column(Named, "at", []).shape == (0, 2)
            with pytest.raises(KeyError, match="nothing"):
                one.column(Named, "z", ["k001", "nothing"])
            for other in ("j", "l"):
                with pytest.raises(structchunk.LayoutMismatch):
                    one.column(Named, "z", ["k001", other])
            with pytest.raises(AttributeError, match="no field"):
                one.column(Named, "nothing")
    column = store.column(Named, "z")
    column[:] = 0
    assert store["k010"].z == 5


def test_operands_that_are_no_integers_are_type_errors(store: structchunk.Store, outer: Outer) -> None:
    atomic = store.atomic("k", "hits")
    for odd in (None, 1.5, "1", b"1", []):
        for change in (atomic.add, atomic.sub, atomic.and_, atomic.exchange, atomic.store):
            with pytest.raises(TypeError):
                change(odd)
        for change in (store.add, store.sub, store.or_, store.exchange):
            with pytest.raises(TypeError):
                change("k", "hits", odd)
        with pytest.raises(TypeError):
            atomic.compare_exchange(0, odd)
    assert (atomic.load(), atomic.add(np.int64(3)), atomic.add(True), atomic.load()) == (0, 0, 3, 4)


def test_a_column_is_of_objects_and_not_of_arrays(store: structchunk.Store) -> None:
    store["a"] = (Inner * 3)()
    for cls in (Inner * 3, np.dtype(("f8", (3,)))):
        with pytest.raises(TypeError, match="array"):
            store.column(cls, "x")
