"""Layouts as a C compiler makes them: the same fingerprints."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from structchunk import Layout
from test_layouts import golden

#: What C has no word for: plain numbers, which are no structs, and numbers of another byte order.
NO_STRUCT = {"u1", "u2", "u4", "u8", "i1", "i2", "i4", "i8", "f2", "f4", "f8", "bool", ">u4", ">f8"}
NOT_IN_C = {"BigEndian", "BigEndianBitFields", "Floats"}
ONLY_IN_RUST = {"struct point", "AtomicUnsigned", "AtomicSigned", "AtomicPlatform", "AtomicArrays", "Generic"}


def test_c_makes_the_layouts_that_rust_makes_of_the_same_structs(tmp_path: Path) -> None:
    compiler = shutil.which("cc")
    if compiler is None:
        pytest.skip("there is no C compiler")
    source, program = Path(__file__).with_name("types_table.c"), tmp_path / "types_table"
    subprocess.run([compiler, "-std=c11", "-Wall", "-Werror", "-o", program, source], check=True)
    said = subprocess.run([program], capture_output=True, text=True, encoding="utf-8", check=True).stdout
    made: dict[str, Layout] = {}
    for struct in said.split("S ")[1:]:
        first, *lines = struct.splitlines()
        name, size, align = first.split()
        fields = []
        for line in lines:
            kind, field, bit, what, *numbers = line.split()
            content: Any = made.get(what, what)
            shape = [int(number) for number in numbers]
            if kind == "B":
                content, shape = (int(what), bool(shape[0]), False), []
            fields.append((field, int(bit), content, shape, "number", None))
        made[name] = Layout(name, int(size), int(align), fields)
    found = {name: layout.fingerprint for name, layout in made.items()}
    assert found == {name: golden()[name] for name in found}
    assert set(golden()) - set(found) == NO_STRUCT | NOT_IN_C | ONLY_IN_RUST
