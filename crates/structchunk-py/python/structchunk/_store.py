"""The store as a mapping."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, overload

from . import _layouts, _native, _rebuild
from ._batch import Batch
from ._errors import Closed
from ._objects import Place, face_for, is_class, kind_of, known_face, remember
from ._scans import Items, Keys, Range, Values

if TYPE_CHECKING:
    import numpy as np

    Array = np.ndarray[Any, np.dtype[Any]]

Key = str | bytes
Mode = Literal["r", "r+", "a", "w", "x"]
_T = TypeVar("_T")
_MISSING: Any = object()


class Store(_native.Store, MutableMapping[Any, Any]):
    """An open store: a mapping from keys to objects whose memory is the file. Made by `structchunk.open`."""

    _mode: Mode
    _closed: bool

    # Objects.

    def __setitem__(self, key: Key, value: Any) -> None:
        """Copies a value in: a ctypes object, a numpy array or scalar, or bytes. Atomic; views of what was there keep the old object."""
        kind, buffer = _layouts.of_value(value)
        self._put(key, kind.described, buffer)
        remember(kind)

    def __delitem__(self, key: Key) -> None:
        if not self._remove(key):
            raise KeyError(key)

    def __contains__(self, key: object) -> bool:
        return self._contains(key)

    def __len__(self) -> int:
        self._check_open()
        return self._len()

    def __iter__(self) -> Iterator[Any]:
        self._check_open()
        return Range(self).keys()

    def __reversed__(self) -> Iterator[Any]:
        self._check_open()
        return Range(self).keys(reverse=True)

    # Stores are equal when they are the same, whatever is in them.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def _place(self, memory: Any, offset: int, size: int, number: int, shape: list[int] | None) -> Place:
        return Place(memory, offset, size, self._layout(number), shape, number)

    def _found(self, key: Key) -> Place:
        found = self._locate(key)
        if found is None:
            raise KeyError(key)
        return self._place(*found)

    def _get(self, key: Key) -> Any:
        place = self._found(key)
        return self._noted(place, place.made())

    def _view(self, key: Key, cls: Any) -> Any:
        place = self._found(key)
        return self._noted(place, place.typed(key, cls))

    def _noted(self, place: Place, made: Any) -> Any:
        """Lets the fast way serve the type from now on, where it can."""
        cls = type(made)
        is_struct = issubclass(cls, ctypes.Structure | ctypes.Union)
        # (A class of another name may see the object, but does not serve its type.)
        if is_struct and place.shape is None and place.writable and face_for(place.layout, False) is cls:
            self._note_class(place.number, cls, place.bytes)
        return made

    if TYPE_CHECKING:

        def __getitem__(self, key: Key) -> Any: ...

        def view(self, key: Key, cls: type[_T]) -> _T:
            """The object under `key` as a `cls`, a ctypes class or numpy dtype: a live view."""
            raise NotImplementedError

    def get(self, key: Key, default: Any = None) -> Any:
        """The object under `key`, or `default`."""
        try:
            return self[key]
        except KeyError:
            return default

    def array(self, key: Key) -> Array:
        """The object under `key` as a numpy array over the file; of no dimensions where it is no array. Bit-fields are left out."""
        place = self._found(key)
        return place.array(known_face(place.layout, place.shape is not None))

    def load(self, key: Key, cls: Any = None) -> Any:
        """A detached copy of the object under `key`, of one moment; as a `cls` if that is given. Works in forked children, too."""
        copy = self._load(key)
        if copy is None:
            raise KeyError(key)
        return self._detached(key, copy, cls)

    def _detached(self, key: Key, copy: tuple[int, list[int] | None, bytearray], cls: Any = None) -> Any:
        number, shape, data = copy
        place = self._place(data, 0, len(data), number, shape)
        return place.made() if cls is None else place.typed(key, cls)

    def create(self, key: Key, cls: type[_T], /, *args: Any, **fields: Any) -> _T:
        """Makes a `cls`, filled with these fields, under a key that has nothing, and gives its live view.

        Raises `FileExistsError` where there is something.
        """
        value: Any = cls(*args, **fields)
        kind, buffer = _layouts.of_value(value)
        if not self._put(key, kind.described, buffer, absent=True):
            raise FileExistsError(f"object {key!r} exists already")
        remember(kind)
        return self.view(key, cls)

    def require(self, key: Key, cls: type[_T], /, *args: Any, **fields: Any) -> _T:
        """The `cls` under `key`, made with these fields where there is nothing."""
        while True:
            try:
                return self.view(key, cls)
            except KeyError:
                pass
            try:
                return self.create(key, cls, *args, **fields)
            except FileExistsError:
                continue

    def create_array(
        self, key: Key, dtype: Any, shape: int | Iterable[int], *, sparse: bool | None = None
    ) -> Array:
        """Makes an array of zeroes under a key that has nothing, and gives it as a live numpy array.

        `sparse=True`: a file of its own, which takes disk space only where it is touched (on a full disk, touching a new page then ends the
        process); `False`: backed by disk space from the start; `None`: sparse above 64 MiB. Raises `FileExistsError` where there is something.
        """
        described, face = self._array_kind(dtype, shape)
        loan = self._loan(key, described, sparse)
        if not loan.publish_new():
            raise FileExistsError(f"object {key!r} exists already")
        place = self._found(key)
        return place.array(face)

    @staticmethod
    def _array_kind(dtype: Any, shape: int | Iterable[int]) -> tuple[_native.Described, Any]:
        kind = kind_of(dtype)
        outer = (shape,) if isinstance(shape, int) else tuple(int(length) for length in shape)
        described = _native.Described(kind.layout, [*outer, *(kind.shape or ())])
        if not is_class(dtype):
            remember(kind._replace(shape=outer))
        return described, kind.face

    @contextmanager
    def loan(self, key: Key, cls: Any, *, sparse: bool | None = None) -> Iterator[Any]:
        """Lends a zeroed `cls` (a ctypes class or numpy dtype), to be filled in the ``with`` block and published at its end.

        With an exception it is dropped. What was lent is not the object afterwards: get that by its key.
        """
        kind = kind_of(cls)
        with self._lent(key, kind.described, kind.layout, kind.shape, sparse) as place:
            remember(kind)
            yield place.as_class(cls) if is_class(cls) else place.array(kind.face)

    @contextmanager
    def loan_array(
        self, key: Key, dtype: Any, shape: int | Iterable[int], *, sparse: bool | None = None
    ) -> Iterator[Array]:
        """Lends a zeroed array in the same way; `sparse` as in `create_array`."""
        described, face = self._array_kind(dtype, shape)
        kind = kind_of(dtype)
        outer = (shape,) if isinstance(shape, int) else tuple(shape)
        with self._lent(key, described, kind.layout, (*outer, *(kind.shape or ())), sparse) as place:
            yield place.array(face)

    @contextmanager
    def _lent(
        self,
        key: Key,
        described: _native.Described,
        layout: _native.Layout,
        shape: tuple[int, ...] | None,
        sparse: bool | None,
    ) -> Iterator[Place]:
        loan = self._loan(key, described, sparse)
        yield Place(loan, 0, loan.bytes, layout, None if shape is None else list(shape))
        loan.publish()

    # The ways of a mapping.

    @overload  # type: ignore[override]
    def update(self, key: Key, /) -> AbstractContextManager[Any]: ...
    @overload
    def update(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ..., /, **named: Any) -> None: ...
    def update(self, other: Any = (), /, **named: Any) -> AbstractContextManager[Any] | None:
        """With a key, ``with store.update(key) as obj``: changes the object in place, alone with it and as a whole; not with an exception.

        With a mapping or pairs: puts all of them, as one batch.
        """
        if isinstance(other, str | bytes):
            if named:
                raise TypeError("update() takes a key, or what to put")
            return self._update(other)
        with self.batch() as batch:
            pairs = other.items() if isinstance(other, Mapping) else other
            for key, value in pairs:
                batch[key] = value
            for key, value in named.items():
                batch[key] = value
        return None

    @contextmanager
    def _update(self, key: Key) -> Iterator[Any]:
        begun = self._begin_update(key)
        if begun is None:
            raise KeyError(key)
        memory, number, shape = begun
        try:
            yield self._place(memory, 0, memory.bytes, number, shape).made()
        except BaseException:
            memory.cancel()
            raise
        memory.commit()

    def pop(self, key: Key, default: Any = _MISSING) -> Any:
        """Removes the object under `key` and gives a detached copy of it."""
        copy = self._take(key)
        if copy is not None:
            return self._detached(key, copy)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Removes the first object in the order of keys; its key, and a detached copy."""
        for key in self:
            copy = self._take(key)
            if copy is not None:
                return key, self._detached(key, copy)
        raise KeyError("the store is empty")

    def setdefault(self, key: Key, default: Any = None) -> Any:
        """The live view of the object under `key`, where `default` is put if there is none."""
        while True:
            try:
                return self[key]
            except KeyError:
                kind, buffer = _layouts.of_value(default)
                self._put(key, kind.described, buffer, absent=True)
                remember(kind)

    def clear(self) -> None:
        """Removes everything, as one batch."""
        self._commit([(key, None, b"") for key in self])

    def batch(self) -> Batch:
        """Changes that take place all or not at all: ``with store.batch() as b: b["k"] = value``."""
        self._check_open()
        return Batch(self)

    def put_many(self, keys: Iterable[Key], values: Any) -> None:
        """Puts the items of a sequence, or of a numpy array of one dimension, under these keys. Each by itself, not as one batch."""
        keys = list(keys)
        if len(keys) != len(values):
            raise ValueError(f"{len(keys)} keys and {len(values)} values")
        if not hasattr(values, "__array_interface__"):
            for key, value in zip(keys, values, strict=True):
                self[key] = value
        elif keys:
            kind = _layouts.of_dtype(values.dtype, tuple(values.shape[1:]) or None)
            _, buffer = _layouts.of_value(values)
            self._put_items(keys, kind.described, buffer, values.nbytes // len(values))
            remember(kind)

    def load_many(self, keys: Iterable[Key], cls: Any = None) -> Any:
        """Detached copies of the objects under these keys: a list, or with a numpy dtype an array. Raises `KeyError` for a missing one."""
        if cls is None or is_class(cls):
            return [self.load(key, cls) for key in keys]
        import numpy as np

        dtype = np.dtype(cls)
        loaded = [self.load(key, dtype) for key in keys]
        return np.array(loaded, dtype) if loaded else np.empty(0, dtype)

    # In order.

    def keys(self, prefix: Key | None = None, start: Key | None = None, stop: Key | None = None) -> Keys:
        """The keys, in order; those that begin with `prefix`, from `start`, up to but not including `stop`."""
        self._check_open()
        return Keys(Range(self, start, stop, prefix))

    def values(self, prefix: Key | None = None, start: Key | None = None, stop: Key | None = None) -> Values:
        """Live views of the objects, in the order of their keys."""
        self._check_open()
        return Values(Range(self, start, stop, prefix))

    def items(self, prefix: Key | None = None, start: Key | None = None, stop: Key | None = None) -> Items:
        """Keys and live views of the objects, in the order of the keys."""
        self._check_open()
        return Items(Range(self, start, stop, prefix))

    def range(
        self, start: Key | None = None, stop: Key | None = None, *, reverse: bool = False
    ) -> Iterator[Any]:
        """Keys and objects from `start` up to but not including `stop`."""
        self._check_open()
        return Range(self, start, stop).items(reverse)

    def prefix(self, prefix: Key, *, reverse: bool = False) -> Iterator[Any]:
        """Keys and objects whose keys begin with `prefix`."""
        self._check_open()
        return Range(self, prefix=prefix).items(reverse)

    # The store.

    def _check_open(self) -> None:
        if self._closed:
            raise Closed("the store is closed")

    @property
    def path(self) -> str:
        """Where the store is."""
        return os.fspath(self._path)

    @property
    def mode(self) -> Mode:
        """How it was opened."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def sync(self) -> None:
        """Makes everything before this call durable: a power cut takes the store back to its last sync."""
        self._sync()

    def check(self) -> list[str]:
        """Looks at everything; what is damaged, a line each."""
        return self._check()

    def compact(self, fill_ratio: float | None = None) -> dict[str, Any]:
        """Moves what is current out of chunks of which less than `fill_ratio` (default: half) is, and gives their space back.

        Chunks with objects that Python still refers to stay as they are.
        """
        return self._compact(fill_ratio)

    def copy_to(self, path: str | os.PathLike[str]) -> int:
        """Copies the store, which may be in use meanwhile, to a new place; how many objects the copy has."""
        return self._copy_to(path)

    def types(self) -> list[_native.Layout]:
        """The types that objects of this store have or had."""
        return self._types()

    def class_of(self, key: Key) -> Any:
        """A ctypes class made from the layout that is stored with the object under `key`."""
        place = self._found(key)
        return _rebuild.array_class(place.layout, place.shape or ())

    def stats(self) -> dict[str, int]:
        """Sizes and counts, in bytes."""
        return self._stats()

    def close(self) -> None:
        """Syncs and ends all access. Objects that were taken before stay readable, and keep other writers out as long as they live."""
        if not self._closed:
            self._closed = True
            self._close()

    def __enter__(self) -> Self:
        self._check_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __reduce__(self) -> tuple[Any, ...]:
        # Whoever unpickles it finds the store that is there, and neither makes nor empties one.
        mode = "r" if self._mode == "r" else "r+"
        return open, (self.path, mode, self._keys_as)

    def __repr__(self) -> str:
        if self._closed:
            return f"<structchunk.Store {self.path!r}, closed>"
        return f"<structchunk.Store {self.path!r}, mode {self._mode!r}, {self._len()} objects>"

    _keys_as: Literal["str", "bytes"]


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
    if mode not in ("r", "r+", "a", "w", "x"):
        raise ValueError(f"mode {mode!r}: r, r+, a, w or x")
    if keys not in ("str", "bytes"):
        raise ValueError(f"keys {keys!r}: str or bytes")
    store = Store(
        os.fspath(path),
        create=mode in ("a", "w"),
        create_new=mode == "x",
        read_only=mode == "r",
        as_text=keys == "str",
        chunk_capacity=chunk_capacity,
        busy_timeout=busy_timeout,
        index=index,
    )
    store._mode, store._closed, store._keys_as = mode, False, keys
    if mode == "w":
        store.clear()
    return store
