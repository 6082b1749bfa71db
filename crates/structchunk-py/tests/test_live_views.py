"""What a mapping of live views does, row by row."""

from __future__ import annotations

import copy
import ctypes
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structchunk
from structchunk import Store, is_live
from types_table import Point, struct


def test_pop_and_popitem_give_detached_copies(store: Store) -> None:
    store["k"], store["l"] = Point(1, 2), np.arange(3)
    point = store.pop("k")
    point.x = 7
    assert (point.y, "k" in store, is_live(point)) == (2, False, False)
    key, numbers = store.popitem()
    numbers[0] = 5
    assert (key, numbers.tolist(), len(store)) == ("l", [5, 1, 2], 0)


def test_copies_and_pickles_of_an_object_are_detached(store: Store) -> None:
    store["k"], store["n"] = Point(1, 2), np.arange(3.0)
    for make in (copy.copy, copy.deepcopy):
        mine = make(store["k"])
        mine.x = 9
        assert store["k"].x == 1
        array = make(store["n"])
        array[0] = 9
        assert store["n"][0] == 0
    assert pickle.loads(pickle.dumps(store["n"])).tolist() == [0, 1, 2]


def test_setdefault_gives_the_live_view(store: Store) -> None:
    point = store.setdefault("k", Point(1, 2))
    point.x = 4
    assert store["k"].x == 4
    assert store.setdefault("k", Point(9, 9)).x == 4


def test_putting_an_object_where_it_is_does_nothing(store: Store) -> None:
    store["k"], store["n"], store["big"] = Point(1, 2), np.arange(3), np.zeros(100_000)
    for key in ("k", "n", "big"):
        before, held = store.stats()["sequence"], store[key]
        store[key] = store[key]
        assert store.stats()["sequence"] == before
        assert is_live(held)
    store["other"] = store["k"]
    assert store["other"].y == 2


def test_update_with_a_mapping_and_clear_are_one_batch(store: Store) -> None:
    store.update({"a": Point(1, 1), "b": Point(2, 2)}, c=Point(3, 3))
    store.update([("d", Point(4, 4))])
    assert [value.x for value in store.values()] == [1, 2, 3, 4]
    with pytest.raises(TypeError):
        store.update({"e": Point(5, 5), "f": 1})
    assert "e" not in store
    store.clear()
    assert len(store) == 0


def test_stores_are_equal_when_they_are_the_same(store: Store, tmp_path: Path) -> None:
    with structchunk.open(tmp_path / "other", "a") as other:
        assert store != other
        assert store == store
        assert len({store, other}) == 2


def test_a_view_of_what_was_replaced_or_removed_is_the_old_object(store: Store) -> None:
    store["k"] = Point(1, 2)
    old = store["k"]
    assert is_live(old)
    store["k"] = Point(3, 4)
    assert (old.x, is_live(old), is_live(store["k"])) == (1, False, True)
    old.x = 100
    assert store["k"].x == 3
    new = store["k"]
    del store["k"]
    assert (new.x, is_live(new)) == (3, False)
    store["n"] = np.zeros((3, 3))
    array = store["n"]
    assert is_live(array)
    assert is_live(array[1:, 1:])
    del store["n"]
    assert not is_live(array[1:])
    assert not is_live(Point())
    assert not is_live(np.zeros(3))


def test_parts_of_objects_are_live_as_long_as_the_whole(store: Store) -> None:
    nested = struct("Deep", id=ctypes.c_int, point=Point, points=Point * 2)
    store["k"] = nested()
    point, second = store["k"].point, store["k"].points[1]
    point.x, second.y = 5, 6
    assert is_live(point)
    assert is_live(second)
    assert (store["k"].point.x, store["k"].points[1].y) == (5, 6)
    del store["k"]
    assert not is_live(point)


def test_the_class_that_was_used_last_serves_a_type(store: Store) -> None:
    first, second = struct("Same", a=ctypes.c_int), struct("Same", a=ctypes.c_int)
    store["k"] = first(1)
    assert type(store["k"]) is first
    assert type(store.view("k", second)) is second
    assert type(store["k"]) is second
    other = struct("Other", a=ctypes.c_int)
    assert type(store.view("k", other)) is other
    assert type(store["k"]) is second


def test_a_class_is_rebuilt_where_python_has_not_seen_it(path: Path, run: Any) -> None:
    with structchunk.open(path, "a") as store:
        store["k"] = struct("OnlyHere", a=ctypes.c_int, point=Point)(7, Point(1, 2))
        store["n"] = np.array([(1, b"x")], [("a", "u2"), ("t", "S3")])
    said = run(
        """
        import sys, structchunk
        with structchunk.open(sys.argv[1] + "/a.store") as store:
            object = store["k"]
            print(type(object).__name__, object.a, object.point.y, store["n"]["t"][0], store["n"].dtype)
        """
    )
    assert said.split(" ", 4)[:4] == ["OnlyHere", "7", "2.0", "b'x'"]


def test_read_only_stores_give_views_that_cannot_be_written(path: Path) -> None:
    with structchunk.open(path, "a") as store:
        store["k"], store["n"] = Point(1, 2), np.arange(3)
    with structchunk.open(path) as store:
        array = store["n"]
        assert not array.flags.writeable
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
        with pytest.raises(ValueError, match="WRITEABLE"):
            array.flags.writeable = True
        # ctypes has no read-only objects: it is a copy.
        point = store["k"]
        point.x = 9
        assert store["k"].x == 1
        for call in (lambda: store.pop("k"), lambda: store.update("k").__enter__(), lambda: store.clear()):
            with pytest.raises(structchunk.ReadOnly):
                call()


def test_after_close_old_views_stay_readable_and_new_access_raises(path: Path) -> None:
    store = structchunk.open(path, "a")
    store["k"], store["n"] = Point(1, 2), np.arange(3)
    point, array, batch = store["k"], store["n"], store.batch()
    batch["b"] = Point()
    keys = store.keys()
    store.close()
    store.close()
    assert (point.y, array.tolist(), store.closed) == (2, [0, 1, 2], True)
    for call in (
        lambda: store["k"],
        lambda: store.view("k", Point),
        lambda: store.get("k"),
        lambda: store.load("k"),
        lambda: store.__setitem__("k", Point()),
        lambda: store.__delitem__("k"),
        lambda: "k" in store,
        lambda: len(store),
        lambda: list(store),
        lambda: list(keys),
        lambda: store.pop("k"),
        lambda: store.sync(),
        lambda: store.stats(),
        lambda: store.create("l", Point),
        lambda: store.create_array("l", "f4", 3),
        lambda: store.__enter__(),
        lambda: batch.commit(),
    ):
        with pytest.raises(structchunk.Closed) as refusal:
            call()
        assert isinstance(refusal.value, ValueError)
    assert "closed" in repr(store)
    with pytest.raises(structchunk.Locked, match="still"):
        structchunk.open(path, "r+")
    del point, array
    with structchunk.open(path, "r+") as again:
        assert len(again) == 2


def test_compaction_leaves_what_is_referred_to_and_moves_the_rest(store: Store) -> None:
    wide = struct("Wide1024", words=ctypes.c_uint64 * 128)
    for number in range(1500):
        store[f"k{number}"] = wide((ctypes.c_uint64 * 128)(number))
    seen = store["k7"]
    for number in range(1500):
        if number % 10:
            del store[f"k{number}"]
    for _ in range(3):
        store.sync()
    report = store.compact()
    assert report["dropped_chunks"]
    assert [reason for _, reason in report["left_chunks"]] == ["somebody holds it"]
    assert (seen.words[0], is_live(seen)) == (7, False)
    del seen
    assert store.compact()["dropped_chunks"]
    assert all(store[f"k{number}"].words[0] == number for number in range(0, 1500, 10))
    assert store.check() == []


def test_a_copy_is_a_store_of_its_own(store: Store, tmp_path: Path) -> None:
    store["k"] = Point(1, 2)
    assert store.copy_to(tmp_path / "copy") == 1
    with structchunk.open(tmp_path / "copy") as copied:
        assert copied["k"].y == 2
    assert [layout.name for layout in store.types()] == ["Point"]


def test_a_handle_pickles_as_path_and_mode(path: Path) -> None:
    with structchunk.open(path, "a", keys="bytes") as store:
        store["k"] = Point(1, 2)
        pickled = pickle.dumps(store)
    with pickle.loads(pickled) as again:
        assert (again.mode, list(again)) == ("r+", [b"k"])


def test_the_representation_says_what_it_is(store: Store) -> None:
    store["k"] = Point()
    assert repr(store) == f"<structchunk.Store {store.path!r}, mode 'x', 1 objects>"


def test_roots_that_serve_many_objects_do_not_gather_what_is_assigned(store: Store) -> None:
    nested = struct("Nested2", point=Point, id=ctypes.c_uint64)
    for number in range(10):
        store[f"k{number}"] = nested()
    roots = set()
    for number in range(5000):
        item = store[f"k{number % 10}"]
        item.point = Point(number, number)
        if item._b_base_ is not None:
            roots.add(id(item._b_base_))
            assert len(item._b_base_._objects) < 1100
    assert roots
    assert store["k9"].point.x == 4999
