"""Loans: memory that is filled in place before it is an object."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, SupportsIndex

from . import _native
from ._base import Base, Key
from ._objects import Place, is_class, kind_of, remember

if TYPE_CHECKING:
    from ._base import Array


def _dimensions(shape: Any) -> tuple[int, ...]:
    """The dimensions of an array, given as numpy takes them."""
    lengths = (shape,) if hasattr(shape, "__index__") and not getattr(shape, "shape", ()) else shape
    outer = tuple(operator.index(length) for length in lengths)
    if any(length < 0 for length in outer):
        raise ValueError(f"negative dimensions: {outer}")
    return outer


class Loans(Base):
    """The part of a store that lends memory."""

    def create_array(
        self,
        key: Key,
        dtype: Any,
        shape: SupportsIndex | Iterable[SupportsIndex],
        *,
        sparse: bool | None = None,
    ) -> Array:
        """Makes an array of zeroes under a key that has nothing, and gives it as a live numpy array.

        `sparse=True`: a file of its own, which takes disk space only where it is touched (on a full disk, touching a new page then ends the
        process); `False`: backed by disk space from the start; `None`: sparse above 64 MiB. Raises `FileExistsError` where there is something.
        """
        self._check_not_shared()
        described, face = self._array_kind(dtype, _dimensions(shape))
        loan = self._loan(key, described, sparse)
        if not loan.publish_new():
            raise FileExistsError(f"object {key!r} exists already")
        place = self._found(key)
        return place.array(face)

    @staticmethod
    def _array_kind(dtype: Any, outer: tuple[int, ...]) -> tuple[_native.Described, Any]:
        kind = kind_of(dtype)
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
        self,
        key: Key,
        dtype: Any,
        shape: SupportsIndex | Iterable[SupportsIndex],
        *,
        sparse: bool | None = None,
    ) -> Iterator[Array]:
        """Lends a zeroed array in the same way; `sparse` as in `create_array`."""
        outer = _dimensions(shape)
        described, face = self._array_kind(dtype, outer)
        kind = kind_of(dtype)
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
        yield Place(loan, 0, loan.bytes, 0, layout, None if shape is None else list(shape))
        loan.publish()
