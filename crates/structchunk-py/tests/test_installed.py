"""``pip install`` into a fresh environment: what comes out of it works, without the sources and what was built beside them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tomllib
import venv
from importlib import metadata
from pathlib import Path

import pytest

HERE = Path(__file__).parents[1]
ROOT = HERE.parents[1]
#: As large as it has to be, and there for the next run: then cargo has little to do.
SOURCE = ROOT / "target/installed"

CHECK = """
import sys
site, packages, program = sys.argv[1:]
import structchunk
assert structchunk.__file__.startswith(site), structchunk.__file__
assert structchunk._native.__file__.startswith(site), structchunk._native.__file__
import ctypes
with structchunk.open("without.numpy", "x") as store:
    store["n"] = ctypes.c_uint64(5)
    store["n"].value += 1
    assert store.load("n").value == 6 and "numpy" not in sys.modules
sys.path.append(packages)
exec(compile(open(program).read(), program, "exec"), {"__name__": "__main__"})
print("fine")
"""


def copy_of_the_sources() -> Path:
    """The files that a clone would have, as they are now: no build of the native half among them."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    names = {name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()}
    for old in SOURCE.rglob("*"):
        if old.is_file() and os.fspath(old.relative_to(SOURCE)) not in names:
            old.unlink()
    for name in names:
        (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / name, SOURCE / name)
    return SOURCE / HERE.relative_to(ROOT)


def test_pip_installs_what_works_without_the_sources(tmp_path: Path) -> None:
    assert shutil.which("cargo"), "this test builds the package: cargo is wanted on the PATH"
    requirements = pytest.importorskip("packaging.requirements")
    package = copy_of_the_sources()
    settings = tomllib.loads((package / "pyproject.toml").read_text("utf-8"))
    # The environment is fresh but for what builds: that of the tests, which has to be what pip would fetch, so that nothing has to be.
    assert settings["build-system"]["build-backend"] == "maturin"
    for text in settings["build-system"]["requires"]:
        wanted = requirements.Requirement(text)
        assert wanted.specifier.contains(metadata.version(wanted.name)), text
    venv.create(tmp_path / "venv", with_pip=True)
    python = tmp_path / "venv/bin/python"
    packages = sysconfig.get_path("purelib")
    environment = {
        **os.environ,
        "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR", os.fspath(ROOT / "target")),
        "PATH": f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}",
        "PYTHONPATH": packages,
    }
    environment.pop("VIRTUAL_ENV", None)
    install = [
        "-m",
        "pip",
        "install",
        "--no-index",
        "--no-deps",
        "--no-build-isolation",
        "--ignore-installed",
    ]
    profile = "--config-settings=build-args=--profile dev"
    done = subprocess.run(
        [python, *install, profile, package], env=environment, capture_output=True, text=True, timeout=1800
    )
    assert done.returncode == 0, done.stdout + done.stderr

    # The twenty lines of the README, elsewhere, by an interpreter that sees nothing but the fresh environment (and numpy).
    readme = (package / "README.md").read_text("utf-8")
    program = tmp_path / "program.py"
    program.write_text(re.findall(r"```python\n(.*?)```", readme, re.DOTALL)[0], "utf-8")
    (tmp_path / "elsewhere").mkdir()
    site = os.fspath(tmp_path / "venv/lib")
    done = subprocess.run(
        [python, "-I", "-c", CHECK, site, packages, program],
        cwd=tmp_path / "elsewhere",
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (0, "home 3.5\nfine\n"), done.stderr
    types = (
        "import importlib.resources as r; print(*sorted(p.name for p in r.files('structchunk').iterdir()))"
    )
    listed = subprocess.run([python, "-I", "-c", types], capture_output=True, text=True, check=True).stdout
    assert {"py.typed", "_native.pyi", "_native.abi3.so", "__init__.py"} <= set(listed.split())
