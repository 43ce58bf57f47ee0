"""Which parts of a chapter an edition of the book has.

The embedded edition needs nothing that does not come with the installation. The large one brings networks and data sets
from the internet and wants a GPU. The variable INTERP_EDITION says which is built; only this file reads it. A chapter
marks what belongs to one edition alone:

    % begin large edition
    Text and cells, whole blocks of them.
    % end large edition
"""

from __future__ import annotations

import os
import re
from typing import Any

from sphinx.application import Sphinx

EDITIONS = ("embedded", "large")
BLOCK = re.compile(r"^% begin (\w+) edition\n(.*?)^% end \1 edition\n", re.MULTILINE | re.DOTALL)
MARK = re.compile(r"^% (?:begin|end)\b.*$", re.MULTILINE)


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_config_value("edition", current(), "env")  # another edition reads all pages again
    app.connect("source-read", lambda _app, _docname, text: text.__setitem__(0, select(text[0])))
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def current() -> str:
    """Return the edition to build, "embedded" if nothing else is said."""
    name = os.environ.get("INTERP_EDITION") or EDITIONS[0]
    if name not in EDITIONS:
        raise ValueError(f"INTERP_EDITION is {name!r}; it has to be one of {', '.join(EDITIONS)}.")
    return name


def select(text: str, edition: str | None = None) -> str:
    r"""Return the text of a page as one edition has it; None stands for the edition that is built.

    >>> page = "All.\n% begin large edition\nMore.\n% end large edition\n"
    >>> select(page, "embedded"), select(page, "large")
    ('All.\n', 'All.\nMore.\n')

    Raises:
        ValueError: a mark has no partner, or names no edition.
    """
    wanted = edition or current()
    chosen = BLOCK.sub(lambda found: found[2] if found[1] == wanted else "", text)
    lost = MARK.findall(chosen)
    unknown = {found[1] for found in BLOCK.finditer(text)} - set(EDITIONS)
    if lost or unknown:
        raise ValueError(f"Marks of editions that do not fit: {lost or sorted(unknown)}.")
    return chosen
