"""What once was wrong at the edges of objects: removing, lending, telling what is live, showing."""

from __future__ import annotations

import ctypes
import gc
import threading
import time

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
