"""Classes made by a call: objects, arrays, and rings, which are compared with a deque."""

from __future__ import annotations

import copy
import ctypes
import gc
import operator
import pickle
import weakref
from collections import deque

import numpy as np
import pytest
import structchunk
from hypothesis import given
from hypothesis import strategies as st
from structchunk import Array, Object, Ring, layout_of


def test_an_object_made_by_a_call_is_a_structure(store: structchunk.Store) -> None:
    Point = Object.of("Point", x=ctypes.c_double, y=ctypes.c_double)
    assert Object.of("Point", x=ctypes.c_double, y=ctypes.c_double) is Point
    assert Object.of("Point", y=ctypes.c_double, x=ctypes.c_double) is not Point

    class Plain(ctypes.Structure):
        _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]

    assert layout_of(Point).fingerprint == layout_of(Plain).fingerprint
    point = store.create("p", Point, 1, y=2)
    assert repr(point) == "Point(x=1.0, y=2.0)"
    assert (type(store["p"]), store.view("p", Plain).y) == (Point, 2)
    point.bytes[:8] = bytes(8)
    assert (store["p"].x, bytes(point)) == (0, bytes(point.bytes))

    class Named(Object):
        _fields_ = [("at", Point), ("bytes", ctypes.c_uint8)]

        def where(self) -> float:
            return float(self.at.x)

    store["n"] = Named(Point(3, 4), 5)
    assert (store["n"].where(), store["n"].bytes) == (3, 5)
    Deeper = Named.of("Deeper", z=ctypes.c_int)
    assert repr(Deeper(Point(1, 2), 7, 9)) == "Deeper(at=Point(x=1.0, y=2.0), bytes=7, z=9)"
    assert layout_of(Deeper).size == 32


def test_an_array_made_by_a_call_is_an_array(store: structchunk.Store) -> None:
    Five = Array.of(ctypes.c_int, 5)
    assert Array.of(ctypes.c_int, 5) is Five
    five = Five(1, 2, 3)
    assert (len(five), isinstance(five, ctypes.Array), isinstance(five, Array)) == (5, True, True)
    store["a"] = five
    seen = store.view("a", Five)
    seen[4] = 9
    assert (list(store.view("a", ctypes.c_int * 5)), store["a"][2]) == ([1, 2, 3, 0, 9], 3)
    seen.bytes[0] = 7
    assert repr(seen) == "c_int_Array_5(7, 2, 3, 0, 9)"
    assert repr(Array.of(ctypes.c_int8, 9)()) == "c_byte_Array_9(0, 0, 0, 0, 0, 0, 0, 0, ...)"
    Rows = Object.of("Rows", rows=Array.of(Five, 2))
    assert [field[3] for field in layout_of(Rows).fields] == [[2, 5]]
    store["r"] = Rows((Five(1), Five(2)))
    assert store["r"].rows[1][0] == 2
    with pytest.raises(ValueError, match="at least one"):
        Array.of(ctypes.c_int, 0)


class Tick(ctypes.Structure):
    _fields_ = [("price", ctypes.c_double), ("size", ctypes.c_uint32)]


def test_a_ring_is_a_plain_structure_in_the_file(store: structchunk.Store) -> None:
    Ticks = Ring.of(Tick, 3)
    assert Ring.of(Tick, 3) is Ticks

    class Plain(ctypes.Structure):
        _fields_ = [("head", ctypes.c_uint64), ("length", ctypes.c_uint64), ("items", Tick * 3)]

    assert layout_of(Ticks).fingerprint == layout_of(Plain).fingerprint
    ring = store.create("EURUSD", Ticks)
    for number in range(5):
        ring.append(Tick(number, number))
    ring[1].size = 77
    again = store["EURUSD"]
    assert [tick.price for tick in again] == [2, 3, 4]
    assert [tick.price for tick in reversed(again)] == [4, 3, 2]
    assert ([tick.size for tick in again], again.capacity, len(again)) == ([2, 77, 4], 3, 3)
    plain = store.view("EURUSD", Plain)
    assert (plain.head, plain.length, plain.items[0].price) == (2, 3, 3)
    assert [tick["price"] for tick in again.numpy()] == [2, 3, 4]
    again.parts()[0]["price"] = 9
    assert ring[0].price == 9
    assert ring[-1].price == 4
    with pytest.raises(ValueError, match="at least one"):
        Ring.of(Tick, 0)


def test_a_ring_that_says_what_cannot_be_stays_within_its_bounds() -> None:
    ring = Ring.of(ctypes.c_int, 4)(2**63 + 3, 2**40, (ctypes.c_int * 4)(1, 2, 3, 4))
    assert (list(ring), ring[0], ring.numpy().tolist()) == ([4, 1, 2, 3], 4, [4, 1, 2, 3])
    ring.append(5)
    assert (list(ring), ring.head, ring.length) == ([1, 2, 3, 5], 0, 4)
    ring.head = 2**64 - 1
    ring.extend((ctypes.c_int * 6)(*range(6)))
    assert list(ring) == [2, 3, 4, 5]


def test_a_ring_goes_on_while_it_is_looked_through_and_can_take_its_own_items() -> None:
    ring = Ring.of(ctypes.c_int, 4)()
    ring.extend([1, 2, 3, 4, 5])
    seen = []
    for item in ring:
        seen.append(item)
        ring.append(item + 10)
    # The places are those of the beginning; what is in them is as it is by now.
    assert (seen, list(ring)) == ([2, 3, 4, 5], [12, 13, 14, 15])
    assert operator.length_hint(iter(ring)) == 4
    # (From the middle on, so that they go in two pieces.)
    while ring.head != 2:
        ring.append(ring[-1] + 1)
    own = list(ring.items)
    ring.popleft()
    ring.extend(ring.items)
    assert list(ring) == own
    other = copy.copy(ring)
    ring.clear()
    assert (len(ring), len(other), pickle.loads(pickle.dumps(bytes(other)))) == (0, 4, bytes(other))
    with pytest.raises(ValueError, match="whole items"):
        ring._extend(b"abc")


def test_what_is_no_ring_is_not_taken_for_one() -> None:
    class NoArray(Ring, ctypes.Structure):
        _fields_ = [("head", ctypes.c_uint64), ("length", ctypes.c_uint64)]
        items = [1, 2, 3]

    class Empty(Ring, ctypes.Structure):
        _fields_ = [("head", ctypes.c_uint64), ("length", ctypes.c_uint64), ("items", ctypes.c_int * 0)]

    class Short(Ring, ctypes.Structure):
        _fields_ = [("items", ctypes.c_int * 2)]

    for cls in (NoArray, Empty, Short):
        for use in (
            len,
            iter,
            list,
            lambda ring: ring.append(1),
            lambda ring: ring[0],
            lambda ring: ring.clear(),
        ):
            with pytest.raises(TypeError, match="no ring"):
                use(cls())
    with pytest.raises(TypeError):
        structchunk._native.Ring()


def test_what_does_not_fit_into_a_ring_is_refused() -> None:
    ring = Ring.of(ctypes.c_int, 4)()
    ring.append(1)
    for values in (np.zeros(2), np.zeros((2, 2), np.int32), (ctypes.c_uint * 2)(), ["a"], np.zeros(2, ">i4")):
        with pytest.raises(TypeError):
            ring.extend(values)
    for index in (1, -2, 2**70):
        with pytest.raises(IndexError, match="ring of 1"):
            ring[index]
        with pytest.raises(IndexError, match="ring of 1"):
            ring[index] = 0
    with pytest.raises(TypeError):
        ring["a"]
    assert list(ring) == [1]
    ring.pop()
    for empty in (ring.pop, ring.popleft):
        with pytest.raises(IndexError, match="empty"):
            empty()


OPERATIONS = st.one_of(
    st.tuples(st.sampled_from(["append", "prepend"]), st.integers(-100, 100)),
    st.tuples(st.sampled_from(["extend", "numpy", "ctypes"]), st.lists(st.integers(-100, 100), max_size=12)),
    st.tuples(st.sampled_from(["pop", "popleft", "clear"]), st.none()),
)


@given(st.integers(1, 6), st.lists(OPERATIONS, max_size=30))
def test_a_ring_does_as_a_deque(capacity: int, operations: list) -> None:  # type: ignore[type-arg]
    ring, like = Ring.of(ctypes.c_int16, capacity)(), deque[int](maxlen=capacity)
    for operation, value in operations:
        if operation == "append":
            ring.append(value)
            like.append(value)
        elif operation == "prepend":
            ring.prepend(value)
            like.appendleft(value)
        elif operation == "clear":
            ring.clear()
            like.clear()
        elif value is None:
            if like:
                getattr(ring, operation)()
                getattr(like, operation)()
        else:
            like.extend(value)
            if value and operation == "numpy":
                value = np.array(value, np.int16)
            elif value and operation == "ctypes":
                value = (ctypes.c_int16 * len(value))(*value)
            ring.extend(value)
        assert list(ring) == list(like) == ring.numpy().tolist()
        assert list(reversed(ring)) == list(reversed(like))
        assert (len(ring), ring[1:4], ring[-2:]) == (len(like), list(like)[1:4], list(like)[-2:])
        assert ring.capacity == capacity


def test_classes_that_nobody_has_any_more_go() -> None:
    def use() -> weakref.ref[type]:
        cls = Object.of("Passing", x=ctypes.c_int, y=ctypes.c_int * 7)
        structchunk.layout_of(cls)
        return weakref.ref(cls)

    gone = use()
    gc.collect()
    assert gone() is None


def test_a_ring_of_single_characters_is_refused_and_the_message_says_what_to_use() -> None:
    class Letter(ctypes.c_char):
        pass

    for item, use in ((ctypes.c_char, "c_uint8"), (Letter, "c_uint8"), (ctypes.c_wchar, "c_uint32")):
        with pytest.raises(TypeError, match=use):
            Ring.of(item, 4)
    words = Ring.of(ctypes.c_char * 3, 2)()
    words.append((ctypes.c_char * 3)(*b"abc"))
    assert words[0].value == b"abc"


def test_items_beyond_those_that_count_are_written_first() -> None:
    # What is there when the item itself is written, and what a kill would leave then: everything but what goes.
    ring, states = Ring.of(ctypes.c_int32, 3)(1), []
    ring.extend([1, 2, 3])

    class Item:
        def __init__(self, number: int = 10) -> None:
            self.number = number

        def __index__(self) -> int:
            states.append(list(ring))
            return 10 // self.number * self.number

    ring.append(Item())
    assert (states, list(ring)) == ([[2, 3]], [2, 3, 10])
    ring.prepend(Item())
    assert (states[1:], list(ring)) == ([[2, 3]], [10, 2, 3])
    # What cannot be written changes nothing.
    for change in (ring.append, ring.prepend):
        with pytest.raises(ZeroDivisionError):
            change(Item(0))
        assert list(ring) == [10, 2, 3]


def test_a_ring_takes_its_own_items() -> None:
    for head in range(4):
        ring = Ring.of(Tick, 4)(head)
        ring.extend([Tick(number) for number in range(3)])

        def prices(ring: Ring = ring) -> list[float]:
            return [tick.price for tick in ring]

        ring.extend(ring)
        assert prices() == [2, 0, 1, 2]
        ring.extend(tick for tick in ring[1:3])
        assert prices() == [1, 2, 0, 1]
        like = deque(prices(), 4)
        like.extend([tick.price for tick in ring.items])
        ring.extend(ring.items)
        assert prices() == list(like)
        like.extend(ring.parts()[0]["price"].tolist())
        ring.extend(ring.parts()[0])
        assert prices() == list(like)


def test_nothing_added_to_a_ring_is_nothing() -> None:
    ring = Ring.of(ctypes.c_int, 4)()
    ring.append(1)
    for nothing in ([], np.array([]), np.zeros((0, 3)), iter(()), ring[1:], np.zeros(0, np.int32)):
        ring.extend(nothing)
    assert list(ring) == [1]
    with pytest.raises(TypeError):
        ring.extend([2, 3, "x"])
    assert list(ring) == [1]
