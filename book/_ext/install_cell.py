"""The cell that makes a notebook run elsewhere: it installs `interp` where that is missing, and only there."""

from __future__ import annotations

import launch
import nbformat
from nbformat import NotebookNode
from sphinx.application import Sphinx

import interp

EXTRAS = "examples,plots,models,lucent"
WORDS = """\
# Brings the package that this chapter runs on, where it is not installed yet.
# Cells whose code is folded away on the page are closed here. Those with claims.page check what the text says."""


def add(page: NotebookNode, app: Sphinx) -> None:
    """Put the cell below the title of a notebook."""
    cell = nbformat.v4.new_code_cell(source(launch.site(app.config)), metadata={"tags": ["nbval-skip"]})
    page.cells.insert(1, cell)


def source(site: str) -> str:
    """Return the code of the cell.

    Args:
        site: the address of the published pages, which hold the wheel of their version; empty where there is none.

    torch is not named: a machine with a GPU has a build of it that fits, and pip leaves that alone.
    """
    return f"{WORDS}\nimport importlib.util\n\nif importlib.util.find_spec('interp') is None:\n    {_remedy(site)}"


def _remedy(site: str) -> str:
    if site:
        return f'%pip install --quiet "interp[{EXTRAS}] @ {site}/{wheel()}"'
    return f"""raise ModuleNotFoundError("In a clone of the book, install it first: pip install '.[{EXTRAS}]'")"""


def wheel() -> str:
    """Return the place of the wheel on the site."""
    return f"wheels/interp-{interp.__version__}-py3-none-any.whl"
