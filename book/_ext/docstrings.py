"""The API pages: our docstrings are plain text with backticks and formulas, and autodoc reads reStructuredText."""

from __future__ import annotations

import re
from typing import Any

from bs4 import BeautifulSoup
from sphinx.application import Sphinx

# Code, a formula, or what would begin markup where none is meant: |x| is an absolute value, *args a name.
TOKEN = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)|\$(?P<formula>[^$]+)\$|(?P<mark>[|*\\])")


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("autodoc-process-docstring", rewrite, priority=400)  # before napoleon reads the sections
    app.connect("autodoc-skip-member", skip)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def rewrite(_app: Sphinx, what: str, _name: str, _obj: object, _options: object, lines: list[str]) -> None:
    """Turn the lines of one docstring into reStructuredText."""
    # In functions an indent belongs to a section such as "Args:"; in the text of a module it is code.
    lines[:] = code_blocks(lines) if what == "module" else texts(lines)
    if what in {"property", "attribute"} and lines:
        # Napoleon takes what stands before the first colon for a type, twice: here it is nothing.
        lines[0] = f": : {lines[0]}"


def texts(lines: list[str]) -> list[str]:
    """Treat all lines as text but those of examples, which go from >>> to the next empty line."""
    out, example = [], False
    for line in lines:
        example = line.lstrip().startswith(">>>") or (example and bool(line.strip()))
        out.append(line if example else plain(line))
    return out


def code_blocks(lines: list[str]) -> list[str]:
    """Show indented paragraphs as code, the rest as text.

    >>> code_blocks(["A `b`:", "", "    x = y * 2", "", "    z", "", "End."])
    ['A ``b``:', '', '::', '', '    x = y * 2', '', '    z', '', 'End.']
    """
    out: list[str] = []
    inside = False
    for line in lines:
        indented = line.startswith("    ")
        if line.strip() and indented != inside:
            inside = indented
            out += ["::", ""] if inside else []
        out.append(line if indented else plain(line))
    return out


def plain(line: str) -> str:
    r"""Mark code as code, a formula as a formula, and nothing else as anything.

    >>> print(plain("The mean of |x| over `axis` is $|x|^2$"))
    The mean of \|x\| over ``axis`` is :math:`|x|^2`
    """
    return TOKEN.sub(_marked, line)


def _marked(found: re.Match[str]) -> str:
    ways = {"code": "``{}``", "formula": ":math:`{}`", "mark": "\\{}"}
    return ways[str(found.lastgroup)].format(found[str(found.lastgroup)])


def skip(_app: Sphinx, _what: str, _name: str, obj: object, skipped: bool, _options: object) -> bool | None:
    """Leave out what matplotlib puts into its subclasses."""
    foreign = str(getattr(obj, "__module__", "")).startswith("matplotlib")
    return True if foreign and not skipped else None


KINDS = {"Classes": "dl.py.class, dl.py.exception", "Functions": "dl.py.function", "Values": "dl.py.data"}


def list_names(page: BeautifulSoup) -> None:
    """Put the names that an API page describes above the first of them, as links, by their kinds."""
    first = page.select_one("dl.py:not(dl.py dl.py)")
    if first is None:
        return
    groups = "".join(_group(page, kind, chosen) for kind, chosen in KINDS.items())
    markup = f'<nav class="names" aria-label="Names on this page">{groups}</nav>'
    first.insert_before(BeautifulSoup(markup, "html.parser"))


def _group(page: BeautifulSoup, kind: str, chosen: str) -> str:
    """Return the list of one kind; members of classes are found there."""
    heads = [head for block in page.select(chosen) for head in block.find_all("dt", recursive=False)]
    names = [str(head["id"]) for head in heads if head.get("id") and head.find_parent("dd") is None]
    items = "".join(
        f'<li><a href="#{name}"><code>{name.rpartition(".")[2]}</code></a></li>' for name in names
    )
    return f"<p>{kind}</p><ul>{items}</ul>" if items else ""
