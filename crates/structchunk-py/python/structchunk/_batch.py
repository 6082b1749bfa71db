"""Batches: changes that take place together."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from . import _layouts, _native
from ._base import as_bytes
from ._objects import Place, remember

if TYPE_CHECKING:
    from ._base import Key
    from ._store import Store


class Batch:
    """Puts and removes that take place all or not at all: at the end of the ``with`` block, unless it ends with an exception.

    Reads see the batch's own puts, as detached copies.
    """

    def __init__(self, store: Store) -> None:
        self._store = store
        self._changes: dict[bytes, tuple[_layouts.Kind, bytearray] | None] = {}

    def __setitem__(self, key: Key, value: Any) -> None:
        """Notes a copy of the value, to be put under `key`."""
        kind, buffer = _layouts.of_value(value)
        remember(kind)
        self._changes[as_bytes(key)] = kind, bytearray(memoryview(buffer).cast("B"))

    def __delitem__(self, key: Key) -> None:
        """Notes that the object under `key` is to be removed; raises `KeyError` where there is none, in the batch or the store."""
        if key not in self:
            raise KeyError(key)
        self._changes[as_bytes(key)] = None

    def __contains__(self, key: Key) -> bool:
        """Whether there will be an object under `key`."""
        change = self._changes.get(as_bytes(key), ...)
        return key in self._store if change is ... else change is not None

    def __getitem__(self, key: Key) -> Any:
        """A detached copy of what will be under `key`; raises `KeyError` where there will be nothing."""
        change = self._changes.get(as_bytes(key), ...)
        if change is None:
            raise KeyError(key)
        if change is ... or not isinstance(change, tuple):
            return self._store.load(key)
        kind, data = change
        shape = None if kind.shape is None else list(kind.shape)
        return Place(bytearray(data), 0, len(data), 0, kind.layout, shape).made()

    def __len__(self) -> int:
        """How many changes there are."""
        return len(self._changes)

    def commit(self) -> None:
        """Makes all changes at once; the batch is empty then."""
        changes: list[tuple[bytes, _native.Described | None, Any]] = [
            (key, None, b"") if change is None else (key, change[0].described, change[1])
            for key, change in self._changes.items()
        ]
        self._store._commit(changes)
        self._changes.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.commit()
        self._changes.clear()

    def __repr__(self) -> str:
        return f"<batch of {len(self)} changes of {self._store!r}>"
