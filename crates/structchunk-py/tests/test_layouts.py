"""Layouts: the same from Python as from Rust, refused with the field's path, and made into classes again."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structchunk
from structchunk import _native, _rebuild
from types_table import CLASSES, DTYPES, Point, struct

GOLDEN = Path(__file__).parents[2] / "structchunk/tests/golden/layouts.txt"


def golden() -> dict[str, str]:
    """The fingerprints of the table, by name."""
    lines = [line.split("\t") for line in GOLDEN.read_text("utf-8").splitlines() if not line.startswith("#")]
    return {line[0]: line[1] for line in reversed(lines)}


@pytest.mark.parametrize("name", CLASSES)
def test_a_ctypes_class_has_the_fingerprint_that_rust_gives_the_same_struct(name: str) -> None:
    layout = structchunk.layout_of(CLASSES[name])
    assert layout.fingerprint == golden()[name], layout


@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_has_the_fingerprint_that_rust_gives_the_same_struct(name: str) -> None:
    layout = structchunk.layout_of(DTYPES[name])
    assert layout.fingerprint == golden()[name], layout


def test_all_of_the_table_is_there_but_for_what_a_language_cannot_say() -> None:
    rust_only = {
        "struct point",
        "AtomicUnsigned",
        "AtomicSigned",
        "AtomicPlatform",
        "AtomicArrays",
        "Generic",
    }
    no_half_floats = {"f2", "Floats"}
    assert set(golden()) - rust_only - no_half_floats == set(CLASSES)
    no_bits = {"BitFields", "BigEndianBitFields"}
    assert set(golden()) - rust_only - no_bits - {"GapFilledByName"} == set(DTYPES)


def test_inherited_fields_come_before_those_of_the_class() -> None:
    class Base(ctypes.Structure):
        _fields_ = [("x", ctypes.c_double)]

    class Derived(Base):
        _fields_ = [("y", ctypes.c_double)]

    assert structchunk.layout_of(Derived) == structchunk.layout_of(Point)


_inner = struct("Inner", ok=ctypes.c_int, bad=ctypes.POINTER(ctypes.c_int))
REFUSED = {
    "c_void_p": (struct("A", p=ctypes.c_void_p), "A.p cannot be stored: c_void_p points elsewhere"),
    "c_char_p": (struct("A", p=ctypes.c_char_p), "A.p cannot"),
    "c_wchar_p": (struct("A", p=ctypes.c_wchar_p), "A.p cannot"),
    "py_object": (struct("A", p=ctypes.py_object), "A.p cannot"),
    "function": (struct("A", p=ctypes.CFUNCTYPE(None)), "A.p cannot be stored: a function pointer"),
    "longdouble": (struct("A", p=ctypes.c_longdouble), "A.p cannot be stored: c_longdouble"),
    "nested": (
        struct("Outer", x=ctypes.c_int, inner=_inner * 2),
        "Outer.inner.bad cannot be stored: a pointer",
    ),
    "no fields": (struct("Nothing"), "Nothing cannot be stored: it has no bytes"),
    "no elements": (struct("A", p=ctypes.c_int * 0), "A.p cannot be stored: an array without elements"),
    "only padding": (struct("A", _pad=ctypes.c_uint8 * 4), "at least one field"),
    "a pointer itself": (ctypes.POINTER(ctypes.c_int), "a pointer points elsewhere"),
    "object dtype": (np.dtype([("ok", "f8"), ("bad", [("o", "O")])]), "dtype.bad.o cannot be stored"),
    "longdouble dtype": (np.dtype([("bad", np.longdouble)]), "dtype.bad cannot be stored"),
    "empty text": (np.dtype([("ok", "u1"), ("bad", "S0")]), "dtype.bad cannot be stored"),
    "no class": ("nonsense", "nonsense"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_stored_is_refused_with_the_path_of_the_field(
    name: str, store: structchunk.Store
) -> None:
    cls, says = REFUSED[name]
    with pytest.raises(TypeError) as refusal:
        structchunk.layout_of(cls)
    assert says in str(refusal.value)
    if isinstance(cls, type) and issubclass(cls, ctypes.Structure):
        with pytest.raises(TypeError):
            store["key"] = cls()
        assert len(store) == 0


@pytest.mark.parametrize("name", [name for name in CLASSES if name != "Wide"])
def test_a_class_that_is_rebuilt_reads_the_same_values(name: str) -> None:
    cls: Any = CLASSES[name]
    layout = structchunk.layout_of(cls)
    rebuilt = _rebuild.array_class(layout, ())
    assert ctypes.sizeof(rebuilt) == ctypes.sizeof(cls)
    original = cls.from_buffer_copy(os.urandom(ctypes.sizeof(cls)))
    again = rebuilt.from_buffer_copy(bytes(original))
    for field, *_ in layout.fields:
        if field.startswith("_") or not field:
            continue
        mine, theirs = getattr(again, field), getattr(original, field)
        if isinstance(theirs, ctypes.Array | ctypes.Structure | ctypes.Union):
            mine, theirs = bytes(mine), bytes(theirs)
        assert mine == theirs or mine != mine, field
    # What is rebuilt has the layout that it was rebuilt from.
    assert str(structchunk.layout_of(rebuilt)) == str(layout)


@pytest.mark.parametrize("name", DTYPES)
def test_a_dtype_that_is_rebuilt_is_the_same(name: str) -> None:
    dtype = DTYPES[name]
    layout = structchunk.layout_of(dtype)
    rebuilt, _ = _rebuild.dtype_of(layout)
    assert structchunk.layout_of(rebuilt).fingerprint == layout.fingerprint
    assert rebuilt.itemsize == dtype.itemsize


HOSTILE = ["__del__", "a b", "_fields_", "class", "\x1b[31m", "__class__", "x" * 300, "é", "\n", "f0", "9"]


def test_hostile_names_become_harmless_ones() -> None:
    fields: Any = [(name, 64 * index, "u8", [], "number", None) for index, name in enumerate(HOSTILE)]
    layout = _native.Layout("__import__('os').abort()", 8 * len(HOSTILE), 8, fields)
    cls = _rebuild.struct_class(layout)
    assert cls.__name__ == "Struct"
    assert cls._names_ == tuple(HOSTILE)
    names = _rebuild.names_for(layout)
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and not name.startswith("_") for name in names)
    values = cls(*range(1, 4))
    del values
    assert _rebuild.dtype_of(layout)[0].itemsize == 8 * len(HOSTILE)
    assert "\x1b" not in str(layout)


def test_names_that_repeat_are_told_apart() -> None:
    one: Any = [("a", 0, "u1", [], "number", None), ("a", 8, "u1", [], "number", None)]
    with pytest.raises(TypeError, match="name is taken"):
        _native.Layout("T", 2, 1, one)


def test_a_field_may_have_the_name_of_a_method(tmp_path: Path) -> None:
    cls = struct("Methods", from_buffer=ctypes.c_int, from_buffer_copy=ctypes.c_int)
    with structchunk.open(tmp_path / "a.store", "x") as store:
        store["k"] = cls(1, 2)
        assert (store["k"].from_buffer, store.view("k", cls).from_buffer_copy) == (1, 2)
    with structchunk.open(tmp_path / "a.store", "r") as reading:
        assert reading["k"].from_buffer == 1


def test_layouts_that_share_what_is_nested_are_rebuilt_once(store: structchunk.Store) -> None:
    layout = structchunk.Layout("Leaf", 8, 8, [("x", 0, "u8", [], "number", None)])
    for level in range(30):
        twice = [(name, 0, layout, [], "number", None) for name in ("a", "b")]
        layout = structchunk.Layout(f"Level{level}", 8, 8, twice)
    cls = _rebuild.struct_class(layout)
    assert ctypes.sizeof(cls) == 8
    dtype, _ = _rebuild.dtype_of(layout)
    assert dtype.itemsize == 8


def test_masked_arrays_are_refused(store: structchunk.Store) -> None:
    masked = np.ma.masked_array([1, 2, 3], mask=[False, True, False])
    for value in (masked, masked[:1], np.ma.masked):
        with pytest.raises(TypeError, match=r"mask.*filled"):
            store["m"] = value
    with pytest.raises(TypeError, match="mask"):
        store.put_many("abc", masked)
    store["m"] = masked.filled(0)
    assert store["m"].tolist() == [1, 0, 3]
