"""Rings: the last so many items of something, in an object of fixed size."""

from __future__ import annotations

import ctypes
import operator
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

from . import _layouts
from ._classes import _Bytes, _made, _structure
from ._objects import Place

if TYPE_CHECKING:
    from ._base import Array


class Ring(_Bytes):
    """A ring of items; item 0 is the oldest one. Made by `Ring.of`.

    It is a plain structure: ``head`` (where item 0 is) and ``length``, 64 bits each, then ``items``. So Rust and others read and write it as
    ``struct { head: u64, length: u64, items: [T; N] }``. One thread or process at a time changes a ring; a reader beside it takes a copy
    (``store.load``) where an item that is being replaced would matter.
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
        key = (Ring, item, capacity)
        made = _made.get(key)
        if made is None:
            fields = [("head", ctypes.c_uint64), ("length", ctypes.c_uint64), ("items", item * capacity)]
            body = {"_fields_": fields, "__module__": __name__}
            made = _made[key] = _structure(f"{item.__name__}_Ring_{capacity}", (Ring, ctypes.Structure), body)
        return made

    @property
    def capacity(self) -> int:
        """How many items there is room for."""
        return len(self.items)

    def _state(self) -> tuple[Any, int, int, int]:
        """Items, capacity, head and length: whatever a file says, within bounds."""
        items = self.items
        capacity = len(items)
        return items, capacity, self.head % capacity, min(self.length, capacity)

    def append(self, item: Any) -> None:
        """Adds an item behind the last one; in a full ring the first one goes."""
        items, capacity, head, length = self._state()
        items[(head + length) % capacity] = item
        if length < capacity:
            self.head, self.length = head, length + 1
        else:
            self.head, self.length = (head + 1) % capacity, length

    def prepend(self, item: Any) -> None:
        """Adds an item before the first one; in a full ring the last one goes."""
        items, capacity, head, length = self._state()
        head = (head - 1) % capacity
        items[head] = item
        self.head, self.length = head, min(length + 1, capacity)

    def pop(self) -> None:
        """Drops the last item."""
        _, _, head, length = self._state()
        if length == 0:
            raise IndexError("the ring is empty")
        self.head, self.length = head, length - 1

    def popleft(self) -> None:
        """Drops the first item."""
        _, capacity, head, length = self._state()
        if length == 0:
            raise IndexError("the ring is empty")
        self.head, self.length = (head + 1) % capacity, length - 1

    def clear(self) -> None:
        """Drops all items."""
        self.head = self.length = 0

    def extend(self, values: Any) -> None:
        """Appends many items: at once from a ctypes or numpy array of the same type, one by one from anything else that has items."""
        if not hasattr(values, "__array_interface__") and not isinstance(values, ctypes.Array):
            for value in values:
                self.append(value)
            return
        items, capacity, head, length = self._state()
        kind, buffer = _layouts.of_value(values)
        wanted = _layouts.of_class(type(items))
        if kind.layout != wanted.layout or (kind.shape or ())[1:] != (wanted.shape or ())[1:]:
            raise TypeError(f"{type(values).__name__} has no items as those of {type(self).__name__}")
        new = memoryview(buffer).cast("B")
        size = ctypes.sizeof(items) // capacity
        total = len(new) // size
        count = min(total, capacity)
        new = new[(total - count) * size :]
        target = memoryview(items).cast("B")
        start = (head + length + total - count) % capacity
        first = min(count, capacity - start)
        target[start * size : (start + first) * size] = new[: first * size]
        target[: (count - first) * size] = new[first * size :]
        kept = min(length, capacity - count)
        self.head, self.length = (start - kept) % capacity, kept + count

    def numpy(self) -> Array:
        """A copy of the items as a numpy array, in order."""
        import numpy as np

        return np.concatenate(self.parts())

    def parts(self) -> tuple[Array, Array]:
        """The items as two numpy arrays over the memory, which follow each other."""
        items, capacity, head, length = self._state()
        kind = _layouts.of_class(type(items))
        shape = None if kind.shape is None else list(kind.shape)
        array = Place(memoryview(items).cast("B"), 0, ctypes.sizeof(items), 0, kind.layout, shape).array()
        first = min(length, capacity - head)
        return array[head : head + first], array[: length - first]

    def __len__(self) -> int:
        return self._state()[3]

    def _at(self, index: SupportsIndex) -> tuple[Any, int]:
        items, capacity, head, length = self._state()
        number = operator.index(index)
        if number < 0:
            number += length
        if not 0 <= number < length:
            raise IndexError(f"item {index} of a ring of {length}")
        return items, (head + number) % capacity

    @overload
    def __getitem__(self, index: SupportsIndex) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Any:
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        items, at = self._at(index)
        return items[at]

    def __setitem__(self, index: SupportsIndex, item: Any) -> None:
        items, at = self._at(index)
        items[at] = item

    def __iter__(self) -> Iterator[Any]:
        items, capacity, head, length = self._state()
        return (items[(head + number) % capacity] for number in range(length))

    def __reversed__(self) -> Iterator[Any]:
        items, capacity, head, length = self._state()
        return (items[(head + number) % capacity] for number in reversed(range(length)))

    def __contains__(self, item: object) -> bool:
        return any(one == item for one in self)

    def __repr__(self) -> str:
        shown: Iterable[str] = [repr(item) for item in self[:8]]
        return f"{type(self).__name__}({', '.join(shown)}{', ...' if len(self) > 8 else ''})"
