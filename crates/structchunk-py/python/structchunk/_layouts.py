"""From ctypes classes and numpy dtypes to layouts.

Read from the descriptors of the class, over its whole MRO: ``_fields_`` of a subclass holds only its own, and the format strings of PEP 3118
drop padding, unions and the widths of bit-fields.
"""

from __future__ import annotations

import ctypes
import sys
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from . import _native

if TYPE_CHECKING:
    import numpy as np

#: What ctypes classes have in common.
CData: type = ctypes.Structure.__mro__[1]
_Simple: type = ctypes.c_int.__mro__[1]
_Pointer: type = ctypes.POINTER(ctypes.c_int).__mro__[1]
_Function: type = ctypes.CFUNCTYPE(None).__mro__[1]

Field = tuple[str, int, Any, list[int], str, "str | None"]


class Kind(NamedTuple):
    """What a class or dtype says an object is."""

    #: The layout of the object, or of the elements of an array.
    layout: _native.Layout
    #: The dimensions of an array; ``None``: no array. For a dtype those that its elements have by themselves.
    shape: tuple[int, ...] | None
    #: What is stored.
    described: _native.Described
    #: The ctypes class of the elements, or the dtype.
    face: Any


class _Element(NamedTuple):
    code: Any
    shape: tuple[int, ...]
    presentation: str


_layouts: WeakKeyDictionary[type, _native.Layout] = WeakKeyDictionary()
#: All of a kind but its face: that would keep the class.
_kinds: WeakKeyDictionary[type, tuple[_native.Layout, tuple[int, ...] | None, _native.Described]] = (
    WeakKeyDictionary()
)

_SIGNED, _UNSIGNED, _FLOATS = "bhilqn", "BHILQN", "fd"
_REFUSED = {
    "P": "c_void_p points elsewhere",
    "z": "c_char_p points elsewhere",
    "Z": "c_wchar_p points elsewhere",
    "O": "py_object points elsewhere",
    "g": "c_longdouble differs between machines",
}


def _refuse(path: str, reason: str) -> TypeError:
    return TypeError(f"{path} cannot be stored: {reason}")


def _simple(cls: Any, path: str) -> _Element:
    """The kind of number that a simple ctypes class is."""
    code: str = cls._type_
    size = ctypes.sizeof(cls)
    swapped = "__ctype_be__" if sys.byteorder == "little" else "__ctype_le__"
    order = ">" if size > 1 and getattr(cls, swapped, None) is cls else ""
    if code in _REFUSED:
        raise _refuse(path, _REFUSED[code])
    if code in _SIGNED:
        return _Element(f"{order}i{size}", (), "number")
    if code in _UNSIGNED:
        return _Element(f"{order}u{size}", (), "number")
    if code in _FLOATS:
        return _Element(f"{order}f{size}", (), "number")
    if code == "?":
        return _Element("u1", (), "bool")
    if code == "c":
        return _Element("u1", (), "text")
    if code == "u":
        return _Element(f"u{size}", (), "text")
    raise _refuse(path, f"{cls.__name__} is no number that this version knows")


def _element(cls: Any, path: str) -> _Element:
    """What the elements of a class are, and the dimensions of the class."""
    shape: list[int] = []
    while isinstance(cls, type) and issubclass(cls, ctypes.Array):
        array: Any = cls
        if array._length_ == 0:
            raise _refuse(path, "an array without elements has no bytes")
        shape.append(array._length_)
        cls = array._type_
    if not (isinstance(cls, type) and issubclass(cls, CData)):
        raise _refuse(path, f"{cls!r} is no ctypes class")
    if issubclass(cls, _Pointer):
        raise _refuse(path, "a pointer points elsewhere")
    if issubclass(cls, _Function):
        raise _refuse(path, "a function pointer points elsewhere")
    if issubclass(cls, _Simple):
        code, _, presentation = _simple(cls, path)
        # A single character is a number.
        return _Element(
            code, tuple(shape), "number" if presentation == "text" and not shape else presentation
        )
    return _Element(struct_layout(cls, path), tuple(shape), "number")


def struct_layout(cls: Any, path: str = "") -> _native.Layout:
    """The layout of a Structure or Union."""
    known = _layouts.get(cls)
    if known is None:
        path = path or cls.__name__
        fields = _fields(cls, 0, path, None)
        if ctypes.sizeof(cls) == 0:
            raise _refuse(path, "it has no bytes")
        known = _native.Layout(cls.__name__, ctypes.sizeof(cls), ctypes.alignment(cls), fields)
        _layouts[cls] = known
    return known


def note_rebuilt(cls: type, layout: _native.Layout) -> None:
    """Takes note of the layout that a class was made from."""
    _layouts[cls] = layout


def _fields(cls: Any, base: int, path: str, group: str | None) -> list[Field]:
    """The fields of a class, those of anonymous members among them."""
    found: list[Field] = []
    big = issubclass(cls, ctypes.BigEndianStructure | ctypes.BigEndianUnion) == (sys.byteorder == "little")
    for owner in reversed(cls.__mro__):
        anonymous = owner.__dict__.get("_anonymous_", ())
        for name, kind, *bits in owner.__dict__.get("_fields_", ()):
            descriptor = owner.__dict__[name]
            offset, inner = base + descriptor.offset, f"{path}.{name}"
            if bits:
                code, _, presentation = _element(kind, inner)
                low, width = descriptor.size & 0xFFFF, descriptor.size >> 16
                # ctypes counts from the lowest bit of the number; big-endian ones have their highest bit first.
                first = 8 * ctypes.sizeof(kind) - low - width if big else low
                content = (width, code.lstrip(">").startswith("i"), big)
                found.append((name, 8 * offset + first, content, [], presentation, group))
            elif name in anonymous:
                found += _fields(kind, offset, inner, group or name)
            else:
                code, shape, presentation = _element(kind, inner)
                found.append((name, 8 * offset, code, list(shape), presentation, group))
    return found


def _scalar(code: str, presentation: str) -> _native.Layout:
    name = "bool" if presentation == "bool" else code
    return _native.Layout.scalar(name, code, presentation)


def of_class(cls: Any) -> Kind:
    """What a ctypes class says its instances are."""
    known = _kinds.get(cls)
    if known is None:
        code, shape, presentation = _element(cls, getattr(cls, "__name__", repr(cls)))
        layout = _scalar(code, presentation) if isinstance(code, str) else code
        outer = shape if issubclass(cls, ctypes.Array) else None
        described = _native.Described(layout, None if outer is None else list(outer))
        known = _kinds[cls] = layout, outer, described
    face = cls
    while issubclass(face, ctypes.Array):
        face = face._type_
    return Kind(*known, face)


def _dtype_element(dtype: np.dtype[Any], path: str) -> _Element:
    """What the elements of a dtype are, and the dimensions that it has by itself."""
    import numpy as np

    shape: list[int] = []
    while dtype.subdtype is not None:
        dtype, inner = dtype.subdtype
        shape += inner
    if dtype.itemsize == 0:
        raise _refuse(path, "it has no bytes")
    if dtype.fields is not None:
        return _Element(dtype_layout(dtype, path), tuple(shape), "number")
    kind, size = dtype.kind, dtype.itemsize
    order = ">" if dtype.byteorder == ">" or (dtype.byteorder == "=" and sys.byteorder == "big") else ""
    if kind in "iu":
        return _Element(f"{order if size > 1 else ''}{kind}{size}", tuple(shape), "number")
    if kind == "f" and size <= 8:
        return _Element(f"{order}f{size}", tuple(shape), "number")
    if kind == "c" and size <= 16:
        return _Element(f"{order}f{size // 2}", (*shape, 2), "complex")
    if kind == "b":
        return _Element("u1", tuple(shape), "bool")
    if kind == "S":
        return _Element("u1", (*shape, size), "text")
    if kind == "U":
        return _Element(f"{order}u4", (*shape, size // 4), "text")
    if kind == "V":
        return _Element("u1", (*shape, size), "number")
    if kind in "mM":
        unit, step = np.datetime_data(dtype)
        if unit == "generic":
            return _Element(f"{order}i8", tuple(shape), "number")
        what = "instant" if kind == "M" else "duration"
        # numpy and structchunk write microseconds alike: in ASCII.
        return _Element(f"{order}i8", tuple(shape), f"{what}:{step if step != 1 else ''}{unit}")
    if kind == "O":
        raise _refuse(path, "objects point elsewhere")
    raise _refuse(path, f"{dtype} is no number that this version knows")


def dtype_layout(dtype: np.dtype[Any], path: str = "") -> _native.Layout:
    """The layout of a structured dtype."""
    path = path or "dtype"
    fields: list[Field] = []
    says: Any = dtype.fields
    for name in dtype.names or ():
        field = says[name]
        code, shape, presentation = _dtype_element(field[0], f"{path}.{name}")
        fields.append((name, 8 * field[1], code, list(shape), presentation, None))
    align = dtype.alignment if dtype.isalignedstruct else 1
    return _native.Layout("record", dtype.itemsize, align, fields)


def of_dtype(dtype: np.dtype[Any], outer: tuple[int, ...] | None) -> Kind:
    """What an array of this dtype and these dimensions is; ``None``: a single element."""
    code, inner, presentation = _dtype_element(dtype, "dtype")
    layout = _scalar(code, presentation) if isinstance(code, str) else code
    shape = None if outer is None and not inner else (*(outer or ()), *inner)
    return Kind(layout, shape, _native.Described(layout, None if shape is None else list(shape)), dtype)


def inner_shape(dtype: np.dtype[Any]) -> tuple[int, ...]:
    """The dimensions that the elements of a dtype have by themselves."""
    return _dtype_element(dtype, "dtype").shape


_USE = {
    bool: "ctypes.c_bool(...)",
    int: "ctypes.c_int64(...)",
    float: "ctypes.c_double(...)",
    str: "value.encode()",
}


def of_value(value: Any) -> tuple[Kind, Any]:
    """What a value is, and its bytes as an object with a buffer."""
    if isinstance(value, CData):
        return of_class(type(value)), value
    if isinstance(value, bytes | bytearray):
        layout = _scalar("u1", "number")
        shape = (len(value),)
        return Kind(layout, shape, _native.Described(layout, [len(value)]), None), value
    numpy = sys.modules.get("numpy")
    # (A single structured value is a view of its array, and would go on to change.)
    if numpy is not None and isinstance(value, numpy.ndarray | numpy.generic):
        if isinstance(value, numpy.ma.MaskedArray):
            raise TypeError(
                "an array with a mask has no layout: store value.filled(), or value.data and value.mask"
            )
        array = numpy.asarray(value)
        kind = of_dtype(array.dtype, array.shape or None)
        if array.size == 0:
            raise ValueError("an array without elements has no bytes")
        return kind, numpy.ascontiguousarray(array).reshape(-1).view(numpy.uint8)
    use = next((use for kind, use in _USE.items() if isinstance(value, kind)), None)
    hint = f"; use {use}" if use else "; objects are ctypes instances, numpy arrays and scalars, and bytes"
    raise TypeError(f"{type(value).__name__} has no layout{hint}")
