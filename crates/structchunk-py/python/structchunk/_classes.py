"""The superclass that nobody needs, and classes made by a call: plain ctypes structures and arrays, for Rust as for everybody else."""

from __future__ import annotations

import ctypes
from typing import Any, Self
from weakref import WeakValueDictionary

#: Classes that were made, so that the same call gives the same class.
_made: WeakValueDictionary[Any, type] = WeakValueDictionary()


_structure: Any = type(ctypes.Structure)
_array: Any = type(ctypes.c_int * 1)
_metas: tuple[Any, ...] = (_structure, type(ctypes.Union), _array, type(ctypes.c_int))


def times(cls: Any, length: int) -> Any:
    """The class of arrays of so many: ``cls * length``, whatever the metaclass of a program says to that."""
    meta = next((meta for meta in _metas if isinstance(cls, meta)), type(cls))
    return meta.__mul__(cls, length)


class _Bytes:
    """What all of them have."""

    @property
    def bytes(self) -> memoryview:
        """The memory of the object, as bytes: to be read and written. (``bytes(obj)`` is a copy.)"""
        return memoryview(self).cast("B")  # type: ignore[arg-type]


class Object(_Bytes, ctypes.Structure):
    """A `ctypes.Structure` that can be made by a call, shows its fields, and has `bytes`.

    >>> Point = Object.of("Point", x=ctypes.c_double, y=ctypes.c_double)
    >>> Point(1, 2)
    Point(x=1.0, y=2.0)
    """

    @classmethod
    def of(cls, title: str = "Object", /, **fields: Any) -> type[Self]:
        """A class with these fields, in this order; the same one for the same call."""
        key = (cls, title, tuple(fields.items()))
        made = _made.get(key)
        if made is None:
            body = {"_fields_": list(fields.items()), "__module__": cls.__module__}
            made = _made[key] = _structure(title, (cls,), body)
        return made

    def __repr__(self) -> str:
        names = [
            field[0] for owner in reversed(type(self).__mro__) for field in owner.__dict__.get("_fields_", ())
        ]
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in names)})"


class Array(_Bytes):
    """Arrays of ctypes: `Array.of`."""

    @staticmethod
    def of(item: Any, length: int) -> Any:
        """The class of arrays of so many items: as ``item * length``, with `bytes`, and shown with its items."""
        if length < 1:
            raise ValueError("an array has at least one item")
        key = (Array, item, length)
        made = _made.get(key)
        if made is None:
            body = {"_type_": item, "_length_": length, "__module__": __name__}
            made = _made[key] = _array(f"{item.__name__}_Array_{length}", (Array, ctypes.Array), body)
        return made

    def __repr__(self) -> str:
        items: Any = self
        shown = [repr(items[index]) for index in range(min(len(items), 8))]
        return f"{type(self).__name__}({', '.join(shown)}{', ...' if len(items) > 8 else ''})"
