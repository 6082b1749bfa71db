"""Stores made in Rust: with sealed objects, and with objects that several processes change."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structchunk
from structchunk import Store

GOLDEN = Path(__file__).parents[2] / "structchunk/tests/golden"


def unpack(name: str, path: Path) -> Path:
    """A store as another version of the library has made it, from the text that is kept of it."""
    (path / "chunks").mkdir(parents=True)
    files: dict[str, bytearray] = {}
    data = bytearray()
    for line in (GOLDEN / name / "store.txt").read_text().splitlines():
        if line.startswith("file "):
            file, length = line[5:].rsplit(" ", 1)
            data = files[file] = bytearray(int(length))
        else:
            offset, content = line.split(": ")
            piece = bytes.fromhex(content)
            data[int(offset, 16) : int(offset, 16) + len(piece)] = piece
    for file, content in files.items():
        (path / file).write_bytes(content)
    return path


@pytest.fixture(params=["r", "r+"])
def sealed(request: pytest.FixtureRequest, path: Path) -> Iterator[Store]:
    """A store with sealed objects, open to read and open to write."""
    with structchunk.open(unpack("v1-sealed", path), request.param) as store:
        yield store


@pytest.fixture
def shared(path: Path) -> Path:
    """A store whose objects several processes may change."""
    return unpack("v1-shared", path)


def test_sealed_objects_are_read_in_every_mode(sealed: Store) -> None:
    keys = list(sealed)
    assert [key for key, _ in sealed.items()] == keys == [key for key, _ in sealed.prefix("")]
    assert len(list(sealed.values())) == len(keys)
    for key in keys:
        assert bytes(sealed[key]) == bytes(sealed.load(key)) == bytes(sealed.get(key, "default"))
        assert sealed.array(key).tobytes() == bytes(sealed.load(key))
        assert ctypes.sizeof(sealed.class_of(key)) == len(bytes(sealed[key]))
    assert "bytes" in sealed._repr_html_() or "[" in sealed._repr_html_()
    assert sealed.check() == []


def test_views_of_sealed_objects_cannot_be_written_to(sealed: Store) -> None:
    view = sealed.array("array")
    assert not view.flags.writeable
    assert structchunk.is_live(view)
    before = view.tolist()
    item = sealed.atomic("array", "[0]")
    assert item.load() == before[0]
    with pytest.raises(structchunk.ReadOnly):
        item.add(1)
    assert sealed.load("array").tolist() == before


def test_a_writer_removes_and_replaces_sealed_objects(path: Path) -> None:
    with structchunk.open(unpack("v1-sealed", path), "r+") as store:
        view, copy, keys = store.array("array"), store.load("array"), list(store)
        with pytest.raises(structchunk.Error, match="sealed"), store.update("array"):
            pass
        store["array"] = np.arange(3)
        store["array"][0] = 7
        assert store["array"].tolist() == [7, 1, 2]
        assert not structchunk.is_live(view)
        assert bytes(store.pop("sample")) != b""
        assert store.popitem()[0] == min(set(keys) - {"sample"})
        assert len(store) == len(keys) - 2
        assert view.tolist() == copy.tolist()
    assert view.tolist() == copy.tolist()


MAKING: dict[str, Callable[[Store], Any]] = {
    "create": lambda store: store.create("new", ctypes.c_uint64, 5),
    "create_array": lambda store: store.create_array("new", "f8", 3),
    "setdefault": lambda store: store.setdefault("new", ctypes.c_uint64(3)),
    "require": lambda store: store.require("new", ctypes.c_uint64),
    "table": lambda store: store.table("t/", ctypes.c_uint64).require("new"),
}


@pytest.mark.parametrize("make", MAKING.values(), ids=MAKING.keys())
def test_what_is_refused_in_a_shared_store_leaves_nothing_behind(
    make: Callable[[Store], Any], shared: Path
) -> None:
    with structchunk.open(shared, "r+") as store:
        keys = list(store)
        with pytest.raises(structchunk.Error, match="another process"):
            make(store)
        assert list(store) == keys
        store["new"] = ctypes.c_uint64(5)
        assert store.load("new").value == 5


def test_a_reader_gives_copies_of_what_several_processes_change(shared: Path) -> None:
    with structchunk.open(shared, "r") as store:
        for key, value in store.items():
            assert bytes(value) == bytes(store.load(key)) == store.array(key).tobytes()
            assert not structchunk.is_live(value)
            assert not store.array(key).flags.writeable
            assert ctypes.sizeof(store.class_of(key)) == len(bytes(value))
        assert "counter" in store._repr_html_()
        with pytest.raises(structchunk.Error, match="another process"):
            store.atomic("counter", "hits")


def test_a_writer_looks_at_and_takes_what_several_processes_change(shared: Path) -> None:
    with structchunk.open(shared, "r+") as store:
        with pytest.raises(structchunk.Error, match="another process"):
            store["counter"]
        copy = store.load("counter")
        assert "counter" in store._repr_html_()
        assert ctypes.sizeof(store.class_of("counter")) == ctypes.sizeof(copy)
        assert bytes(store.pop("counter")) == bytes(copy)
        assert "counter" not in store
