"""How the book is built: what runs again after which edit, what stops a build, what a page must not hold.

The laws are shown on a small book in a folder of its own, with the real configuration, extensions and tools.
"""

from __future__ import annotations

import base64
import io
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import nbformat
import numpy
import pytest
from bs4 import BeautifulSoup
from docutils import nodes
from PIL import Image
from pybtex.database import Entry, Person

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import check_site  # noqa: E402
import checked  # noqa: E402
import execute_book  # noqa: E402
import executed  # noqa: E402
import light_pictures  # noqa: E402
import narrow  # noqa: E402
import notebooks  # noqa: E402

from interp.claims import MIME  # noqa: E402

HEAD = """---
jupytext: {text_representation: {extension: .md, format_name: myst}}
kernelspec: {name: python3, display_name: Python 3, language: python}
---

"""
PAGES = {
    "book/index.md": "# A small book\n\nWithout code, citing {cite:p}`someone2000`.\n",
    "book/segment/one.md": HEAD
    + """# One

Prose with a formula $x^2$ and

$$\\frac{1}{2}$$

```{code-cell} ipython3
---
mystnb:
  image: {alt: "A red square"}
  figure: {name: fig-square, caption: "The first caption."}
---
from IPython.display import SVG
from interp import low
SVG(f'<svg xmlns="http://www.w3.org/2000/svg" width="{low.SIDE}" height="9"><rect fill="red"/></svg>')
```
""",
    "book/segment/two.md": HEAD
    + """# Two

```{code-cell} ipython3
from interp import other
print("other says", other.WORD, open("../_data/number.txt").read())
```

```{code-cell} ipython3
:tags: [remove-cell]
from interp import claims
claims.page(claims.claim("Two is more than one", [2, 2.5], quantity="size", over="twos", above=1))
```
""",
    "book/appendix/claims.md": "# Claims\n\n```{claims}\n```\n\n```{runtimes}\n:reading:\n```\n",
    "book/appendix/references.md": "# References\n\n```{bibliography}\n```\n",
    "book/references.bib": "@book{someone2000, author={One, Some}, title={A Title}, publisher={P}, year={2000}}\n",
    "book/_data/number.txt": "17",
    "_toc.yml": (
        "format: jb-book\nroot: book/index\nchapters:\n- file: book/segment/one\n- file: book/segment/two\n"
        "- file: book/appendix/claims\n- file: book/appendix/references\n"
    ),
    "interp/__init__.py": '__version__ = "0"\n',
    "interp/low.py": "from interp import lowest\nSIDE = lowest.SIDE\n",
    "interp/lowest.py": "SIDE = 10\n",
    "interp/other.py": 'WORD = "hello"\n',
}
COPIED = [
    "_config.yml",
    "book/_ext",
    "book/_theme",
    "book/_vendor",
    "interp/claims.py",
    "interp/errors.py",
    "interp/fingerprint.py",
    "interp/runs.py",
    "interp/templates",
]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a small book."""
    folder = tmp_path_factory.mktemp("small")
    for name in [*COPIED, "tools"]:
        source, target = ROOT / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copyfile(source, target)
    for name, text in PAGES.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def edit(small: Path) -> Iterator[Callable[[str, str, str], None]]:
    """Return a function that replaces a text in a file; afterwards the file is as before."""
    before: dict[Path, str] = {}

    def replace(name: str, old: str, new: str) -> None:
        text = (small / name).read_text()
        assert old in text
        before.setdefault(small / name, text)
        (small / name).write_text(text.replace(old, new))

    yield replace
    for path, text in before.items():
        path.write_text(text)


def environment(folder: Path, *, strict: bool = True) -> dict[str, str]:
    return {
        **os.environ,
        "STRICT": "1" if strict else "",
        "PYTHONPATH": str(folder),
        "BOOK_CACHE": str(folder / ".cache" / "pages"),
        "BOOK_WORKERS": "2",
    }


def execute(folder: Path, *, strict: bool = True) -> tuple[set[str], subprocess.CompletedProcess[str]]:
    """Run what has to run; return the names of the pages that ran."""
    command = [sys.executable, "tools/execute_book.py"]
    variables = environment(folder, strict=strict)
    done = subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)
    return set(re.findall(r"\] +[\d.]+ s +book/segment/(\w+)\.md", done.stdout)), done


def build(folder: Path, *, strict: bool = True) -> subprocess.CompletedProcess[str]:
    book = Path(sys.executable).with_name("jupyter-book")
    command = [book, "build", ".", *(["-W"] if strict else []), "-n", "--keep-going"]
    variables = environment(folder, strict=strict)
    return subprocess.run(command, cwd=folder, env=variables, capture_output=True, text=True, check=False)


def page(folder: Path, name: str) -> str:
    return (folder / "_build" / "html" / "book" / f"{name}.html").read_text()


@pytest.fixture(scope="module")
def built(small: Path) -> Path:
    """Return the folder of the small book, executed and built."""
    ran, done = execute(small)
    assert (ran, done.returncode) == ({"one", "two"}, 0), done.stderr
    result = build(small)
    assert result.returncode == 0, result.stderr
    return small


# ---- what runs


def test_nothing_runs_when_nothing_changed(built: Path) -> None:
    ran, done = execute(built)
    assert ran == set()
    assert "All 2 pages with code are up to date." in done.stdout


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("book/segment/one.md", "Prose with", "Better prose with", set()),
        ("book/segment/one.md", "The first caption.", "Another caption.", set()),
        ("book/segment/one.md", "low.SIDE", "low.SIDE + 1", {"one"}),
        ("interp/lowest.py", "10", "12", {"one"}),
        ("interp/other.py", "hello", "goodbye", {"two"}),
        ("book/_data/number.txt", "17", "18", {"two"}),
        ("interp/__init__.py", "0", "1", {"one", "two"}),
    ],
)
def test_an_edit_runs_the_pages_that_it_reaches(
    built: Path, edit: Callable[[str, str, str], None], name: str, old: str, new: str, expected: set[str]
) -> None:
    edit(name, old, new)
    assert execute(built)[0] == expected


def test_an_undone_edit_runs_nothing(built: Path) -> None:
    assert execute(built)[0] == set()


def test_pages_show_what_changed_and_keep_the_rest(
    built: Path, edit: Callable[[str, str, str], None]
) -> None:
    """The build after an edit in the package reads the page again, although the page's own text is the same."""
    edit("interp/other.py", "hello", "goodbye")
    edit("book/segment/one.md", "The first caption.", "Another caption.")
    result = build(built)
    assert result.returncode == 0, result.stderr
    assert "other says goodbye 17" in page(built, "segment/two")
    assert "Another caption." in page(built, "segment/one")
    assert "3 changed" in result.stdout or "2 changed" in result.stdout


def test_pages_follow_a_change_in_an_extension(built: Path, edit: Callable[[str, str, str], None]) -> None:
    build(built)
    assert 'decoding="async"' in page(built, "segment/one")
    edit("book/_ext/pictures.py", '"async"', '"sync"')
    result = build(built)
    assert result.returncode == 0, result.stderr
    assert 'decoding="sync"' in page(built, "segment/one")


def test_a_failing_cell_is_named_and_fails(built: Path, edit: Callable[[str, str, str], None]) -> None:
    edit("book/segment/two.md", 'print("other', 'assert 1 == 2\nprint("other')
    ran, done = execute(built)
    assert (ran, done.returncode) == ({"two"}, 1)
    assert "two.md  FAILED" in done.stdout
    assert "assert 1 == 2" in done.stderr
    assert "AssertionError" in done.stderr
    assert build(built).returncode != 0


# ---- what does not come out as the book says


def test_a_cell_that_fails_spoils_its_own_page_alone(
    built: Path, edit: Callable[[str, str, str], None]
) -> None:
    """Without STRICT the book is built: what came before the cell stands, and a box says what happened."""
    edit(
        "book/segment/two.md",
        "from interp import claims",
        "raise OSError('the <disk>')\nfrom interp import claims",
    )
    ran, done = execute(built, strict=False)
    assert (ran, done.returncode) == ({"two"}, 0)
    assert "book/segment/two.md: a cell failed: OSError: the <disk>" in done.stderr
    assert build(built, strict=False).returncode == 0
    assert "other says hello 17" in page(built, "segment/two")
    assert "This cell failed here," in page(built, "segment/two")
    assert "OSError: the &lt;disk&gt;" in page(built, "segment/two")
    assert "This cell failed" not in page(built, "segment/one")
    assert execute(built, strict=False)[0] == {"two"}, "a page that failed is tried again"


def test_a_kernel_that_is_killed_spoils_its_own_page_alone(
    built: Path, edit: Callable[[str, str, str], None]
) -> None:
    edit("book/segment/two.md", "from interp import claims", "import os\nos.kill(os.getpid(), 9)")
    _, done = execute(built, strict=False)
    assert done.returncode == 0
    assert "book/segment/two.md: a cell failed: The kernel died" in done.stderr


def test_a_claim_that_does_not_hold_is_shown_at_its_place(
    built: Path, edit: Callable[[str, str, str], None]
) -> None:
    edit("book/segment/two.md", "above=1)", "above=3)")
    _, done = execute(built, strict=False)
    line = "two.md: not so here: Two is more than one (size: claimed above 3, found 2.25 (95 %: 2 to 2.5; 2 twos))."
    assert done.returncode == 0
    assert line in done.stderr
    assert "STRICT=1" in done.stderr
    assert build(built, strict=False).returncode == 0
    (note,) = BeautifulSoup(page(built, "segment/two"), "html.parser").select(".claim-note")
    assert "Claimed: Two is more than one (size above 3). Found here: 2.25" in note.get_text()
    assert "claims.page" not in page(built, "segment/two"), "the code of a hidden cell stays hidden"
    assert "does not hold" in page(built, "appendix/claims")


def test_how_long_a_chapter_takes_to_read_stands_in_a_table(built: Path) -> None:
    assert build(built).returncode == 0
    tables = BeautifulSoup(page(built, "appendix/claims"), "html.parser").select("table:not(.sortable)")
    (table,) = [one for one in tables if "Figures" in one.get_text()]
    rows = [[cell.get_text(strip=True) for cell in row.select("td")] for row in table.select("tbody tr")]
    assert [row[0] for row in rows] == ["One", "Two"]
    assert rows[0][1] == "1", "half a minute for its figure, and some words"
    assert [row[3] for row in rows] == ["1", "0"]
    assert 8 <= int(rows[0][2]) <= 12


def test_a_claim_that_does_not_hold_is_a_failure_with_strict(
    built: Path, edit: Callable[[str, str, str], None]
) -> None:
    edit("book/segment/two.md", "above=1)", "above=3)")
    assert execute(built)[1].returncode == 1
    assert execute(built)[1].returncode == 1, "also when nothing has to run"
    assert build(built).returncode != 0


def test_all_claims_stand_on_one_page(built: Path) -> None:
    """A claim that holds leaves nothing on its own page and a row in the table: n, value, interval, bound, margin."""
    assert execute(built)[1].returncode == 0
    assert build(built).returncode == 0
    assert "claim-note" not in page(built, "segment/two")
    (row,) = BeautifulSoup(page(built, "appendix/claims"), "html.parser").select("table.sortable tbody tr")
    assert [cell.get_text() for cell in row.select("td")] == [
        *("Two", "Two is more than one", "size", "2 twos", "2.25", "2 to 2.5", "above 1", "1.25"),
        *("not measured", "holds"),
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("print(", "import sys; print('oh', file=sys.stderr)\nprint("),
        ("# Two", "# Two\n\n{ref}`nowhere`"),
        ("# Two", "# Two\n\n{cite:p}`nobody1999`"),
    ],
)
def test_a_warning_stops_the_build(
    built: Path, edit: Callable[[str, str, str], None], old: str, new: str
) -> None:
    edit("book/segment/two.md", old, new)
    assert build(built).returncode != 0


# ---- serving


@pytest.fixture
def served(built: Path) -> Iterator[tuple[Path, str]]:
    """Return the folder of the small book and the address at which it is served."""
    command = [sys.executable, "tools/serve_book.py", "0"]
    with subprocess.Popen(
        command, cwd=built, env=environment(built), stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            address = next(
                found[0] for line in server.stdout if (found := re.search(r"http://[\d.:]+", line))
            )
            yield built, address
        finally:
            server.terminate()


def fetch(address: str) -> str:
    with urllib.request.urlopen(address, timeout=60) as answer:
        return answer.read().decode()


def test_a_served_page_follows_a_change(
    served: tuple[Path, str], edit: Callable[[str, str, str], None]
) -> None:
    _, address = served
    page, before = f"{address}/book/segment/one.html", fetch(f"{address}/built")
    assert "Prose with a formula" in fetch(page)
    assert "location.reload" in fetch(page)
    edit("book/segment/one.md", "Prose with a formula", "Served prose with a formula")
    end = time.monotonic() + 300
    while fetch(f"{address}/built") == before and time.monotonic() < end:
        time.sleep(0.2)
    assert "Served prose with a formula" in fetch(page)


# ---- what the site holds


def test_the_small_site_is_fit_to_be_read(built: Path) -> None:
    build(built)
    assert list(check_site.check(built / "_build" / "html")) == []


def test_formulas_are_set_when_the_book_is_built(built: Path) -> None:
    text = page(built, "segment/one")
    assert text.count('class="katex"') == 2
    assert "mathjax" not in "".join(str(tag) for tag in BeautifulSoup(text, "html.parser")("script")).lower()


@pytest.mark.parametrize(
    ("markup", "problem"),
    [
        ('<script src="https://cdn.example/x.js"></script>', "asks another host: https://cdn.example/x.js"),
        ('<link rel="stylesheet" href="//cdn.example/x.css">', "asks another host: //cdn.example/x.css"),
        ('<img alt="words" src="http://example/x.png">', "asks another host: http://example/x.png"),
        (
            '<img alt="words" srcset="a.png 1x, https://example/x.png 2x">',
            "asks another host: https://example/x.png",
        ),
        ('<p style="background: url(https://example/x.png)">', "asks another host: https://example/x.png"),
        ("<style>@import '//example/x.css';</style>", "asks another host: //example/x.css"),
        (
            '<script>fetch("https://example/data.json")</script>',
            "asks another host: https://example/data.json",
        ),
        (
            '<script>await import("https://example/a.mjs")</script>',
            "asks another host: https://example/a.mjs",
        ),
        ('<span class="katex-error">x</span>', "a formula could not be set"),
        ('<img src="page.html">', "a picture without words"),
        ('<img alt="../_images/abc.png" src="page.html">', "a picture without words"),
        ('<a href="none.html">x</a>', "leads nowhere: none.html"),
        ('<a href="#none">x</a>', "leads nowhere: #none"),
        ('<a href="../page.html">x</a>', "leads nowhere: ../page.html"),
    ],
)
def test_defects_of_a_page_are_found(tmp_path: Path, markup: str, problem: str) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{markup}</body></html>")
    assert any(problem in found for found in check_site.check(tmp_path))


def test_a_notebook_that_is_too_large_is_found(tmp_path: Path) -> None:
    for name, size in (("small", check_site.NOTEBOOK), ("large", check_site.NOTEBOOK + 1)):
        (tmp_path / f"{name}.ipynb").write_bytes(bytes(size))
    (problem,) = check_site.check(tmp_path)
    assert problem.startswith("large.ipynb: a notebook of 4.0 MB")


@pytest.mark.parametrize(
    "markup",
    [
        '<a href="https://example/paper.pdf">a link to click</a>',
        '<link rel="canonical" href="https://example/">',
        '<a id="here"></a><a href="#here">x</a><a href="page.html#here">x</a>',
        '<img alt="" role="presentation" src="page.html">',
        '<script>const ns = "http://www.w3.org/2000/svg"</script>',
    ],
)
def test_what_is_fine_is_not_reported(tmp_path: Path, markup: str) -> None:
    (tmp_path / "page.html").write_text(f"<html><body>{markup}</body></html>")
    assert list(check_site.check(tmp_path)) == []


# ---- pictures


def test_a_link_into_the_lab_names_what_it_has(tmp_path: Path) -> None:
    lab = tmp_path / "lab"
    lab.mkdir()
    (lab / "index.html").write_text('<figure id="cat"></figure>')
    (lab / "plan.js").write_text('const plan = {"steps":[{"name":"blocks.3.2"}]};')
    right = ("cat/tiger%20cat/24", "cat/x//erase", "grow/blocks.3.2/44/0")
    for place in right:
        assert check_site.leads_somewhere(f"lab/index.html#{place}", tmp_path / "page.html", tmp_path)
    for place in ("dog/x", "grow/blocks.9/1"):
        assert not check_site.leads_somewhere(f"lab/index.html#{place}", tmp_path / "page.html", tmp_path)


def test_photographic_pictures_become_lighter(tmp_path: Path) -> None:
    noise = numpy.random.default_rng(0).integers(0, 255, (60, 80, 4), dtype=numpy.uint8)
    Image.fromarray(noise).save(tmp_path / "photo.png")
    Image.new("RGBA", (80, 60), "red").save(tmp_path / "chart.png")
    assert light_pictures.converted(tmp_path / "chart.png") is None
    assert light_pictures.converted(tmp_path / "photo.png") == "photo.png"
    with Image.open(tmp_path / "photo.webp") as picture:
        assert picture.size == (80, 60)
    assert (tmp_path / "photo.webp").stat().st_size < (tmp_path / "photo.png").stat().st_size


def test_pages_show_the_lighter_pictures(tmp_path: Path) -> None:
    (tmp_path / "_images").mkdir()
    noise = numpy.random.default_rng(0).integers(0, 255, (60, 80, 4), dtype=numpy.uint8)
    Image.fromarray(noise).save(tmp_path / "_images" / "a-1.png")
    Image.new("RGBA", (80, 60), "red").save(tmp_path / "_images" / "b.png")
    text = '<a href="../_images/a-1.png"><img src="../_images/a-1.png"></a><img src="_images/b.png">'
    (tmp_path / "page.html").write_text(text)
    app = SimpleNamespace(outdir=tmp_path, builder=SimpleNamespace(name="html"))
    light_pictures.lighten(app, None)
    light_pictures.lighten(app, None)  # once more, as after a build in which nothing was written
    assert (tmp_path / "page.html").read_text() == text.replace("a-1.png", "a-1.webp")
    assert sorted(path.name for path in (tmp_path / "_images").iterdir()) == ["a-1.webp", "b.png"]


# ---- what is seen of a page's claims


def ran(*outputs: list[dict[str, object]], error: dict[str, object] | None = None) -> executed.Execution:
    return executed.Execution("page.md", list(outputs), 1.0, 0.0, {}, error)  # type: ignore[arg-type]


def made(words: str, value: object) -> list[dict[str, object]]:
    one = {
        "words": words,
        "quantity": "q",
        "value": value,
        "above": 0.0,
        "below": None,
        "n": 1,
        "over": "runs",
    }
    return [{"data": {MIME: [{**one, "interval": None, "exact": False}]}}]


def cells(*sources: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity"])
def test_a_value_that_is_no_number_is_a_lost_claim(value: str) -> None:
    """A kernel sends such values as texts."""
    found = checked.problems(ran(made("so", value)), cells("claims.page(x)"))
    assert len(found) == 1
    assert "not so here: so" in found[0]


def test_claims_that_are_not_the_last_expression_are_missed() -> None:
    notebook = cells("claims.page(x);", "claims.page(y)")
    found = checked.problems(ran([], made("so", 1.0)), notebook)
    assert found == ["page.md: the claims of code cell 0 are not its last expression, so they are lost"]
    failed = checked.problems(ran([], [], error={"cell": 0, "text": "no"}), notebook)
    assert failed == ["page.md: a cell failed: no"]


def test_the_same_words_in_two_cells_are_named() -> None:
    found = checked.problems(ran(made("so", 1.0), made("so", 2.0)), cells("claims.page(x)", "claims.page(y)"))
    assert found == ["page.md: two claims have the same words: so"]


def test_a_syntax_error_spoils_no_other_page(tmp_path: Path) -> None:
    assert executed.key(cells("x = ("), tmp_path / "page.md") != executed.key(
        cells("x = )"), tmp_path / "page.md"
    )


# ---- notebooks


def test_a_chapter_can_be_taken_as_a_notebook(built: Path) -> None:
    build(built)
    found = nbformat.read(built / "_build/html/notebooks/book/segment/one.ipynb", as_version=4)
    nbformat.validate(found)
    assert [cell.cell_type for cell in found.cells] == ["markdown", "code", "code", "markdown"]
    assert "find_spec('interp')" in found.cells[1].source
    assert "svg" in found.cells[2].outputs[0].data["image/svg+xml"]
    assert found.cells[3].source == "The first caption."


class Domain:
    anonlabels: ClassVar = {"fig-a": ("page", "fig-a")}
    labels: ClassVar = {"sec": ("page", "sec", "A section")}


class Environment:
    """What Sphinx knows about a small book."""

    domains: ClassVar = {"std": Domain}
    toc_fignumbers: ClassVar = {"page": {"figure": {"fig-a": (2, 1)}}}
    titles: ClassVar = {
        "book/one": nodes.title("", "Chapter one"),
        "book/segment/words": nodes.title("", "Words"),
    }


WORKS = {
    "a2000": Entry("article", {"year": "2000"}, {"author": [Person("One, Some")]}),
    "b2001": Entry(
        "article", {"year": "2001"}, {"author": [Person("Two, A"), Person("Three, B"), Person("Four, C")]}
    ),
}


@pytest.mark.parametrize(
    ("myst", "expected"),
    [
        ("{cite:t}`a2000` did", "One (2000) did"),
        ("it is so {cite:p}`a2000,b2001`.", "it is so (One, 2000; Two et al., 2001)."),
        ("{numref}`fig-a`", "Fig. 2.1"),
        ("{ref}`sec` and {ref}`words <sec>`", "“A section” and words"),
        ("{doc}`../one`", "“Chapter one”"),
        ("{func}`interp.image.load`", "`interp.image.load`"),
        ("(label)=\n# Title", "# Title"),
        ("$$\nx\n$$ (eq-x)\n\nmore", "$$\nx\n$$\n\nmore"),
        (":::{note}\nSome *text*.\n:::", "> **Note**\n>\n> Some *text*."),
        ("```{admonition} Try\n:class: tip\nOne.\n```", "> **Try**\n>\n> One."),
        ("before\n\n```{bibliography}\n```\n\nafter", "before\n\n\n\nafter"),
        ("```python\nx = 1\n```", "```python\nx = 1\n```"),
        (
            "see [](../one.md) and [this](../one.md#there)",
            "see [Chapter one](../one.ipynb) and [this](../one.ipynb)",
        ),
        ("[](words.md)", "[Words](https://book.example/book/segment/words.html)"),
        (
            "`[name](model, pictures)` and [out](https://a.example/b.md)",
            "`[name](model, pictures)` and [out](https://a.example/b.md)",
        ),
    ],
)
def test_myst_becomes_markdown(myst: str, expected: str) -> None:
    pages = {"book/one", "book/segment/two"}
    words = notebooks.Words(Environment(), WORKS, pages, "https://book.example")  # type: ignore[arg-type]
    assert notebooks.plain(myst, words, "book/segment/two") == expected


def built_cells() -> Iterator[tuple[Path, Any]]:
    """Yield (file, cell) of every notebook that the built book offers."""
    files = sorted((ROOT / "_build" / "html" / "notebooks").rglob("*.ipynb"))
    if not files:
        pytest.skip("the book is not built (make book)")
    for file in files:
        for cell in nbformat.read(file, as_version=4).cells:
            yield file, cell


def test_what_is_folded_on_the_page_is_closed_in_the_notebook() -> None:
    words = notebooks.Words(Environment(), WORKS)  # type: ignore[arg-type]
    for tags, closed in (
        ([], False),
        (["wide"], False),
        (["wide", "hide-input"], True),
        (["remove-cell"], True),
    ):
        cell = nbformat.v4.new_code_cell("1", metadata={"tags": tags})
        (found,) = notebooks._plain_cells(cell, words, "book/segment/two")
        assert found.metadata.get("jupyter", {}).get("source_hidden", False) is closed


def test_photographs_in_notebooks_are_light_and_drawings_stay_sharp() -> None:
    noise = numpy.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=numpy.uint8)
    for picture, kind in ((Image.fromarray(noise), "image/jpeg"), (Image.new("RGBA", (80, 60)), "image/png")):
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        png = base64.b64encode(buffer.getvalue()).decode()
        data = {"image/png": png, narrow.AGAIN_TYPE: png}  # the second drawing of a chart stays on the pages
        found = notebooks._light(nbformat.v4.new_output("display_data", data))["data"]
        assert set(found) == {kind}
        with Image.open(io.BytesIO(base64.b64decode(found[kind]))) as kept:
            assert kept.size == (80, 60)


def test_no_role_is_left_in_the_built_notebooks() -> None:
    for file, cell in built_cells():
        text = re.sub(r"\$[^$]*\$|`[^`]*`", "", cell.source) if cell.cell_type == "markdown" else ""
        assert not re.search(r"\{[a-z:]+\}`|^:::|^```\{", text, re.MULTILINE), (
            f"{file.name}: {cell.source[:200]}"
        )


def test_a_link_to_a_page_without_code_is_words_where_there_is_no_site() -> None:
    words = notebooks.Words(Environment(), WORKS)  # type: ignore[arg-type]
    assert notebooks.plain("```{here} blocks.3.2\n```\n\nText.", words, "book/segment/two") == "Text."
    assert notebooks.plain("[the words](words.md)", words, "book/segment/two") == "the words"


def test_links_in_the_built_notebooks_lead_to_notebooks() -> None:
    for file, cell in built_cells():
        text = re.sub(r"`[^`]*`", "", cell.source) if cell.cell_type == "markdown" else ""
        for words, target in re.findall(r"\[([^\]]*)\]\(([^):#]+)\)", text):
            assert words, f"{file.name}: {target}"
            assert (file.parent / target).exists(), f"{file.name}: {target}"


def test_what_a_run_elsewhere_is_compared_with_is_rounded_text() -> None:
    cells = [cell for _, cell in built_cells()]
    compared = [cell for cell in cells if "nbval-check-output" in cell.metadata.get("tags", [])]
    assert len(compared) >= 10
    for cell in compared:
        texts = [output.get("text") or output.data["text/plain"] for output in cell.outputs]
        assert texts, cell.source
        assert not any("image/png" in output.get("data", {}) for output in cell.outputs), cell.source
        assert not re.search(r"\d\.\d{5}", "".join(texts)), (cell.source, texts)


# ---- the book itself


def test_every_page_in_the_contents_exists() -> None:
    missing = [str(path) for path in execute_book.toc_pages(ROOT / "_toc.yml") if not path.is_file()]
    assert missing == []


def test_every_chapter_is_in_the_contents() -> None:
    listed = set(execute_book.toc_pages(ROOT / "_toc.yml"))
    pages = [path for path in (ROOT / "book").rglob("*.md") if not {"_data", "_theme"} & set(path.parts)]
    assert [str(path) for path in pages if path not in listed and "ORIGIN" not in path.name] == []


def test_the_built_book_is_fit_to_be_read() -> None:
    site = ROOT / "_build" / "html"
    if not (site / "book" / "index.html").exists():
        pytest.skip("the book is not built (make book)")
    assert list(check_site.check(site)) == []


def test_every_figure_of_the_built_book_has_a_caption() -> None:
    site = ROOT / "_build" / "html" / "book"
    if not site.exists():
        pytest.skip("the book is not built (make book)")
    for path in site.rglob("*.html"):
        for figure in BeautifulSoup(path.read_text(), "html.parser")("figure"):
            assert figure.find("figcaption") is not None, f"{path.name}: {str(figure)[:200]}"
