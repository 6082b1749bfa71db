"""From stored layouts to ctypes classes and numpy dtypes, for those who have not seen the original.

Names come from a file and may be anything: they become names of attributes only when they can be typed in a program, and nothing is evaluated.
"""

from __future__ import annotations

import ctypes
from typing import TYPE_CHECKING, Any

from . import _layouts, _native

if TYPE_CHECKING:
    import numpy as np

_NUMBERS: dict[str, Any] = {
    "u1": ctypes.c_uint8,
    "u2": ctypes.c_uint16,
    "u4": ctypes.c_uint32,
    "u8": ctypes.c_uint64,
    "i1": ctypes.c_int8,
    "i2": ctypes.c_int16,
    "i4": ctypes.c_int32,
    "i8": ctypes.c_int64,
    # ctypes has no number of this kind: its bits.
    "f2": ctypes.c_uint16,
    "f4": ctypes.c_float,
    "f8": ctypes.c_double,
}


#: What was rebuilt, by all that a store records of the type.
_classes: dict[bytes, Any] = {}
_dtypes: dict[bytes, Any] = {}


def names_for(layout: _native.Layout) -> list[str]:
    """A name of an attribute for each field: its own where that is one, else ``f0``, ``f1`` and so on."""
    originals = [field[0] for field in layout.fields]
    taken: set[str] = set()
    names = []
    for index, name in enumerate(originals):
        fits = name.isidentifier() and not name.startswith("_") and name not in taken
        if not fits:
            name = f"f{index}"
            while name in taken or name in originals:
                name += "x"
        taken.add(name)
        names.append(name)
    return names


def number_class(code: str, presentation: str) -> Any:
    """The ctypes class of a number."""
    if presentation == "bool" and code == "u1":
        return ctypes.c_bool
    cls = _NUMBERS[code.lstrip(">")]
    return cls.__ctype_be__ if code.startswith(">") else cls


def _class_of(content: Any, shape: list[int], presentation: str) -> Any:
    """The ctypes class of a field."""
    if isinstance(content, _native.Layout):
        cls = struct_class(content)
    elif presentation == "text" and content == "u1" and shape:
        cls = ctypes.c_char
    else:
        cls = number_class(content, presentation)
    for length in reversed(shape):
        cls = cls * length
    return cls


def struct_class(layout: _native.Layout) -> Any:
    """A ctypes class with this layout: one for all that is of it, as layouts share the layouts of their fields and would unfold without end."""
    cls = _classes.get(layout.encoded)
    if cls is None:
        cls = _classes[layout.encoded] = _new_struct_class(layout)
    return cls


def _new_struct_class(layout: _native.Layout) -> Any:
    """A ctypes class with this layout.

    Any layout can be had as a union of structures, each with one field behind as many bytes as lie before it. Where fields follow each
    other, one structure does.
    """
    size = layout.size
    fields: list[Any] = []
    for name, (_, bit, content, shape, presentation, _) in zip(names_for(layout), layout.fields, strict=True):
        if isinstance(content, tuple):
            helper = _bits_class(size, name, bit, content, presentation)
            if helper is not None:
                fields.append((bit, None, name, helper))
        else:
            fields.append((bit, bit // 8, name, _class_of(content, shape, presentation)))
    body = _in_a_row(fields, size) or _on_top_of_each_other(fields, size)
    name = layout.name if layout.name.isidentifier() else "Struct"
    namespace = {
        **body,
        "__doc__": f"Rebuilt from the layout {layout.fingerprint} of a store.",
        "_names_": tuple(field[0] for field in layout.fields),
        "__module__": "structchunk.rebuilt",
    }
    base: Any = ctypes.Union if "_anonymous_" in body else ctypes.Structure
    cls = type(base)(name, (base,), namespace)
    # It says more fields than the layout has, and other names.
    _layouts.note_rebuilt(cls, layout)
    return cls


def _in_a_row(fields: list[Any], size: int) -> dict[str, Any] | None:
    """The fields of a structure, with what lies between them; ``None`` where some overlap, or are made of bits."""
    members: list[tuple[str, Any]] = []
    at = 0
    for index, (_, offset, name, cls) in enumerate(sorted(fields, key=lambda field: field[0])):
        if offset is None or offset < at:
            return None
        if offset > at:
            members.append((f"_gap{index}", ctypes.c_uint8 * (offset - at)))
        members.append((name, cls))
        at = offset + ctypes.sizeof(cls)
    if size > at:
        members.append(("_gap", ctypes.c_uint8 * (size - at)))
    return {"_pack_": 1, "_fields_": members}


def _on_top_of_each_other(fields: list[Any], size: int) -> dict[str, Any]:
    members: list[tuple[str, Any]] = [("_bytes", ctypes.c_uint8 * size)]
    for index, (_, offset, name, cls) in enumerate(fields):
        if offset is not None:
            before = [("_gap", ctypes.c_uint8 * offset)] if offset else []
            inner = {"_pack_": 1, "_fields_": [*before, (name, cls)]}
            base: Any = ctypes.Structure
            cls = type(base)("_Member", (base,), inner)
        members.append((f"_at{index}", cls))
    anonymous = tuple(name for name, _ in members[1:])
    return {"_pack_": 1, "_anonymous_": anonymous, "_fields_": members}


def _bits_class(size: int, name: str, bit: int, content: tuple[int, bool, bool], presentation: str) -> Any:
    """A structure with one bit-field at this bit; ``None`` where ctypes has none."""
    width, signed, big = content
    letter = "i" if signed else "u"
    for unit in (1, 2, 4, 8):
        for start in range(max(0, (bit + width + 7) // 8 - unit), bit // 8 + 1):
            skip = bit - 8 * start
            if start + unit <= size and skip + width <= 8 * unit:
                cls = _NUMBERS[f"{letter}{unit}"]
                before: list[Any] = [("_gap", ctypes.c_uint8 * start)] if start else []
                if skip:
                    before.append(("_skip", cls, skip))
                base: Any = ctypes.BigEndianStructure if big else ctypes.Structure
                inner = {"_pack_": 1, "_fields_": [*before, (name, cls, width)]}
                return type(base)("_Bits", (base,), inner)
    return None


def array_class(layout: _native.Layout, shape: tuple[int, ...]) -> Any:
    """The ctypes class of an array, or of one element."""
    code = layout.code
    cls: Any
    if code is None:
        cls = struct_class(layout)
    elif layout.presentation == "text" and code == "u1" and shape:
        cls = ctypes.c_char
    else:
        cls = number_class(code, layout.presentation)
    for length in reversed(shape):
        cls = cls * length
    return cls


def number_dtype(code: str, presentation: str, shape: tuple[int, ...]) -> tuple[Any, tuple[int, ...]]:
    """The dtype of numbers shown in this way, and the dimensions that it leaves."""
    order = ">" if code.startswith(">") else "<"
    kind, width = code.lstrip(">")[0], int(code[-1])
    what, _, unit = presentation.partition(":")
    if what == "text" and shape:
        return f"{order}{'S' if width == 1 else 'U'}{shape[-1]}", shape[:-1]
    if what == "complex" and kind == "f" and width >= 4 and shape and shape[-1] == 2:
        return f"{order}c{2 * width}", shape[:-1]
    if what == "bool" and code == "u1":
        return "?", shape
    if what in ("instant", "duration") and code.endswith("i8"):
        return f"{order}{'M' if what == 'instant' else 'm'}8[{unit}]", shape
    return f"{order}{kind}{width}", shape


def dtype_of(layout: _native.Layout, shape: tuple[int, ...] = ()) -> tuple[np.dtype[Any], tuple[int, ...]]:
    """A dtype for the elements of such an array, and the dimensions that it leaves. Bit-fields are left out: numpy has none."""
    import numpy as np

    if layout.code is not None:
        text, left = number_dtype(layout.code, layout.presentation, shape)
        return np.dtype(text), left
    dtype = _dtypes.get(layout.encoded)
    if dtype is None:
        dtype = _dtypes[layout.encoded] = _new_dtype(layout)
    return dtype, shape


def _new_dtype(layout: _native.Layout) -> np.dtype[Any]:
    import numpy as np

    names, formats, offsets = [], [], []
    unique: set[str] = set()
    for alias, (original, bit, content, inner, presentation, _) in zip(
        names_for(layout), layout.fields, strict=True
    ):
        if isinstance(content, tuple):
            continue
        # numpy takes any text for a name, but no name twice.
        name = alias if original in unique or not original else original
        unique.add(name)
        names.append(name)
        if isinstance(content, _native.Layout):
            formats.append(np.dtype((dtype_of(content)[0], tuple(inner))))
        else:
            text, left = number_dtype(content, presentation, tuple(inner))
            formats.append(np.dtype((text, left)))
        offsets.append(bit // 8)
    says: Any = {"names": names, "formats": formats, "offsets": offsets, "itemsize": layout.size}
    made: np.dtype[Any] = np.dtype(says)
    return made
