"""What the documents show is what happens."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "crates/structchunk-py/README.md",
    ROOT / "docs/from-the-original.md",
]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_the_programs_in_a_document_run_and_run_again(
    document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = re.findall(r"```python\n(.*?)```", document.read_text("utf-8"), re.DOTALL)
    assert programs
    monkeypatch.chdir(tmp_path)
    # (What stands for programs of the original library is about making a store that is not there.)
    for _ in range(1 if document.name == "from-the-original.md" else 2):
        names: dict[str, object] = {"__name__": "__main__"}
        for program in programs:
            exec(compile(program, document.name, "exec"), names)
        names.clear()
