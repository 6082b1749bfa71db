"""CPython's own tests of ctypes, on structures and unions that lie in a store."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from ctypes_on_a_store import suite_name

NOTES = "it asserts that an object refers to nothing: one of a store refers to its mapping, in `_objects`"

#: Tests of 3.11 that cannot pass, and why. One that passes does not belong here.
INHERENT = {
    "test_internals.ObjectsTestCase.test_embedded_structs": NOTES,
    "test_internals.ObjectsTestCase.test_simple_struct": NOTES,
    "test_internals.ObjectsTestCase.test_xxx": NOTES,
    "test_keeprefs.ArrayTestCase.test_cint_array": NOTES,
    "test_keeprefs.StructureTestCase.test_ccharp_struct": NOTES,
    "test_keeprefs.StructureTestCase.test_cint_struct": NOTES,
    "test_keeprefs.StructureTestCase.test_struct_struct": NOTES,
    "test_objects.TestCase.test": NOTES + " (a doctest)",
    "test_varsize_struct.VarSizeTest.test_resize": "`ctypes.resize` makes memory of an object's own larger, "
    "and this memory is the file's",
}


@pytest.mark.skipif(suite_name() is None, reason="the interpreter came without the tests of ctypes")
@pytest.mark.skipif(sys.version_info[:2] != (3, 11), reason="what cannot pass is listed for 3.11")
def test_ctypes_of_cpython_works_on_objects_of_a_store(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program = Path(__file__).with_name("ctypes_on_a_store.py")
    command = [sys.executable, "-X", "faulthandler", str(program), str(tmp_path / "store")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout.splitlines()[-1])
    failed, count = facts["failed"], facts["run"]
    with capsys.disabled():
        print(
            f"\nctypes: {count - len(failed)} of {count} tests pass ({facts['skipped']} of them are skipped by "
            f"ctypes itself); placed: {facts['placed']}"
        )
    assert {name: error for name, error in failed.items() if name not in INHERENT} == {}
    assert [name for name in INHERENT if name not in failed] == [], "listed, but they pass"
    assert count - len(failed) >= 480
    # Of their own types but for what points elsewhere; and what has no bytes.
    assert facts["placed"]["typed"] > 6000
    assert facts["placed"]["bytes"] < 100
    assert facts["placed"]["not placed"] < 20
    assert facts["objects"] == facts["placed"]["typed"] + facts["placed"]["bytes"]
    assert facts["damage"] == []
