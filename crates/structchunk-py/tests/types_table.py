"""The table of types, `golden/layouts.txt` of the library, as ctypes classes and numpy dtypes."""

from __future__ import annotations

from ctypes import (
    BigEndianStructure,
    Structure,
    Union,
    c_bool,
    c_char,
    c_double,
    c_float,
    c_int8,
    c_int16,
    c_int32,
    c_int64,
    c_size_t,
    c_ssize_t,
    c_uint8,
    c_uint16,
    c_uint32,
    c_uint64,
    c_wchar,
)
from typing import Any

import numpy as np

Fields = dict[str, Any]


def struct(
    title: str, base: Any = Structure, /, *, pack: int = 0, anonymous: tuple[str, ...] = (), **fields: Any
) -> Any:
    """A class with these fields; pairs are bit-fields."""
    body: dict[str, Any] = {"_pack_": pack} if pack else {}
    if anonymous:
        body["_anonymous_"] = anonymous
    body["_fields_"] = [
        (field, *(what if isinstance(what, tuple) else (what,))) for field, what in fields.items()
    ]
    return type(base)(title, (base,), body)


B, H, I, Q = c_uint8, c_uint16, c_uint32, c_uint64  # noqa: E741
b, h, i, q = c_int8, c_int16, c_int32, c_int64
f, d = c_float, c_double
Point = struct("Point", x=d, y=d)
SinglePoint = struct("SinglePoint", x=f, y=f)
Padded = struct("Padded", a=B, b=I, c=B, d=d)
Nested = struct("Nested", first=Point, second=SinglePoint)
_Id = struct("_Id", Union, point=Point, id=Q)

#: As they are in C.
CLASSES: dict[str, Any] = {
    "u1": B,
    "u2": H,
    "u4": I,
    "u8": Q,
    "i1": b,
    "i2": h,
    "i4": i,
    "i8": q,
    "f4": f,
    "f8": d,
    "bool": c_bool,
    ">u4": I.__ctype_be__,
    ">f8": d.__ctype_be__,
    "One": struct("One", x=B),
    "Unsigned": struct("Unsigned", a=Q, b=I, c=H, d=B, e=B),
    "Signed": struct("Signed", a=q, b=i, c=h, d=b, e=b),
    "PlatformIntegers": struct("PlatformIntegers", u=c_size_t, i=c_ssize_t),
    "Booleans": struct("Booleans", a=c_bool, b=c_bool * 3),
    "Point": Point,
    "SinglePoint": SinglePoint,
    "PointOfOtherNames": struct("PointOfOtherNames", x0=d, y0=d),
    "PointOtherWayRound": struct("PointOtherWayRound", y=d, x=d),
    "Particle": struct("Particle", position=d * 3, velocity=d * 3, charge=f, id=I),
    "Bytes": struct("Bytes", data=B * 10),
    "Name": struct("Name", name=c_char * 16),
    "Wide": struct("Wide", name=c_wchar * 10),
    "Matrix": struct("Matrix", m=d * 3 * 2),
    "Flat": struct("Flat", m=d * 6),
    "OneByOne": struct("OneByOne", m=d * 1 * 1),
    "Scalar64": struct("Scalar64", m=d),
    "FourDimensions": struct("FourDimensions", t=h * 2 * 3 * 4 * 5),
    "ComplexNumbers": struct("ComplexNumbers", z=d * 2, row=f * 2 * 4),
    "Times": struct("Times", at=q, lasting=q),
    "BigEndian": struct("BigEndian", BigEndianStructure, pack=1, a=H, b=I, c=Q, d=h, e=i, f=q, g=f, h=d),
    "LittleEndian": struct("LittleEndian", pack=1, a=H, b=I, c=Q, d=h, e=i, f=q, g=f, h=d),
    "PackedLikeC": struct("PackedLikeC", pack=1, tag=B, length=I, value=Q),
    "Padded": Padded,
    "PaddedAtTheEnd": struct("PaddedAtTheEnd", a=Q, b=B, _pad17=B * 7),
    "NotPadding": struct("NotPadding", a=Q, _padding=B * 8),
    "GapFilledByName": struct("GapFilledByName", a=B, b=B * 7, c=Q),
    "CacheLine": struct("CacheLine", x=Q, _pad=B * 56),
    "Nested": Nested,
    "NestedDeep": struct("NestedDeep", label=Q, nested=Nested, point=Point),
    "NestedArray": struct("NestedArray", points=Point * 3, grid=SinglePoint * 2 * 4),
    "NestedPadded": struct("NestedPadded", inner=Padded * 2),
    "Keyword": struct("Keyword", **{"type": I, "match": I}),
    "Unicode": struct("Unicode", **{"größe": d, "高さ": d}),
    "EightByteName": struct("EightByteName", exactly8=B, exactly_16_bytes=B),
    "ElfSymbol": struct("ElfSymbol", st_name=I, st_info=B, st_other=B, st_shndx=H, st_value=Q, st_size=Q),
    "UnionOfNumbers": struct("UnionOfNumbers", Union, f=d, i=q, bytes=B * 8, low=I),
    "UnionMember": struct("UnionMember", anonymous=("u",), tag=I, u=_Id),
    "BitFields": struct("BitFields", a=(I, 3), b=(i, 13), flag=(I, 1), rest=I),
    "BigEndianBitFields": struct("BigEndianBitFields", BigEndianStructure, a=(I, 3), b=(i, 13)),
    "UnalignedPacked": struct("UnalignedPacked", pack=1, a=B, b=d, c=I),
    "DeclaredBackwards": struct("DeclaredBackwards", first=q, second=q),
}


def record(size: int | None = None, /, **fields: Any) -> np.dtype[Any]:
    """A dtype with the alignment of C; pairs are a format and an offset."""
    if size is None:
        return np.dtype(list(fields.items()), align=True)
    says: Any = {
        "names": list(fields),
        "formats": [what[0] for what in fields.values()],
        "offsets": [what[1] for what in fields.values()],
        "itemsize": size,
    }
    return np.dtype(says)


POINT, SINGLE = record(x="f8", y="f8"), record(x="f4", y="f4")
PADDED, NESTED = record(a="u1", b="u4", c="u1", d="f8"), record(first=POINT, second=SINGLE)

DTYPES: dict[str, Any] = {
    **{
        code: np.dtype(code)
        for code in ["u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", ">u4", ">f8"]
    },
    "bool": np.dtype("?"),
    "One": record(x="u1"),
    "Unsigned": record(a="u8", b="u4", c="u2", d="u1", e="u1"),
    "Signed": record(a="i8", b="i4", c="i2", d="i1", e="i1"),
    "Floats": record(a="f8", b="f4", c="f2", d="f2"),
    "PlatformIntegers": record(u=np.uintp, i=np.intp),
    "Booleans": record(a="?", b=("?", (3,))),
    "Point": POINT,
    "SinglePoint": SINGLE,
    "PointOfOtherNames": record(x0="f8", y0="f8"),
    "PointOtherWayRound": record(y="f8", x="f8"),
    "Particle": record(position=("f8", (3,)), velocity=("f8", (3,)), charge="f4", id="u4"),
    "Bytes": record(data="V10"),
    "Name": record(name="S16"),
    "Wide": record(name="U10"),
    "Matrix": record(m=("f8", (2, 3))),
    "Flat": record(m=("f8", (6,))),
    "OneByOne": record(m=(np.dtype(("f8", (1,))), (1,))),
    "Scalar64": record(m="f8"),
    "FourDimensions": record(t=(np.dtype(("i2", (3, 2))), (5, 4))),
    "ComplexNumbers": record(z="c16", row=("c8", (4,))),
    "Times": record(at="M8[ns]", lasting="m8[25s]"),
    "BigEndian": np.dtype(
        [
            ("a", ">u2"),
            ("b", ">u4"),
            ("c", ">u8"),
            ("d", ">i2"),
            ("e", ">i4"),
            ("f", ">i8"),
            ("g", ">f4"),
            ("h", ">f8"),
        ]
    ),
    "LittleEndian": np.dtype(
        [
            ("a", "u2"),
            ("b", "u4"),
            ("c", "u8"),
            ("d", "i2"),
            ("e", "i4"),
            ("f", "i8"),
            ("g", "f4"),
            ("h", "f8"),
        ]
    ),
    "PackedLikeC": np.dtype([("tag", "u1"), ("length", "u4"), ("value", "u8")]),
    "Padded": PADDED,
    "PaddedAtTheEnd": record(a="u8", b="u1"),
    "NotPadding": record(a="u8", _padding="V8"),
    "CacheLine": record(64, x=("u8", 0)),
    "Nested": NESTED,
    "NestedDeep": record(label="u8", nested=NESTED, point=POINT),
    "NestedArray": record(points=(POINT, (3,)), grid=(SINGLE, (4, 2))),
    "NestedPadded": record(inner=(PADDED, (2,))),
    "Keyword": record(**{"type": "u4", "match": "u4"}),
    "Unicode": record(**{"größe": "f8", "高さ": "f8"}),
    "EightByteName": record(exactly8="u1", exactly_16_bytes="u1"),
    "ElfSymbol": record(
        st_name="u4", st_info="u1", st_other="u1", st_shndx="u2", st_value="u8", st_size="u8"
    ),
    "UnionOfNumbers": record(8, f=("f8", 0), i=("i8", 0), bytes=("V8", 0), low=("u4", 0)),
    "UnionMember": record(24, tag=("u4", 0), point=(POINT, 8), id=("u8", 8)),
    "UnalignedPacked": np.dtype([("a", "u1"), ("b", "f8"), ("c", "u4")]),
    "DeclaredBackwards": record(16, second=("i8", 8), first=("i8", 0)),
}
