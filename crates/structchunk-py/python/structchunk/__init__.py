"""ctypes and numpy objects that live in memory-mapped files, found by key.

    >>> class Point(ctypes.Structure):
    ...     _fields_ = [("x", ctypes.c_double), ("y", ctypes.c_double)]
    >>> with structchunk.open("points.store", "a") as store:
    ...     store.require("home", Point).x += 1.5      # one store instruction: the object is the file

See `open`, `attach` and `Store`.
"""

from ._batch import Batch
from ._classes import Array, Object
from ._errors import (
    Busy,
    Closed,
    CorruptError,
    Error,
    Forked,
    LayoutMismatch,
    Locked,
    NoSpace,
    NotAStore,
    NoWriter,
    Poisoned,
    ReadOnly,
    Recovering,
    Torn,
    Unsupported,
)
from ._native import Atomic, Layout, explain_bus_errors
from ._objects import is_live
from ._open import attach, open
from ._rings import Ring
from ._store import Store
from ._table import Table

__all__ = [
    "Array",
    "Atomic",
    "Batch",
    "Busy",
    "Closed",
    "CorruptError",
    "Error",
    "Forked",
    "Layout",
    "LayoutMismatch",
    "Locked",
    "NoSpace",
    "NoWriter",
    "NotAStore",
    "Object",
    "Poisoned",
    "ReadOnly",
    "Recovering",
    "Ring",
    "Store",
    "Table",
    "Torn",
    "Unsupported",
    "attach",
    "explain_bus_errors",
    "is_live",
    "layout_of",
    "open",
]


def layout_of(cls: object) -> Layout:
    """The layout of a ctypes class or numpy dtype (of an array's elements); raises `TypeError` with the field that cannot be stored."""
    from ._objects import kind_of

    return kind_of(cls).layout
