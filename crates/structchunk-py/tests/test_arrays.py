"""numpy, pandas and polars at work on arrays that are the file: as on arrays of their own."""

from __future__ import annotations

import gc
import io
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structchunk
from numpy.lib import recfunctions

Array = np.ndarray[Any, np.dtype[Any]]

TRADE = np.dtype(
    [("id", "<u4"), ("price", "<f8"), ("name", "S8"), ("at", "<M8[us]"), ("pos", "<f4", 3)], align=True
)
ODD = np.dtype([("id", ">u4"), ("side", "?"), ("price", ">f8"), ("pos", "<f4", (2, 2))])


def trades(dtype: np.dtype[Any]) -> Array:
    """The same ones every time."""
    chance = np.random.default_rng(6)
    made = np.zeros(500, dtype)
    made["id"], made["price"] = chance.permutation(500), chance.integers(0, 50, 500) / 4
    made["pos"] = chance.random(made["pos"].shape)
    if "name" in dtype.names:
        made["name"] = [b"n%d" % number for number in chance.integers(0, 90, 500)]
        made["at"] = chance.integers(0, 2**50, 500).astype("M8[us]")
    return made


def alike(a: object, b: object) -> bool:
    """Whether two arrays, or whatever came out, are equal: types, shapes and every field of every item."""
    if not isinstance(a, np.ndarray) or not isinstance(b, np.ndarray):
        return type(a) is type(b) and repr(a) == repr(b)
    return a.dtype == b.dtype and np.array_equal(a, b)


def in_place(change: Callable[[Array], object]) -> Callable[[Array], object]:
    """Of something that changes its array, what is in the array afterwards."""

    def work(a: Array) -> object:
        change(a)
        return a

    return work


def through_a_file(a: Array) -> Array:
    file = io.BytesIO()
    np.save(file, a)
    file.seek(0)
    loaded: Array = np.load(file)
    return loaded


OPERATIONS: dict[str, Callable[[Any], object]] = {
    "sort by fields": in_place(lambda a: a.sort(order=["price", "id"])),
    "sort by a field, stable": in_place(lambda a: a.sort(order="price", kind="stable")),
    "sort a field": in_place(lambda a: a["price"].sort()),
    "partition a field": lambda a: np.partition(a["id"], 100)[100],
    "sorted copy": lambda a: np.sort(a, order="id"),
    "argsort": lambda a: np.argsort(a, order=["price", "id"]),
    "lexsort": lambda a: np.lexsort((a["id"], a["price"])),
    "unique": lambda a: np.unique(a["price"], return_counts=True)[1],
    "searchsorted": lambda a: np.searchsorted(np.sort(a["price"]), a["price"]),
    "reversed in place": in_place(lambda a: a.__setitem__(slice(None), a[::-1].copy())),
    "shuffled": in_place(lambda a: np.random.default_rng(1).shuffle(a)),
    "several fields": lambda a: a[["price", "id"]].copy(),
    "set several fields": in_place(lambda a: a[["price", "id"]].__setitem__(3, (7.5, 9))),
    "set where": in_place(lambda a: a["pos"].__setitem__(a["price"] > 5, -1)),
    "a part of a field": in_place(lambda a: a["pos"][..., 1].__iadd__(2)),
    "an item": in_place(lambda a: a[7].__setitem__("price", 99)),
    "take and put": in_place(lambda a: a.put([1, 2], a.take([3, 4]))),
    "record array": in_place(lambda a: a.view(np.recarray).price.__imul__(3)),
    "bytes": lambda a: a.view((np.uint8, a.dtype.itemsize))[::3],
    "other order": lambda a: a.byteswap()["id"],
    "ufunc into": in_place(lambda a: np.multiply(a["price"], 2, out=a["price"])),
    "ufunc between fields": in_place(lambda a: np.sqrt(a["id"], out=a["price"])),
    "ufunc where": in_place(lambda a: np.add(a["price"], 1, out=a["price"], where=a["id"] > 250)),
    "ufunc at": in_place(lambda a: np.add.at(a["price"], [0, 0, 1], 10)),
    "reduce": lambda a: np.add.reduce(a["price"]) + a["pos"].sum(),
    "accumulate into": in_place(lambda a: np.add.accumulate(a["price"], out=a["price"])),
    "logic": lambda a: np.where(a["price"] > 3, a["id"], 0),
    "matrix": lambda a: a["pos"].reshape(500, -1) @ a["pos"].reshape(500, -1).T,
    "statistics": lambda a: [a["price"].mean(), np.median(a["price"]), np.percentile(a["price"], 90)],
    "unstructured": lambda a: recfunctions.structured_to_unstructured(a[["id", "price"]]),
    "append a field": lambda a: recfunctions.append_fields(a, "more", a["price"] * 2, usemask=False),
    "join": lambda a: recfunctions.join_by("id", a[["id", "price"]], a[["id", "pos"]], usemask=False),
    "concatenate": lambda a: np.concatenate([a, a[:3]]),
    "save": through_a_file,
    "pickle": lambda a: pickle.loads(pickle.dumps(a)),
    "text": lambda a: repr(a),
    "lists": lambda a: a.tolist(),
}


@pytest.mark.parametrize("dtype", [TRADE, ODD], ids=["aligned", "packed"])
@pytest.mark.parametrize("name", OPERATIONS)
def test_numpy_does_on_the_file_what_it_does_elsewhere(
    name: str, dtype: np.dtype[Any], store: structchunk.Store
) -> None:
    work, own = OPERATIONS[name], trades(dtype)
    store["a"] = own
    mapped = store["a"]
    assert structchunk.is_live(mapped)
    wanted, found = work(own), work(mapped)
    assert alike(found, wanted)
    del mapped, found
    # What changed in the array changed in the file.
    store.close()
    with structchunk.open(store.path, "r") as reader:
        assert alike(reader["a"], own)


CHANGES = ["sort by fields", "ufunc into", "set where", "shuffled", "record array"]


@pytest.mark.parametrize("name", CHANGES)
def test_numpy_changes_nothing_in_a_store_that_is_open_to_read(name: str, store: structchunk.Store) -> None:
    store["a"] = trades(TRADE)
    with structchunk.open(store.path, "r") as reader, pytest.raises(ValueError, match="read-only"):
        OPERATIONS[name](reader["a"])
    assert alike(store["a"], trades(TRADE))


def test_an_array_is_saved_and_loaded_by_name(store: structchunk.Store, tmp_path: Path) -> None:
    a = store.create_array("a", TRADE, 500)
    a[:] = trades(TRADE)
    np.savez(tmp_path / "two.npz", a=a, prices=a["price"])
    with np.load(tmp_path / "two.npz") as loaded:
        assert alike(loaded["a"], a)
        assert alike(loaded["prices"], a["price"])
    np.save(tmp_path / "one.npy", a)
    store["b"] = np.load(tmp_path / "one.npy", mmap_mode="r")
    assert alike(store["b"], a)
    a.tofile(tmp_path / "raw")
    assert alike(np.fromfile(tmp_path / "raw", TRADE), a)


def test_pandas_makes_a_frame_of_an_array(store: structchunk.Store) -> None:
    pandas = pytest.importorskip("pandas")
    store["a"] = trades(TRADE)
    a = store["a"]
    frame = pandas.DataFrame(a[["id", "price", "at"]]).set_index("id").sort_index()
    wanted = np.sort(trades(TRADE), order="id")
    assert frame["price"].tolist() == wanted["price"].tolist()
    assert frame["at"].to_numpy().tolist() == wanted["at"].tolist()
    by_name = pandas.DataFrame({"name": a["name"], "price": a["price"]}).groupby("name")["price"].sum()
    assert by_name.sum() == wanted["price"].sum()
    # And back, without the index of pandas.
    store["sorted"] = frame.reset_index().to_records(index=False, column_dtypes={"at": "M8[us]"})
    assert store["sorted"]["price"].tolist() == wanted["price"].tolist()
    # Numbers of one type are not copied: the frame is the file.
    grid = store.create_array("grid", "f8", (100, 3))
    frame = pandas.DataFrame(grid, columns=["x", "y", "z"], copy=False)
    grid[5, 1] = 7
    assert (frame["y"].sum(), np.shares_memory(frame["y"].to_numpy(), grid)) == (7, True)
    del grid
    store.close()
    gc.collect()
    assert frame["y"].sum() == 7


def test_polars_makes_a_frame_of_an_array(store: structchunk.Store) -> None:
    polars = pytest.importorskip("polars")
    store["a"] = trades(TRADE)
    a = store["a"]
    frame = polars.DataFrame(a).sort("id")
    wanted = np.sort(trades(TRADE), order="id")
    assert frame.columns == list(TRADE.names or ())
    for field in ("id", "price", "name", "at", "pos"):
        assert np.array_equal(np.array(frame[field].to_list()), wanted[field])
    assert frame.filter(polars.col("price") > 5)["id"].to_list() == wanted["id"][wanted["price"] > 5].tolist()
    prices = store.create_array("prices", "f8", 1000)
    prices[:] = np.arange(1000)
    series = polars.Series("prices", prices)
    del prices, a
    store.close()
    gc.collect()
    assert (series.sum(), series.max()) == (499500, 999)
    with structchunk.open(store.path, "r") as reader:
        column = polars.Series(reader["a"]["price"])
        assert column.to_list() == trades(TRADE)["price"].tolist()


@pytest.mark.parametrize("method", ["create", "require"])
def test_single_objects_are_made_of_dtypes(store: structchunk.Store, method: str) -> None:
    make = getattr(store, method)
    number = make("n", np.dtype("f8"), 1.5)
    number += 1
    assert (store.load("n", "f8")[()], number.shape, structchunk.is_live(number)) == (2.5, (), True)
    pair = make("p", [("x", "f8"), ("y", "u4")], y=7)
    assert pair[()].tolist() == (0, 7)
    assert make("z", "u4")[()] == 0
    assert make("three", "(3,)f4", [1, 2, 3]).tolist() == [1, 2, 3]
    assert store.require("n", np.dtype("f8"), 9)[()] == 2.5
    with pytest.raises(TypeError, match="one value"):
        make("other", "f8", 1, 2)
    with pytest.raises(ValueError, match="z"):
        make("other", [("x", "f8")], z=1)
    assert "other" not in store
