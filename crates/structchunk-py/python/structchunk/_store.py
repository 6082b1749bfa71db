"""The store as a mapping."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

from . import _layouts, _native, _rebuild
from ._base import AnyMode, Key, T
from ._batch import Batch
from ._fields import Fields
from ._html import show_html
from ._loans import Loans
from ._many import Many
from ._objects import Place, face_for, known_face, made_of, remember
from ._scans import Items, Keys, Range, Values
from ._table import Table

if TYPE_CHECKING:
    from ._base import Array, Dtype

_MISSING: Any = object()


@contextmanager
def _staged(
    memory: _native.Memory, number: int, layout: _native.Layout, shape: list[int] | None
) -> Iterator[Any]:
    """The object in a copy, which is written back at the end of the block; not with an exception."""
    try:
        yield Place(memory, 0, memory.bytes, number, layout, shape).made()
    except BaseException:
        memory.cancel()
        raise
    memory.commit()


class Store(Loans, Many, Fields, MutableMapping[Any, Any]):
    """An open store: a mapping from keys to objects whose memory is the file. Made by `structchunk.open` and `structchunk.attach`."""

    # Objects.

    def __delitem__(self, key: Key) -> None:
        """Removes the object under `key`; raises `KeyError` where there is none. Views of it stay readable."""
        if not self._remove(key):
            raise KeyError(key)

    def __len__(self) -> int:
        """How many objects there are."""
        self._check_open()
        return self._len()

    def __iter__(self) -> Iterator[Any]:
        """The keys, sorted by their bytes. What is there all the time is met once, whatever is changed meanwhile."""
        self._check_open()
        return Range(self).keys()

    def __reversed__(self) -> Iterator[Any]:
        """The keys, from the last one to the first."""
        self._check_open()
        return Range(self).keys(reverse=True)

    # Stores are equal when they are the same, whatever is in them.
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    def _get(self, key: Key) -> Any:
        if self._is_beside:
            return self._read(key)
        place = self._found(key)
        return self._noted(place, place.made())

    def _view(self, key: Key, cls: Any) -> Any:
        if self._is_beside:
            return self._read(key, cls)
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

        def __getitem__(self, key: Key, /) -> Any: ...

        @overload
        def view(self, key: Key, cls: type[T]) -> T: ...
        @overload
        def view(self, key: Key, cls: Dtype) -> Array: ...
        def view(self, key: Key, cls: Any) -> Any:
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

    @overload
    def create(self, key: Key, cls: type[T], /, *args: Any, **fields: Any) -> T: ...
    @overload
    def create(self, key: Key, cls: Dtype, /, *args: Any, **fields: Any) -> Array: ...
    def create(self, key: Key, cls: Any, /, *args: Any, **fields: Any) -> Any:
        """Makes a `cls`, filled with these fields, under a key that has nothing, and gives its live view.

        With a numpy dtype it is one such object, zero where no value is given: an array of no dimensions.
        Raises `FileExistsError` where there is something.
        """
        self._check_not_shared()
        value = made_of(cls, args, fields)
        kind, buffer = _layouts.of_value(value)
        if not self._put(key, kind.described, buffer, absent=True):
            raise FileExistsError(f"object {key!r} exists already")
        remember(kind)
        return self.view(key, cls)

    @overload
    def require(self, key: Key, cls: type[T], /, *args: Any, **fields: Any) -> T: ...
    @overload
    def require(self, key: Key, cls: Dtype, /, *args: Any, **fields: Any) -> Array: ...
    def require(self, key: Key, cls: Any, /, *args: Any, **fields: Any) -> Any:
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

    # The ways of a mapping.

    @overload  # type: ignore[override]
    def update(self, other: Key, /) -> AbstractContextManager[Any]: ...
    @overload
    def update(self, other: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ..., /, **named: Any) -> None: ...
    def update(self, other: Any = (), /, **named: Any) -> AbstractContextManager[Any] | None:
        """With a key, ``with store.update(key) as obj``: changes the object in place, alone with it and as a whole; not with an exception.

        Of a store whose objects several processes change (`structchunk.attach`), all of them: others wait, at most their busy timeout (`Busy`),
        and a process that dies in the block leaves the object `Torn`: see `mend`.

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
        begun = self._begin_update(key, False)
        if begun is None:
            raise KeyError(key)
        with _staged(*begun) as obj:
            yield obj

    @contextmanager
    def mend(self, key: Key) -> Iterator[Any]:
        """``with store.mend(key) as obj``: makes whole what a process that died in `update` has left half changed, and what is `Torn` since.

        `obj` is the object as it was left, some of its bytes old and some new; with an exception it stays `Torn`. It is ``None`` where nothing is to
        be mended, for example because another process has done it by now. ``store[key] = value`` of the writer mends, too.

        Raises `KeyError` where there is no object, `Busy` while another process changes it.
        """
        begun = self._begin_update(key, True)
        if begun is None:
            if key not in self:
                raise KeyError(key)
            yield None
            return
        with _staged(*begun) as obj:
            yield obj

    def pop(self, key: Key, default: Any = _MISSING) -> Any:
        """Removes the object under `key` and gives a detached copy of it; `default` where there is none, or `KeyError` without one."""
        found = self._peek(key)
        if found is not None:
            # What cannot be made into an object stays.
            Place(*found).made()
            copy = self._take(key)
            if copy is not None:
                return self._detached(key, copy)
        if default is _MISSING:
            raise KeyError(key)
        return default

    def popitem(self) -> tuple[Any, Any]:
        """Removes the first object in the order of keys; its key, and a detached copy."""
        for key in self:
            # (Somebody else may have taken it.)
            with suppress(KeyError):
                return key, self.pop(key)
        raise KeyError("the store is empty")

    def setdefault(self, key: Key, default: Any = None) -> Any:
        """The live view of the object under `key`, where `default` is put if there is none."""
        while True:
            try:
                return self[key]
            except KeyError:
                self._check_not_shared()
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
        """Keys and objects from `start` up to but not including `stop`, in the order of the keys. Raises `TypeError` for ends that are no keys."""
        self._check_open()
        return Range(self, start, stop).items(reverse)

    def prefix(self, prefix: Key, *, reverse: bool = False) -> Iterator[Any]:
        """Keys and objects whose keys begin with `prefix`."""
        self._check_open()
        return Range(self, prefix=prefix).items(reverse)

    def table(self, prefix: Key, cls: Any, key: Any = str) -> Table:
        """The objects under a prefix, as a mapping from keys of one type to objects of one class or dtype: the tables of Rust.

        `key` is ``str``, ``bytes``, ``bool``, ``"char"``, ``"S16"`` (so many bytes), an integer of so many bytes (``"u4"``, ``"i8"``, up to 16), or a tuple of
        these. Keys are encoded so that they have the order of their values. End every prefix with the same byte, such as ``/``.
        """
        self._check_open()
        return Table(self, prefix, cls, key)

    # The store.

    @property
    def path(self) -> str:
        """Where the store is."""
        return os.fspath(self._path)

    @property
    def mode(self) -> AnyMode:
        """How it was opened; ``"attached"``: by `structchunk.attach`."""
        return self._mode

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    def sync(self) -> None:
        """Makes everything before this call durable: a power cut takes the store back to its last sync."""
        self._sync()

    def check(self) -> list[str]:
        """Looks at everything; what is damaged, a line each. With mode ``r`` it keeps writers out meanwhile, and is `Locked` out by them."""
        return self._check()

    def compact(self, fill_ratio: float | None = None) -> dict[str, Any]:
        """Moves what is current out of chunks of which less than `fill_ratio` (default: half) is, and gives their space back.

        Chunks with objects that Python still refers to stay as they are. Dropped chunks take space as long as anything of the store is referred to:
        then see `release_dropped`.

        Gives a dictionary: ``moved_objects`` and ``moved_bytes``; ``dropped_chunks``, their numbers, and ``dropped_bytes``; ``left_chunks``, numbers
        and reasons of chunks that had to stay.

        Raises:
            NoSpace when there is no room to move objects to; ReadOnly, Poisoned, Closed; ValueError for a ratio that is none.
        """
        return self._compact(fill_ratio)

    def copy_to(self, path: str | os.PathLike[str]) -> int:
        """Copies the store, which may be in use meanwhile, to a new place; how many objects the copy has.

        Raises `FileExistsError` where something is at `path`, and `NoSpace` or another `OSError`, as the disk says.
        """
        return self._copy_to(path)

    def types(self) -> list[_native.Layout]:
        """The types that objects of this store have or had."""
        return self._types()

    def class_of(self, key: Key) -> Any:
        """A ctypes class made from the layout that is stored with the object under `key`."""
        place = self._peeked(key)
        return _rebuild.array_class(place.layout, place.shape or ())

    def stats(self) -> dict[str, int]:
        """Sizes, in bytes, and counts; of a store that others write, of several moments.

        ``objects``; ``sequence``, the number of the last change, which only the writer knows where there is one;
        ``chunks`` and ``chunk_capacity``; ``bodies``, objects with files of their own;
        ``live_bytes`` and ``dead_bytes`` of the chunks; ``bytes_apparent``, as long as the files are, and ``bytes_allocated``, what they take.
        """
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
        mode = self._mode if self._is_beside else "r+"
        from ._open import unpickled

        return partial(unpickled, **self._opened_with), (self.path, mode, self._keys_as)

    def _repr_html_(self) -> str:
        """For notebooks: what it is, and its first objects."""
        return show_html(self)

    def __repr__(self) -> str:
        if self._closed:
            return f"<structchunk.Store {self.path!r}, closed>"
        try:
            holds = f"{self._len()} objects"
        except OSError as refusal:
            # It was unpickled, and cannot be opened.
            holds = type(refusal).__name__
        return f"<structchunk.Store {self.path!r}, mode {self._mode!r}, {holds}>"
