"""Opening a store."""

from __future__ import annotations

import os
from typing import Any, Literal

from ._base import Mode
from ._store import Store


def open(
    path: str | os.PathLike[str],
    mode: Mode = "r",
    keys: Literal["str", "bytes"] = "str",
    *,
    chunk_capacity: int | None = None,
    busy_timeout: float | None = None,
    index: bool = True,
) -> Store:
    """Opens a store.

    Args:
        path: its directory.
        mode: as in h5py. ``r``: to read, it must exist; ``r+``: to read and write, it must exist; ``a``: made if it does not exist; ``w``:
            made, or emptied; ``x``: made, must not exist.
        keys: what keys come out as; both go in. Text is UTF-8, bytes that are none become surrogates.
        chunk_capacity: size of the chunk files of a new store, in bytes, a power of two.
        busy_timeout: how long to wait for an object that somebody else changes, in seconds.
        index: whether keys in order are kept on disk (``False`` for stores from people you do not trust).

    While a store is open, nobody but structchunk may change or truncate its files.

    Raises:
        FileNotFoundError, FileExistsError, NotAStore, Locked, CorruptError, NoSpace, OSError.
    """
    return _opened(
        path, mode, keys, chunk_capacity=chunk_capacity, busy_timeout=busy_timeout, index=index, later=False
    )


def unpickled(path: str, mode: Mode, keys: Literal["str", "bytes"], **opened_with: Any) -> Store:
    """A handle that opens the store when it is used first.

    What is refused is raised there then: in the task of a worker, whose pool would take an `OSError` while it unpickles for its own end.
    """
    return _opened(path, mode, keys, chunk_capacity=None, later=True, **opened_with)


def _opened(
    path: str | os.PathLike[str],
    mode: Mode,
    keys: Literal["str", "bytes"],
    *,
    chunk_capacity: int | None,
    busy_timeout: float | None,
    index: bool,
    later: bool,
) -> Store:
    if mode not in ("r", "r+", "a", "w", "x"):
        raise ValueError(f"mode {mode!r}: r, r+, a, w or x")
    if keys not in ("str", "bytes"):
        raise ValueError(f"keys {keys!r}: str or bytes")
    store = Store(
        # (A handle may go to a process that is elsewhere.)
        os.path.abspath(path),
        create=mode in ("a", "w"),
        create_new=mode == "x",
        read_only=mode == "r",
        as_text=keys == "str",
        chunk_capacity=chunk_capacity,
        busy_timeout=busy_timeout,
        index=index,
        later=later,
    )
    store._mode, store._closed, store._keys_as = mode, False, keys
    store._opened_with = {"busy_timeout": busy_timeout, "index": index}
    if mode == "w":
        store.clear()
    return store
