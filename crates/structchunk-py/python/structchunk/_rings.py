"""Rings: the last so many items of something, in an object of fixed size."""

from __future__ import annotations

import ctypes
from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _layouts, _native
from ._classes import _Bytes, _made, _structure, times
from ._objects import Place

if TYPE_CHECKING:
    from ._base import Array


#: Numbers for what ctypes makes text of.
_AS_TEXT = {"c": "ctypes.c_uint8", "u": "ctypes.c_uint32"}


class Ring(_Bytes, _native.Ring):
    """A ring of items; item 0 is the oldest one. Made by `Ring.of`.

    It is a plain structure: ``head`` (where item 0 is) and ``length``, 64 bits each, then ``items``. So Rust and others read and write it as
    ``struct { head: u64, length: u64, items: [T; N] }``. One thread or process at a time changes a ring.

    Each change by itself goes step by step, in an order in which a ring whose writer is killed meanwhile holds items that follow each other: one may be
    missing at an end, none is wrong. For one who reads beside the writer, by ``store.load`` too, a ring is whole only if the writer changes
    it in ``with store.update(key) as ring``.
    """

    if TYPE_CHECKING:
        head: int
        length: int
        items: Any

    @staticmethod
    def of(item: Any, capacity: int) -> Any:
        """The class of rings of up to so many items; the same one for the same call."""
        if capacity < 1:
            raise ValueError("a ring has room for at least one item")
        code = getattr(item, "_type_", None)
        if isinstance(code, str) and code in _AS_TEXT:
            # What ctypes gives for an array of these is their text, not the array.
            raise TypeError(f"a ring of {item.__name__}: use {_AS_TEXT[code]}")
        key = (Ring, item, capacity)
        made = _made.get(key)
        if made is None:
            fields = [
                ("head", ctypes.c_uint64),
                ("length", ctypes.c_uint64),
                ("items", times(item, capacity)),
            ]
            body = {"_fields_": fields, "__module__": __name__}
            made = _made[key] = _structure(f"{item.__name__}_Ring_{capacity}", (Ring, ctypes.Structure), body)
        return made

    def extend(self, values: Any) -> None:
        """Appends many items: from a ctypes or numpy array of the same type, or anything else that has items, its own among them."""
        items = self.items
        if not hasattr(values, "__array_interface__") and not isinstance(values, ctypes.Array):
            # (All of them first: where they come from may be this ring, and may end with an exception.)
            last = deque(values, self.capacity)
            values = times(type(items)._type_, len(last))(*last)
        if len(values) == 0:
            return
        kind, buffer = _layouts.of_value(values)
        wanted = _layouts.of_class(type(items))
        if kind.layout != wanted.layout or (kind.shape or ())[1:] != (wanted.shape or ())[1:]:
            raise TypeError(f"{type(values).__name__} has no items as those of {type(self).__name__}")
        self._extend(buffer)

    def numpy(self) -> Array:
        """A copy of the items as a numpy array, in order."""
        import numpy as np

        return np.concatenate(self.parts())

    def parts(self) -> tuple[Array, Array]:
        """The items as two numpy arrays over the memory, which follow each other."""
        items, capacity, length = self.items, self.capacity, len(self)
        kind = _layouts.of_class(type(items))
        shape = None if kind.shape is None else list(kind.shape)
        array = Place(memoryview(items).cast("B"), 0, ctypes.sizeof(items), 0, kind.layout, shape).array()
        head = self.head % capacity
        first = min(length, capacity - head)
        return array[head : head + first], array[: length - first]

    def __contains__(self, item: object) -> bool:
        return any(one == item for one in self)

    def __repr__(self) -> str:
        shown: Iterable[str] = [repr(item) for item in self[:8]]
        return f"{type(self).__name__}({', '.join(shown)}{', ...' if len(self) > 8 else ''})"
