"""What is stored is what was said, and nothing is seen as what another object was."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest
import structchunk
from structchunk import Store, layout_of
from structchunk._objects import Place
from types_table import struct


def test_types_that_differ_in_how_they_are_shown_have_dtypes_of_their_own(store: Store) -> None:
    store["pairs"] = np.arange(6.0).reshape(3, 2)
    store["waves"] = np.zeros(4, "c16")
    store["numbers"] = np.arange(5)
    store["times"] = np.zeros(5, "M8[ns]")
    assert (store["pairs"].dtype, store["pairs"].shape) == (np.dtype("f8"), (3, 2))
    assert (store["waves"].dtype, store["waves"].shape) == (np.dtype("c16"), (4,))
    assert store["numbers"].dtype == np.dtype("i8")
    assert store["times"].dtype == np.dtype("M8[ns]")


@pytest.mark.parametrize("dtype", [">i4", "<i4", "S7", "U3", [("a", ">f8"), ("b", "u1")]])
def test_many_are_put_as_what_they_are(store: Store, dtype: object) -> None:
    values = np.array([1, 20, 300]).astype(np.dtype(dtype) if isinstance(dtype, str) else "i4")  # type: ignore[arg-type]
    if not isinstance(dtype, str):
        values = np.array([(1.5, 2), (3.5, 4), (5.5, 6)], dtype)
    store.put_many(["a", "b", "c"], values)
    for key, value in zip("abc", values, strict=True):
        assert store.load(key, values.dtype) == value


def test_what_is_put_in_its_own_place_as_something_else_becomes_that(store: Store) -> None:
    store["grid"] = np.arange(6.0)
    store["grid"] = store["grid"]
    store["grid"] = store["grid"].reshape(3, 2)
    assert store["grid"].shape == (3, 2)
    store["grid"] = store["grid"].view("i8")
    assert store["grid"].dtype == np.dtype("i8")


def test_an_array_is_no_longer_than_its_object() -> None:
    memory = bytearray(4096)
    place = Place(memory, 0, 16, 0, layout_of("f8"), [100])
    with pytest.raises(structchunk.CorruptError, match="16 bytes"):
        place.array(np.dtype("f8"))
    with pytest.raises(structchunk.CorruptError, match="16 bytes"):
        place.made()


def test_the_keys_of_a_batch_are_text_or_bytes(store: Store) -> None:
    with pytest.raises(TypeError, match="int"), store.batch() as batch:
        batch[5] = np.zeros(2)  # type: ignore[index]
    with pytest.raises(TypeError, match="int"):
        store.update({5: np.zeros(2)})  # type: ignore[dict-item]
    assert len(store) == 0


def test_another_look_in_between_does_not_change_what_an_object_is(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = struct("First", a=ctypes.c_uint64), struct("Second", b=ctypes.c_uint64)
    store["first"], store["second"] = first(1), second(2)
    made = Place.made

    def with_another_look(place: Place) -> object:
        monkeypatch.setattr(Place, "made", made)
        assert type(store["second"]) is second
        return made(place)

    # As another thread might look between the two halves of a first look.
    store._forget()
    monkeypatch.setattr(Place, "made", with_another_look)
    assert type(store["first"]) is first
    assert [type(store[key]) for key in ("first", "second")] == [first, second]
