"""Python objects over the memory of a store: which class serves which type, and how an object is made."""

from __future__ import annotations

import ctypes
import math
import sys
import weakref
from typing import TYPE_CHECKING, Any

from . import _layouts, _native, _rebuild
from ._classes import times
from ._errors import CorruptError, LayoutMismatch

if TYPE_CHECKING:
    import numpy as np

#: The class or dtype that was used last for a type, arrays and single objects apart. (Types that differ in what people are shown, say
#: pairs of numbers and complex ones, have classes of their own.)
_faces: dict[tuple[bytes, bool], Any] = {}


def remember(kind: _layouts.Kind) -> None:
    """This class or dtype serves its type from now on."""
    if kind.face is None:
        return
    key = (kind.layout.encoded, kind.shape is not None)
    known = _faces.get(key)
    # (A dtype is made anew all the time; a class is what it is. To compare the one with the other numpy would make a dtype of a class.)
    same = known is kind.face or (
        not isinstance(known, type) and not isinstance(kind.face, type) and known == kind.face
    )
    if not same:
        _faces[key] = kind.face
        _native.classes_changed()


def known_face(layout: _native.Layout, is_array: bool) -> Any:
    """The class or dtype that serves a type, if this process has seen one."""
    return _faces.get((layout.encoded, is_array))


def face_for(layout: _native.Layout, is_array: bool) -> Any:
    """The class or dtype that serves a type; rebuilt from the layout when this process has not seen one."""
    key = (layout.encoded, is_array)
    face = _faces.get(key)
    if face is None:
        if is_array and _has_numpy():
            # Of an array of text the dimensions say which dtype it is.
            return None
        face = _faces[key] = _rebuild.array_class(layout, ())
    return face


def _has_numpy() -> bool:
    if "numpy" not in sys.modules:
        try:
            import numpy  # noqa: F401
        except ImportError:
            return False
    return True


def is_class(cls: Any) -> bool:
    """Whether this is a ctypes class."""
    return isinstance(cls, type) and issubclass(cls, _layouts.CData)


def kind_of(cls: Any) -> _layouts.Kind:
    """What a ctypes class, or something that numpy takes for a dtype, says an object is."""
    if is_class(cls):
        return _layouts.of_class(cls)
    import numpy as np

    return _layouts.of_dtype(np.dtype(cls), None)


def made_of(cls: Any, args: tuple[Any, ...], fields: dict[str, Any]) -> Any:
    """An object of a class; of a dtype a numpy array of no dimensions."""
    if isinstance(cls, type):
        return cls(*args, **fields)
    import numpy as np

    dtype = np.dtype(cls)
    if len(args) > 1:
        raise TypeError(f"an object of {dtype} is made of one value, or of fields, not of {len(args)} values")
    made = np.zeros((), dtype)
    for value in args:
        made[...] = value
    for name, value in fields.items():
        made[name] = value
    return made


class Place:
    """Bytes with what they are: of a store, of a loan, or detached."""

    __slots__ = ("bytes", "layout", "memory", "number", "offset", "shape", "writable")

    def __init__(
        self,
        memory: Any,
        offset: int,
        size: int,
        number: int,
        layout: _native.Layout,
        shape: list[int] | None,
    ) -> None:
        self.memory = memory
        self.offset = offset
        self.bytes = size
        self.layout = layout
        #: Of the type, in the store that the bytes are of.
        self.number = number
        self.shape = None if shape is None else tuple(shape)
        #: ctypes has no read-only objects: where memory may not be written to, they are copies.
        self.writable = (
            not memory.readonly if isinstance(memory, memoryview) else getattr(memory, "writable", True)
        )

    def made(self) -> Any:
        """The object, as what serves its type."""
        face = face_for(self.layout, self.shape is not None)
        if is_class(face):
            cls = face
            for length in reversed(self.shape or ()):
                cls = times(cls, length)
            # (A class that serves the elements of an array may be one itself.)
            if ctypes.sizeof(cls) == self.bytes:
                return self.as_class(cls)
        return self.array(face)

    def typed(self, key: Any, cls: Any) -> Any:
        """The object as a ``cls``, if it is one."""
        if is_class(cls):
            kind = _layouts.of_class(cls)
            kind.described.check(key, self.layout, self.shape, self.bytes)
            remember(kind)
            return self.as_class(cls)
        import numpy as np

        dtype = np.dtype(cls)
        kind = _layouts.of_dtype(dtype, None)
        wanted = None if self.shape is None else list(self.shape)
        _native.Described(kind.layout, wanted).check(key, self.layout, self.shape, self.bytes)
        remember(kind._replace(shape=self.shape))
        inner = kind.shape or ()
        if inner and (self.shape or ())[-len(inner) :] != inner:
            raise LayoutMismatch(
                f"object {key!r}: stored with shape {self.shape}, which does not end in {inner}"
            )
        return self.array(dtype)

    def as_class(self, cls: Any) -> Any:
        """An instance of a ctypes class."""
        # Those of the metaclass: a field may have such a name.
        meta = type(cls)
        make = meta.from_buffer if self.writable else meta.from_buffer_copy
        made = make(cls, self.memory, self.offset)
        if isinstance(self.memory, _native.Memory) and self.writable:
            watch(made)
        return made

    def array(self, face: Any = None) -> np.ndarray[Any, np.dtype[Any]]:
        """A numpy array; of no dimensions for what is no array."""
        import numpy as np

        shape = self.shape or ()
        if isinstance(face, np.dtype):
            inner = _layouts.inner_shape(face)
            if not inner or shape[-len(inner) :] == inner:
                shape = shape[: len(shape) - len(inner)]
                return self._shaped(shape, face)
        dtype, shape = _rebuild.dtype_of(self.layout, shape)
        return self._shaped(shape, dtype)

    def _shaped(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]]:
        import numpy as np

        # numpy knows where the memory ends, which is that of many objects, not where this one does.
        if math.prod(shape) * dtype.itemsize != self.bytes:
            raise CorruptError(f"an object of {self.bytes} bytes says that it is {dtype} of shape {shape}")
        if isinstance(self.memory, _native.Memory):
            memory: Any = self.memory
            return np.ndarray(shape, dtype, memory, self.offset)
        # (An array made as above does not keep memory of Python from being resized.)
        flat = np.frombuffer(self.memory, dtype, math.prod(shape), self.offset)
        return flat.reshape((*shape, *dtype.shape))


def is_same(one: Any, other: Any) -> bool:
    """Whether two values are the same object, or equal. Objects of ctypes are only ever the same: of one class, and in one place."""
    if is_class(type(one)) and type(one) is type(other):
        return bool(ctypes.addressof(one) == ctypes.addressof(other))
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(one, numpy.ndarray):
        # (A dtype with fields is compared with others of its kind only.)
        alike = isinstance(other, numpy.ndarray | numpy.generic) and (
            one.dtype == other.dtype or one.dtype.names is other.dtype.names is None
        )
        return alike and bool(numpy.array_equal(one, other))
    return bool(one == other)


def is_live(obj: Any) -> bool:
    """Whether an object is still what the store has under its key.

    Also for parts of it. False for copies, and for objects that were replaced or removed: those stay readable, and writes to them go nowhere.
    """
    chain: list[Any] = []
    memory = obj
    while memory is not None and not isinstance(memory, _native.Memory):
        chain.append(memory)
        memory = _below(memory)
    if memory is None:
        return False
    objects = [one for one in chain if is_class(type(one))]
    # What ctypes objects are items of is no object, but as large as a chunk.
    places = [
        ctypes.addressof(one)
        for one in objects
        if len(objects) == 1 or memory.is_one or 4 * ctypes.sizeof(one) < memory.bytes
    ]
    places += [one.__array_interface__["data"][0] for one in chain if hasattr(one, "__array_interface__")]
    offsets = [memory.offset_of(place) for place in places]
    return any(offset is not None and memory.is_current(offset) for offset in offsets)


def _below(obj: Any) -> Any:
    """What an object is a part of, or has its memory from; `None`: its own."""
    if is_class(type(obj)):
        if obj._b_base_ is not None:
            return obj._b_base_
        kept = obj._objects
        # (What has no fields keeps one thing only.)
        values = kept.values() if isinstance(kept, dict) else (kept,)
        return next((value for value in values if isinstance(value, memoryview)), None)
    if isinstance(obj, memoryview):
        return obj.obj
    numpy = sys.modules.get("numpy")
    return obj.base if numpy is not None and isinstance(obj, numpy.ndarray) else None


class _Note(weakref.ref[Any]):
    """Of an object over the memory of a store, with what ctypes has noted for it."""

    kept: dict[Any, Any]


#: The notes of all objects that are alive.
_notes: dict[int, _Note] = {}


def watch(obj: Any) -> None:
    """Sees to it that an object made by ``from_buffer`` lets go of its memory when it goes.

    When a struct or array is assigned to a field, ctypes notes in the object what the assigned one keeps alive, in case there are pointers in
    it. Between objects of a store, which have none, that is a dictionary in itself, which would keep the store until the next collection
    of garbage.
    """
    kept = obj._objects
    if isinstance(kept, dict):
        try:
            note = _Note(obj, _forget)
        except TypeError:
            # Its class has slots, and none for references like this: then it waits for the garbage.
            return
        note.kept = kept
        _notes[id(note)] = note


def _forget(note: _Note) -> None:
    note.kept.clear()
    _notes.pop(id(note), None)
