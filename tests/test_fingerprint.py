"""A fingerprint of code changes with what the code depends on, and with nothing else; on a small package of its own."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from interp.fingerprint import PACKAGE, data_files, fingerprint, modules


@pytest.fixture
def package(tmp_path: Path) -> Path:
    files = {
        "__init__.py": "",
        "low.py": "import os\n",
        "middle.py": "def late():\n    from tiny import low\n",
        "other.py": "from .sub import leaf\n",
        "sub/__init__.py": "",
        "sub/leaf.py": 'DATA = "stock"\n',
        "sub/stock/a.txt": "1",
    }
    for name, text in files.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return tmp_path / "tiny"


def test_modules_are_found_through_one_another(package: Path) -> None:
    assert list(modules("from tiny import middle", package=package)) == ["tiny", "tiny.low", "tiny.middle"]
    found = modules("import tiny.other as other", package=package)
    assert list(found) == ["tiny", "tiny.other", "tiny.sub", "tiny.sub.leaf"]


@pytest.mark.parametrize(
    ("edited", "source", "affected"),
    [
        ("low.py", "from tiny.middle import late", True),
        ("low.py", "from tiny import other", False),
        ("sub/stock/a.txt", "import tiny.other", True),
        ("sub/stock/a.txt", "import tiny.middle", False),
        ("middle.py", "import os", False),
    ],
)
def test_an_edit_reaches_what_depends_on_it_and_nothing_else(
    package: Path, edited: str, source: str, affected: bool
) -> None:
    before = fingerprint(source, package=package)
    (package / edited).write_text("changed = 12345")
    assert (fingerprint(source, package=package) != before) is affected


def test_files_that_a_text_names_count(tmp_path: Path, package: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "data.json").write_text("1")
    source = 'open("../data.json")'
    before = fingerprint(source, folder=tmp_path / "book", package=package)
    (tmp_path / "data.json").write_text("22")
    assert fingerprint(source, folder=tmp_path / "book", package=package) != before


def test_a_new_file_in_a_folder_that_a_text_names_counts(tmp_path: Path, package: Path) -> None:
    (tmp_path / "book").mkdir()
    (tmp_path / "data").mkdir()
    source = 'list(Path("../data").iterdir())'
    before = fingerprint(source, folder=tmp_path / "book", package=package)
    (tmp_path / "data" / "new.json").write_text("1")
    assert fingerprint(source, folder=tmp_path / "book", package=package) != before


def test_data_of_a_module_are_what_lies_beside_it_and_is_no_code(package: Path) -> None:
    (package / "table.tsv").write_text("a")
    (package / "__pycache__").mkdir()
    (package / "__pycache__" / "low.pyc").write_text("x")
    (package / ".hidden").write_text("x")
    assert data_files(package) == [package / "table.tsv"]
    assert data_files(package / "sub") == [package / "sub" / "stock" / "a.txt"]


@pytest.mark.parametrize(
    ("name", "template"), [("interactive", "core.js"), ("microscope.site", "microscope.html")]
)
def test_scripts_and_styles_count_for_what_shows_them(tmp_path: Path, name: str, template: str) -> None:
    copy = tmp_path / "interp"  # of the package, since a template is changed
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "cutouts"))
    before = {each: fingerprint(f"import interp.{each}", package=copy) for each in (name, "hooks")}
    (copy / "templates" / template).write_text("changed")
    assert fingerprint(f"import interp.{name}", package=copy) != before[name]
    assert fingerprint("import interp.hooks", package=copy) == before["hooks"]
