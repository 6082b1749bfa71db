"""Tables: objects of one class, under keys of one type that have the order of their values."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from . import _layouts, _native
from ._base import as_bytes
from ._errors import LayoutMismatch
from ._objects import kind_of
from ._scans import Range

if TYPE_CHECKING:
    from ._store import Store

_LONGEST_PREFIX = 255
_MISSING: Any = object()


def _code(part: Any) -> str:
    if isinstance(part, str):
        return part
    if part in (str, bytes, bool):
        name: str = part.__name__
        return name
    if part is int:
        raise TypeError('an int of a key has a width: "u8", "i8" and so on, in bytes')
    raise TypeError(f"{part!r} is no part of a key")


class Table(MutableMapping[Any, Any]):
    """A part of a store as a mapping from keys of one type to objects of one class: see `Store.table`."""

    def __init__(self, store: Store, prefix: str | bytes, cls: Any, key: Any) -> None:
        self._store, self._cls, self._kind = store, cls, kind_of(cls)
        self._prefix = as_bytes(prefix)
        if not 1 <= len(self._prefix) <= _LONGEST_PREFIX:
            raise ValueError(
                f"the prefix of a table has 1 to {_LONGEST_PREFIX} bytes, not {len(self._prefix)}"
            )
        parts = list(key) if isinstance(key, tuple) else [key]
        self._keys = _native.TableKeys(
            list(self._prefix), [_code(part) for part in parts], isinstance(key, tuple)
        )

    @property
    def prefix(self) -> bytes:
        """What its keys in the store begin with."""
        return self._prefix

    def key(self, key: Any) -> bytes:
        """The key in the store of a key of the table."""
        return self._keys.encode(key)

    def __getitem__(self, key: Any) -> Any:
        """The live view of the object under `key`; raises `KeyError` where there is none."""
        try:
            return self._store.view(self.key(key), self._cls)
        except KeyError:
            raise KeyError(key) from None

    def __setitem__(self, key: Any, value: Any) -> None:
        """Copies a value in; raises `LayoutMismatch` for one that is not of the table's class."""
        self._check(key, value)
        self._store[self.key(key)] = value

    def _check(self, key: Any, value: Any) -> None:
        kind, _ = _layouts.of_value(value)
        if kind.layout != self._kind.layout or kind.shape != self._kind.shape:
            raise LayoutMismatch(f"{key!r}: {type(value).__name__} in a table of {self._cls}")

    def __delitem__(self, key: Any) -> None:
        """Removes the object under `key`; raises `KeyError` where there is none."""
        try:
            del self._store[self.key(key)]
        except KeyError:
            raise KeyError(key) from None

    def __contains__(self, key: object) -> bool:
        """Whether there is an object under `key`: not under what is no key of this table."""
        try:
            encoded = self.key(key)
        except (TypeError, ValueError, OverflowError):
            return False
        return encoded in self._store

    # What a mapping of the standard library would do one by one, and with the default for the object.

    def setdefault(self, key: Any, default: Any = None) -> Any:
        """The live view of the object under `key`, where `default` is put if there is none."""
        while True:
            try:
                return self[key]
            except KeyError:
                self._check(key, default)
                self._store.setdefault(self.key(key), default)

    def pop(self, key: Any, default: Any = _MISSING) -> Any:
        """Removes the object under `key` and gives a detached copy of it."""
        removed = self._store.pop(self.key(key), _MISSING)
        if removed is not _MISSING:
            return removed
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Removes the first object in the order of keys; its key, and a detached copy."""
        for key in self:
            # (Somebody else may have taken it.)
            with suppress(KeyError):
                return key, self.pop(key)
        raise KeyError("the table is empty")

    def clear(self) -> None:
        """Removes everything, as one batch."""
        keys = Range(self._store, prefix=self._prefix).keys()
        self._store._commit([(as_bytes(key), None, b"") for key in keys])

    def update(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()) -> None:  # type: ignore[override]
        """Puts all of a mapping, or of pairs, as one batch."""
        with self._store.batch() as batch:
            for key, value in other.items() if isinstance(other, Mapping) else other:
                self._check(key, value)
                batch[self.key(key)] = value

    def __len__(self) -> int:
        """How many objects the table has: counted, key by key."""
        return Range(self._store, prefix=self._prefix).total()

    def __iter__(self) -> Iterator[Any]:
        """The keys, in the order of their values."""
        return self._decoded(Range(self._store, prefix=self._prefix), False)

    def __reversed__(self) -> Iterator[Any]:
        """The keys, from the last one to the first."""
        return self._decoded(Range(self._store, prefix=self._prefix), True)

    def _decoded(self, within: Range, reverse: bool) -> Iterator[Any]:
        for key in within.keys(reverse):
            yield self._keys.decode(as_bytes(key))

    def _items(self, within: Range, reverse: bool) -> Iterator[tuple[Any, Any]]:
        for key in within.keys(reverse):
            try:
                value = self._store.view(key, self._cls)
            except KeyError:
                continue
            yield self._keys.decode(as_bytes(key)), value

    def range(
        self, start: Any = None, stop: Any = None, *, reverse: bool = False
    ) -> Iterator[tuple[Any, Any]]:
        """Keys and objects from `start` up to but not including `stop`, in the order of the keys. Of tuples the first parts will do."""
        low, high = (None if end is None else self._keys.encode(end, True) for end in (start, stop))
        return self._items(Range(self._store, low, high, self._prefix), reverse)

    def within(self, *parts: Any, reverse: bool = False) -> Iterator[tuple[Any, Any]]:
        """Keys and objects whose keys, which are tuples, begin with these parts."""
        return self._items(Range(self._store, prefix=self._keys.encode(parts, True)), reverse)

    def load(self, key: Any) -> Any:
        """A detached copy, of one moment."""
        try:
            return self._store.load(self.key(key), self._cls)
        except KeyError:
            raise KeyError(key) from None

    def create(self, key: Any, /, *args: Any, **fields: Any) -> Any:
        """Makes an object, filled with these fields, under a key that has none, and gives its live view."""
        return self._store.create(self.key(key), self._cls, *args, **fields)

    def require(self, key: Any, /, *args: Any, **fields: Any) -> Any:
        """The object under `key`, made with these fields where there is none."""
        return self._store.require(self.key(key), self._cls, *args, **fields)

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"<table {self._prefix!r} of {self._store!r}>"
