"""Keys, values and items of a store, in the order of the keys; all of them, or those of a range."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, ValuesView
from typing import TYPE_CHECKING, Any, NamedTuple

from ._base import as_bytes
from ._objects import is_same

if TYPE_CHECKING:
    from ._base import Key
    from ._store import Store

#: So many keys are fetched at a time: first a few, then more.
_FIRST, _MOST = 64, 4096


class Range(NamedTuple):
    """From ``start``, up to but not including ``stop``, and beginning with ``prefix``."""

    store: Store
    start: Key | None = None
    stop: Key | None = None
    prefix: Key | None = None

    def keys(self, reverse: bool = False) -> Iterator[Any]:
        """The keys. Every key that is there all the time is met once, whatever is changed meanwhile."""
        after, limit = None, _FIRST
        while True:
            found = self.store._keys(self.start, self.stop, self.prefix, after, reverse, limit)
            yield from found
            if len(found) < limit:
                return
            after, limit = found[-1], min(2 * limit, _MOST)

    def total(self) -> int:
        """How many keys there are; at once for all of a store."""
        if self.start is self.stop is self.prefix is None:
            return len(self.store)
        return sum(1 for _ in self.keys())

    def has(self, key: object) -> bool:
        """Whether a key is one of these."""
        if any(end is not None for end in self[1:]):
            wanted = as_bytes(key)  # type: ignore[arg-type]
            start, stop, prefix = (None if end is None else as_bytes(end) for end in self[1:])
            is_within = (start is None or start <= wanted) and (stop is None or wanted < stop)
            if not is_within or not wanted.startswith(prefix or b""):
                return False
        return key in self.store

    def items(self, reverse: bool = False) -> Iterator[tuple[Any, Any]]:
        """Keys and objects; what is removed meanwhile is left out."""
        for key in self.keys(reverse):
            try:
                value = self.store[key]
            except KeyError:
                continue
            yield key, value


class _Within:
    """A part of a store, for the views of the keys, values and items in it."""

    _within: Range

    def __init__(self, within: Range) -> None:
        self._within = within

    def __len__(self) -> int:
        return self._within.total()

    def __repr__(self) -> str:
        return f"<{type(self).__name__.lower()} of {self._within.store!r}>"


class Keys(_Within, KeysView[Any]):
    """The keys of a store, sorted by their bytes."""

    def __iter__(self) -> Iterator[Any]:
        return self._within.keys()

    def __reversed__(self) -> Iterator[Any]:
        return self._within.keys(reverse=True)

    def __contains__(self, key: object) -> bool:
        return self._within.has(key)


class Values(_Within, ValuesView[Any]):
    """The objects of a store, in the order of their keys: live views."""

    def __contains__(self, value: object) -> bool:
        return any(is_same(one, value) for one in self)

    def __iter__(self) -> Iterator[Any]:
        return (value for _, value in self._within.items())

    def __reversed__(self) -> Iterator[Any]:
        return (value for _, value in self._within.items(reverse=True))


class Items(_Within, ItemsView[Any, Any]):
    """Keys and objects of a store, in the order of the keys."""

    def __contains__(self, item: object) -> bool:
        if not isinstance(item, tuple) or len(item) != 2 or not isinstance(item[0], str | bytes):
            return False
        key, value = item
        try:
            return self._within.has(key) and is_same(self._within.store[key], value)
        except KeyError:
            return False

    def __iter__(self) -> Iterator[tuple[Any, Any]]:
        return self._within.items()

    def __reversed__(self) -> Iterator[tuple[Any, Any]]:
        return self._within.items(reverse=True)
