"""What is written as a ctypes object is read as one of numpy, and the other way round: every type of the table that both can say."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from itertools import count
from typing import Any

import numpy as np
import pytest
from structchunk import Store
from types_table import CLASSES, DTYPES

BOTH = sorted(CLASSES.keys() & DTYPES.keys())


def fill(array: Any, numbers: Iterator[int]) -> None:
    """Gives each number and text another value. (Of a union, the last field keeps its.)"""
    if array.dtype.names:
        for name in array.dtype.names:
            fill(array[name], numbers)
        return
    for place in np.ndindex(array.shape):
        number = next(numbers)
        match array.dtype.kind:
            case "b":
                array[place] = number % 3 > 0
            case "S":
                array[place] = b"s%d" % number
            case "U":
                array[place] = f"ü{number}"
            case "V":
                array[place] = np.void(bytes(range(number, number + array.dtype.itemsize)))
            case "M" | "m":
                array.view("i8")[place] = -number
            case "c":
                array[place] = complex(number, -number)
            case _:
                array[place] = number


def leaves(value: Any, dtype: np.dtype[Any]) -> Iterator[Any]:
    """The numbers and texts of a value of either kind, in the order of the dtype's fields."""
    if dtype.subdtype:
        for part in value:
            yield from leaves(part, np.dtype((dtype.base, dtype.shape[1:])))
    elif dtype.names:
        for name in dtype.names:
            fields = dtype.fields or {}
            part = value[name] if isinstance(value, np.void | np.ndarray) else getattr(value, name)
            yield from leaves(part, fields[name][0])
    elif isinstance(value, ctypes.Array):
        yield from value
    elif dtype.kind in "Mm":
        yield int(value.astype("i8")) if isinstance(value, np.generic) else value
    elif dtype.kind == "V":
        yield from value.tobytes()
    elif dtype.kind == "c":
        # What ctypes writes is two numbers to numpy, too.
        yield from value if isinstance(value, np.ndarray) else (value.real, value.imag)
    else:
        yield getattr(value, "value", value)


def filled(name: str) -> Any:
    array = np.zeros((), DTYPES[name])
    fill(array, count(7))
    return array


@pytest.mark.parametrize("name", BOTH)
def test_what_numpy_has_written_ctypes_reads(store: Store, name: str) -> None:
    value = filled(name)
    store["k"] = value
    expected = list(leaves(value[()], DTYPES[name]))
    assert list(leaves(store.view("k", CLASSES[name]), DTYPES[name])) == expected
    assert any(expected)


@pytest.mark.parametrize("name", BOTH)
def test_what_ctypes_has_written_numpy_reads(store: Store, name: str) -> None:
    value = CLASSES[name].from_buffer_copy(filled(name).tobytes())
    store["k"] = value
    assert list(leaves(store.array("k")[()], DTYPES[name])) == list(leaves(value, DTYPES[name]))
