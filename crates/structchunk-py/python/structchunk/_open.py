"""Opening a store."""

from __future__ import annotations

import os
from typing import Any, Literal

from ._base import AnyMode, Mode
from ._errors import Unsupported
from ._store import Store

_ACCESS = {"r": "read", "attached": "change"}


def open(
    path: str | os.PathLike[str],
    mode: Mode = "r",
    keys: Literal["str", "bytes"] = "str",
    *,
    shared: bool = False,
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
        shared: a new store is made so that other processes change its objects, too: see `attach`. One that exists must have been. (Its objects are
            copied and updated, and nobody has live views of them.)
        chunk_capacity: size of the chunk files of a new store, in bytes, a power of two.
        busy_timeout: how long to wait for an object that somebody else changes, in seconds.
        index: whether keys in order are kept on disk (``False`` for stores from people you do not trust).

    While a store is open, nobody but structchunk may change or truncate its files.

    Raises:
        FileNotFoundError, FileExistsError, NotAStore, Locked, Unsupported, CorruptError, NoSpace, OSError.
    """
    if mode not in ("r", "r+", "a", "w", "x"):
        raise ValueError(f"mode {mode!r}: r, r+, a, w or x")
    if shared and mode == "r":
        raise ValueError(
            "mode 'r' makes and changes nothing: shared is for those who write; see structchunk.attach"
        )
    store = _opened(
        path, mode, keys, shared=shared, chunk_capacity=chunk_capacity, busy_timeout=busy_timeout, index=index
    )
    try:
        if shared and not store._is_shared():
            raise Unsupported(
                f"{store.path} was not created with shared=True, and it stays what it was made as: make a new one, and copy its objects"
            )
        if mode == "w":
            store.clear()
    except BaseException:
        store.close()
        raise
    return store


def attach(
    path: str | os.PathLike[str],
    keys: Literal["str", "bytes"] = "str",
    *,
    busy_timeout: float | None = None,
) -> Store:
    """Attaches to a store that another process writes, to change its objects in place: by up to 494 handles at a time.

    The store was created with ``structchunk.open(path, "x", shared=True)``, and somebody has it open to write (or died with it since the machine was started,
    and nobody else has come yet). The handle reads as one of mode ``r`` does, and has ``with store.update(key)``, `mend`, and the atomic changes
    of single integers (`add`, `atomic` and the others). What is looked up is a copy. It never creates, replaces or removes: that raises `Unsupported` (an
    `io.UnsupportedOperation`). It goes on with the next writer, pickles, and a forked child that uses it attaches for itself.

    Change an object by `update` or by atomics: the two do not see each other. What was changed is durable with the writer's next `sync`.

    Args:
        path: its directory.
        keys: what keys come out as; both go in.
        busy_timeout: how long to wait for an object that somebody else changes, in seconds.

    Raises:
        NoWriter where nobody writes the store; Error where 494 are attached already;
        Unsupported for a store that was created without ``shared=True``; FileNotFoundError, NotAStore, Recovering,
        CorruptError, OSError.
    """
    return _opened(path, "attached", keys, busy_timeout=busy_timeout)


def unpickled(path: str, mode: AnyMode, keys: Literal["str", "bytes"], **opened_with: Any) -> Store:
    """A handle that opens the store when it is used first.

    What is refused is raised there then: in the task of a worker, whose pool would take an `OSError` while it unpickles for its own end.
    """
    return _opened(path, mode, keys, later=True, **opened_with)


def _opened(
    path: str | os.PathLike[str],
    mode: AnyMode,
    keys: Literal["str", "bytes"],
    *,
    shared: bool = False,
    chunk_capacity: int | None = None,
    busy_timeout: float | None = None,
    index: bool = True,
    later: bool = False,
) -> Store:
    if keys not in ("str", "bytes"):
        raise ValueError(f"keys {keys!r}: str or bytes")
    store = Store(
        # (A handle may go to a process that is elsewhere.)
        os.path.abspath(path),
        create=mode in ("a", "w"),
        create_new=mode == "x",
        access=_ACCESS.get(mode, "write"),
        as_text=keys == "str",
        shared=shared,
        chunk_capacity=chunk_capacity,
        busy_timeout=busy_timeout,
        index=index,
        later=later,
    )
    store._mode, store._closed, store._keys_as = mode, False, keys
    store._opened_with = {"busy_timeout": busy_timeout, "index": index}
    return store
