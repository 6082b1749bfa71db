"""Many objects at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from . import _layouts, _native, _rebuild
from ._base import Base, Key
from ._objects import is_class, kind_of, remember

if TYPE_CHECKING:
    from ._base import Array


class Many(Base):
    """The part of a store that takes and gives many objects at once."""

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

    def column(self, cls: Any, field: str, keys: Iterable[Key] | None = None) -> Array:
        """One field of many objects of a class or dtype, as a numpy array: of those under `keys`, or of all, in the order of the keys.

        `field` is a path, as in ``"position"``, ``"position[0]"`` or ``"ends[1].x"``; what is an array becomes further dimensions: the shape is
        the number of objects, followed by the dimensions of the field. Each object is read as a whole at some moment. Raises `KeyError` for a
        missing key, `LayoutMismatch` for an object of another type.
        """
        import numpy as np

        layout, dimensions = kind_of(cls)[:2]
        if dimensions is not None:
            raise TypeError(f"{cls!r} is an array; a column is of objects that are none")
        listed = None if keys is None else list(keys)
        content, presentation, shape, count, data = self._column(layout, field, listed)
        left: tuple[int, ...]
        if isinstance(content, _native.Layout):
            dtype, left = _rebuild.dtype_of(content)[0], tuple(shape)
        else:
            text, left = _rebuild.number_dtype(content, presentation, tuple(shape))
            dtype = np.dtype(text)
        return np.frombuffer(data, np.uint8).view(dtype).reshape(count, *left)
