"""Keys, values and items as the views that a mapping has: membership, sets, and parts of a store."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import structchunk
from structchunk import _scans
from types_table import Point


def test_values_and_items_know_what_is_in_them(store: structchunk.Store) -> None:
    store["p"], store["q"], store["n"] = Point(1, 2), Point(1, 2), np.arange(3)
    p = store["p"]
    # An object of ctypes is only ever equal to itself: that is, to what lies in the same place.
    assert p in store.values()
    assert Point(1, 2) not in store.values()
    assert np.arange(3) in store.values()
    assert np.arange(4) not in store.values()
    assert "x" not in store.values()
    assert p not in store.values(prefix="q")
    items = store.items()
    assert ("p", p) in items
    assert ("q", p) not in items
    assert ("n", np.arange(3)) in items
    assert (b"n", store["n"]) in items
    assert ("none", p) not in items
    assert ("n", np.arange(3)) not in store.items(start="o")
    for no_item in (5, ("p",), "ab", (5, p)):
        assert no_item not in items


def test_parts_of_an_object_are_not_the_object(store: structchunk.Store) -> None:
    class Line(ctypes.Structure):
        _fields_ = [("ends", Point * 2)]

    store["l"] = Line()
    line = store["l"]
    assert line in store.values()
    assert line.ends not in store.values()
    assert line.ends[0] not in store.values()


def test_items_and_keys_are_sets(store: structchunk.Store) -> None:
    store["p"], store["q"] = Point(1, 2), Point(3, 4)
    p, q = store["p"], store["q"]
    assert store.keys() & {"q", "r"} == {"q"}
    assert store.keys(prefix="q") == {"q"}
    assert store.items().isdisjoint([("p", q), ("q", p), ("r", p)])
    assert not store.items().isdisjoint([("q", q)])
    assert store.items(prefix="p") <= store.items()
    assert not store.items() <= store.items(prefix="p")
    # As of a dict with values like these.
    with pytest.raises(TypeError, match="unhashable"):
        store.items() & [("p", p)]


def test_a_range_of_keys_takes_both_kinds_and_does_not_look_at_all_of_them(
    store: structchunk.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    for key in ("a", "ab", "b", "ba"):
        store[key] = Point()
    assert [b"a" in store.keys(prefix="a"), "ab" in store.keys(prefix=b"a")] == [True, True]
    assert ["b" in store.keys(prefix="a"), b"ac" in store.keys(prefix="a")] == [False, False]
    assert [key in store.keys(start="ab", stop=b"ba") for key in ("a", b"ab", "b", "ba")] == [
        False,
        True,
        True,
        False,
    ]
    monkeypatch.setattr(_scans.Range, "keys", None)
    assert "ab" in store.keys(start="a")
