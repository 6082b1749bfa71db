"""Many objects at once."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import _layouts
from ._base import Base, Key
from ._objects import is_class, remember


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
