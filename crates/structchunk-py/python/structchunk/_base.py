"""What all parts of a store's class need: places of objects, and copies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeVar

from . import _layouts, _native
from ._errors import Closed
from ._objects import Place, face_for, is_class, remember

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]
    #: What numpy takes for a dtype, and is no class.
    Dtype = np.dtype[Any] | str | list[Any]

Key = str | bytes
Mode = Literal["r", "r+", "a", "w", "x"]
#: How a store was opened; the last one by `structchunk.attach`.
AnyMode = Mode | Literal["attached"]
T = TypeVar("T")


def as_bytes(key: Key) -> bytes:
    """The bytes of a key."""
    if isinstance(key, str):
        return key.encode("utf-8", "surrogateescape")
    if isinstance(key, bytes):
        return key
    raise TypeError(f"a key is str or bytes, not {type(key).__name__}")


class Base(_native.Store):
    """An open store, without the ways of a mapping."""

    _mode: AnyMode
    _closed: bool
    _keys_as: Literal["str", "bytes"]
    _opened_with: dict[str, Any]

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the store is closed")

    def _found(self, key: Key) -> Place:
        found = self._locate(key)
        if found is None:
            raise KeyError(key)
        return Place(*found)

    def _peeked(self, key: Key) -> Place:
        """The same for whoever only looks: a copy, where other processes change the object."""
        found = self._peek(key)
        if found is None:
            raise KeyError(key)
        return Place(*found)

    def __setitem__(self, key: Key, value: Any) -> None:
        """Copies a value in: a ctypes object, a numpy array or scalar, or bytes. Atomic; views of what was there keep the old object."""
        kind, buffer = _layouts.of_value(value)
        self._put(key, kind.described, buffer)
        remember(kind)

    def load(self, key: Key, cls: Any = None) -> Any:
        """A detached copy of the object under `key`, of one moment; as a `cls` if that is given. Works in forked children, too.

        Raises `KeyError` where there is none, `LayoutMismatch` where it is no `cls`, `MemoryError` where it is too large for a copy.
        """
        copy = self._load(key)
        if copy is None:
            raise KeyError(key)
        return self._detached(key, copy, cls)

    def load_torn(self, key: Key, cls: Any = None) -> Any:
        """The same of an object that a process which died has left half changed (`Torn`): some of its bytes are old and some new. See `mend`."""
        copy = self._load_torn(key)
        if copy is None:
            raise KeyError(key)
        return self._detached(key, copy, cls)

    def _read(self, key: Key, cls: Any = None) -> Any:
        """The object, for one who reads beside a writer: arrays of numpy where they lie, all else a copy of one moment."""
        what = self._what(key)
        if what is None:
            raise KeyError(key)
        layout, is_array = what
        face = cls
        if cls is None:
            face = face_for(layout, is_array)
        if is_array and not is_class(face):
            place = self._found(key)
            return place.made() if cls is None else place.typed(key, cls)
        copy = self._load(key)
        if copy is None:
            raise KeyError(key)
        return self._detached(key, copy, cls, writable=is_class(face))

    @staticmethod
    def _detached(
        key: Key,
        copy: tuple[int, _native.Layout, list[int] | None, bytearray],
        cls: Any = None,
        *,
        writable: bool = True,
    ) -> Any:
        number, layout, shape, data = copy
        memory = data if writable else memoryview(data).toreadonly()
        place = Place(memory, 0, len(data), number, layout, shape)
        return place.made() if cls is None else place.typed(key, cls)
