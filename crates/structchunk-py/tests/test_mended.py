"""What once was wrong at the edges of objects: removing, lending, telling what is live, showing."""

from __future__ import annotations

import ctypes
import errno
import gc
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import structchunk
from structchunk import _objects, is_live


class Point(ctypes.Structure):
    _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]


def test_what_cannot_be_made_into_an_object_is_not_removed(
    store: structchunk.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    store["p"] = Point(1, 2)

    def refuse(place: _objects.Place) -> object:
        raise MemoryError("no class for this")

    with monkeypatch.context() as patch:
        patch.setattr(_objects.Place, "made", refuse)
        for take in (lambda: store.pop("p"), store.popitem):
            with pytest.raises(MemoryError):
                take()
    assert store["p"].y == 2
    key, value = store.popitem()
    assert (key, value.x, len(store), store.pop("p", None)) == ("p", 1, 0, None)


@pytest.mark.parametrize("length", [4, 1 << 20])
def test_a_loan_is_published_once(store: structchunk.Store, length: int) -> None:
    described = structchunk._native.Described(structchunk.layout_of("f8"), [length])
    loan = store._loan("a", described, None)
    loan.publish()
    del store["a"]
    for publish in (loan.publish, loan.publish_new):
        with pytest.raises(FileExistsError):
            publish()
    assert "a" not in store


def test_a_loan_waits_for_whoever_changes_the_object_and_lets_it_come_to_an_end(
    store: structchunk.Store,
) -> None:
    store["p"] = Point(1, 2)
    begun = threading.Event()

    def change() -> None:
        with store.update("p") as point:
            begun.set()
            time.sleep(0.05)
            point.x = 5

    thread = threading.Thread(target=change)
    thread.start()
    begun.wait()
    with store.loan("p", Point) as point:
        point.x = 7
    thread.join()
    assert store["p"].x == 7


def test_parts_of_an_object_with_a_file_of_its_own_are_live_as_long_as_it_is(
    store: structchunk.Store,
) -> None:
    class Large(ctypes.Structure):
        _fields_ = [("points", Point * 5000), ("last", Point)]

    store["l"], store["a"] = Large(), np.zeros((3000, 30), [("x", "f8"), ("y", "i4")])
    assert store.stats()["bodies"] == 2
    large, array = store["l"], store["a"]
    parts = [
        large,
        large.points,
        large.points[4999],
        large.last,
        array,
        array[5:, 3],
        array["y"],
        array[7, 7:],
    ]
    assert [is_live(part) for part in parts] == [True] * len(parts)
    store["l"] = Large()
    assert [is_live(part) for part in parts] == [False] * 4 + [True] * 4
    del store["a"]
    assert [is_live(part) for part in parts] == [False] * len(parts)


def test_equal_dtypes_serve_a_type_as_one(store: structchunk.Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def dtype() -> np.dtype:  # type: ignore[type-arg]
        return np.dtype([("x", "f8"), ("y", "f8")])

    changes = []
    store["a"] = np.zeros(3, dtype())
    monkeypatch.setattr(structchunk._native, "classes_changed", lambda: changes.append(1))
    for _ in range(3):
        store["a"] = np.zeros(3, dtype())
        store.view("a", dtype())
    assert changes == []
    store["a"] = np.zeros(3, np.dtype([("x", "f8"), ("y", "i8")]))
    store["a"] = np.zeros(3, dtype())
    assert len(changes) == 1


def test_classes_that_nobody_uses_any_more_are_forgotten() -> None:
    def make(number: int) -> None:
        cls = type(f"C{number}", (ctypes.Structure,), {"_fields_": [("x", ctypes.c_int)]})
        structchunk.layout_of(cls)

    from structchunk import _layouts

    gc.collect()
    before = len(_layouts._kinds)
    for number in range(50):
        make(number)
    gc.collect()
    assert len(_layouts._kinds) <= before


def test_notebooks_show_the_first_objects(store: structchunk.Store) -> None:
    store["p<b>"], store["q"], store["r"] = Point(1, 2), np.arange(3), ctypes.c_int(7)
    store["large"] = np.zeros(100_000)
    shown = store._repr_html_()
    assert "<td>p&lt;b&gt;</td><td>Point</td><td>x=1.0, y=2.0</td>" in shown
    assert "<td>i8[3]</td><td>[0, 1, 2]</td>" in shown
    assert "<td>i4</td><td>7</td>" in shown
    assert "<td>800,000 bytes</td>" in shown
    store.update({f"s{number}": b"x" * 200 for number in range(20)})
    assert store._repr_html_().endswith("<p>...</p>")
    assert store._repr_html_().count("<tr>") == 11
    store[b"\xff<"] = b"x"
    with structchunk.open(store.path, "r", keys="bytes") as reader:
        assert "&#x27;p&lt;b&gt;&#x27;" in reader._repr_html_()
    store.clear()
    store[b"\xff<"] = b"x"
    assert "&lt;</td>" in store._repr_html_()
    store.close()
    assert store._repr_html_().endswith("closed&gt;</p>")


def test_parts_that_other_libraries_made_of_an_object_are_live(store: structchunk.Store) -> None:
    store["p"], store["q"] = Point(1, 2), Point(3, 4)
    store["p"], store["p"]
    point = store["p"]
    ring = store.create("r", structchunk.Ring.of(ctypes.c_double, 5))
    ring.append(1)
    array = store.create_array("a", "f8", 10)
    parts = [
        memoryview(point),
        np.asarray(point),
        np.frombuffer(point, "u1")[3:],
        memoryview(np.asarray(point)),
        ctypes.c_double.from_buffer(memoryview(point), 8),
        ring.parts()[0],
        ring.bytes,
        np.frombuffer(ring.bytes, "u1"),
        memoryview(array)[2:],
        memoryview(memoryview(array).cast("B"))[5:],
    ]
    assert [is_live(part) for part in parts] == [True] * len(parts)
    store["p"] = Point()
    del store["r"], store["a"]
    assert [is_live(part) for part in parts] == [False] * len(parts)
    copied = Point()
    copied_from = memoryview(copied)
    assert [is_live(other) for other in (copied, copied_from, np.zeros(3), b"x", 5, None)] == [False] * 6
    # What was assigned to it is no part of it.
    store["line"] = (Point * 2)()
    outer = (Point * 2)()
    outer[0] = store["q"]
    assert not is_live(outer)


def test_dimensions_are_whatever_gives_whole_numbers(store: structchunk.Store) -> None:
    for number, shape in enumerate((np.int64(6), [2, np.uint8(3)], (2, 3), np.array([6]), 6)):
        made = store.create_array(f"c{number}", "f4", shape)
        assert made.size == 6
    with store.loan_array("l", "f4", iter([2, 3])) as lent:
        lent[1, 2] = 7
    assert (store["l"].shape, store["l"][1, 2]) == ((2, 3), 7)
    assert store.create_array("g", "f4", (length for length in (2, 3))).shape == (2, 3)
    for shape in (-5, (2, -1)):
        with pytest.raises(ValueError, match="negative"):
            store.create_array("n", "f4", shape)
        with pytest.raises(ValueError, match="negative"), store.loan_array("n", "f4", shape):
            pass
    for odd in (2.0, "ab", (2, "a"), None):
        with pytest.raises(TypeError):
            store.create_array("n", "f4", odd)
    assert "n" not in store


def test_a_copy_keeps_its_memory(store: structchunk.Store, path: Path) -> None:
    store["a"], store["r"], store["s"] = np.arange(6.0).reshape(2, 3), np.ones((), "i4,f8"), np.array("text")
    copies = [store.load("a"), store.load("r"), store.load("s"), store.load_many(["a"])[0]]
    with structchunk.open(path, "r") as reader:
        read = reader["r"]
    for copy in [*copies, read]:
        below = copy
        while isinstance(below, np.ndarray):
            below = below.base
        memory = below.obj if isinstance(below, memoryview) else below
        with pytest.raises((BufferError, AttributeError)):
            memory.clear()
    assert (copies[0][1].tolist(), copies[1]["f1"], str(copies[2])) == ([3, 4, 5], 1, "text")
    copies[0][0, 0] = 9
    assert (copies[0].sum(), store["a"][0, 0]) == (24, 0)
    with pytest.raises(ValueError, match="WRITEABLE"):
        read.setflags(write=True)


def test_a_metaclass_may_make_what_it_likes_of_a_multiplication(store: structchunk.Store) -> None:
    class Meta(type(ctypes.Structure)):  # type: ignore[misc]
        def __mul__(cls, length: int) -> type:
            return ctypes.c_uint8 * length

    class Other(type(ctypes.Structure)):  # type: ignore[misc]
        def __mul__(cls, length: int) -> str:
            return "nothing"

    for number, meta in enumerate((Meta, Other)):
        body = {"_fields_": [("a", ctypes.c_uint32), (f"b{number}", ctypes.c_uint32)]}
        cls = meta("Odd", (ctypes.Structure,), body)
        store["k"] = cls(1, 2)
        for look in range(4):
            odd = store["k"]
            assert (type(odd), odd.a, type(store.view("k", cls))) == (cls, 1, cls)
            odd.a = 1 + (look == 3)
        assert store.load("k").a == 2
        store["array"] = type(ctypes.Structure).__mul__(cls, 3)()
        assert type(store["array"][2]) in (cls, np.void)


def test_refusals_have_the_number_that_the_system_has_for_them(path: Path) -> None:
    store = structchunk.open(path, "a")
    with pytest.raises(structchunk.Locked) as refusal:
        structchunk.open(path, "r+")
    assert (refusal.value.errno, refusal.value.pid) == (errno.EAGAIN, os.getpid())
    assert "in use by this process" in str(refusal.value)
    with structchunk.open(path, "r") as reader, pytest.raises(structchunk.ReadOnly) as read_only:
        reader["k"] = Point()
    assert (read_only.value.errno, "read-only" in str(read_only.value)) == (errno.EROFS, True)
    store.close()


def test_a_full_disk_has_its_number(run: Callable[[str], str]) -> None:
    run("""
        import errno, resource, signal, sys
        import numpy as np
        import structchunk
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        store = structchunk.open(sys.argv[1] + "/a.store", "a", chunk_capacity=256 << 10)
        store["a"] = np.zeros(10)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, -1))
        try:
            store["b"] = np.zeros(1 << 20)
        except structchunk.NoSpace as refusal:
            assert refusal.errno == errno.ENOSPC, refusal.errno
            assert "no space" in str(refusal)
        else:
            raise AssertionError
    """)
