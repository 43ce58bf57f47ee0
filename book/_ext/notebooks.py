"""Every chapter as an executed notebook on the site: notebooks/book/.../name.ipynb.

MyST's roles and directives mean nothing to Jupyter, so they become plain Markdown here: a citation its authors and
year, a reference the number or the title that it leads to, an admonition a quote. A link to another
chapter leads to its notebook, one to a page without code to the published site.
"""

from __future__ import annotations

import base64
import copy
import io
import os
import re
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import executed
import install_cell
import launch
import narrow
import nbformat
from nbformat import NotebookNode
from PIL import Image
from pybtex.database import Entry, parse_file
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

ROLE = re.compile(r"\{([\w:]+)\}`([^`]+)`")
LINK = re.compile(r"\[([^\]\n]*)\]\(([\w./-]+)\.md(?:#[\w-]*)?\)")
LABEL = re.compile(r"^\([\w:.-]+\)=[ \t]*\n", re.MULTILINE)
FORMULA_LABEL = re.compile(r"(?<=\$\$)[ \t]*\([\w:.-]+\)[ \t]*$", re.MULTILINE)
BLOCK_BREAK = re.compile(r"^\+\+\+.*\n", re.MULTILINE)
DIRECTIVE = re.compile(r"^(:{3,}|`{3,})\{([\w-]+)\}[ \t]*(.*)\n((?:.*\n)*?)\1[ \t]*$", re.MULTILINE)
OPTION = re.compile(r"\A(?::[\w-]+:.*\n)+|\A---\n(?:.*\n)*?---\n")
FOLDED = {"hide-input", "remove-input", "remove-cell"}  # on the page; in the notebook these cells are closed
SMALLER, QUALITY = 0.5, 75  # lines and areas stay PNG: as JPEG they are larger and blurred
DROPPED = {"bibliography", "contents", "nb-exec-table", "eval-rst", "here", "wall"}


def setup(app: Sphinx) -> dict[str, Any]:
    app.connect("build-finished", write_all)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def write_all(app: Sphinx, error: Exception | None) -> None:
    """Write the notebooks of all pages with cells beside the pages."""
    if error is not None or app.builder.format != "html":
        return
    paths = {name: Path(app.env.doc2path(name)) for name in sorted(app.env.found_docs)}
    pages = {name: path for name, path in paths.items() if executed.is_notebook(path)}
    words = Words(app.env, bibliography(app), pages, launch.site(app.config))
    for docname, path in pages.items():
        target = Path(app.outdir, "notebooks", f"{docname}.ipynb")
        target.parent.mkdir(parents=True, exist_ok=True)
        page = notebook(path, words, docname)
        install_cell.add(page, app)
        target.write_text(nbformat.writes(page), encoding="utf-8")


def bibliography(app: Sphinx) -> dict[str, Entry]:
    """Return the works of all bibliography files: {key: entry}."""
    files = [Path(app.srcdir, name) for name in app.config.bibtex_bibfiles]
    return {key: entry for file in files for key, entry in parse_file(str(file)).entries.items()}


def notebook(path: Path, words: Words, docname: str) -> NotebookNode:
    """Return one page as a notebook with its outputs and without MyST."""
    page = executed.read(path)
    execution = executed.load(executed.key(page, path))
    if execution is not None:
        executed.fill(page, execution)
    cells = [plain for cell in page.cells for plain in _plain_cells(cell, words, docname)]
    metadata = {"kernelspec": page.metadata["kernelspec"], "language_info": {"name": "python"}}
    return nbformat.v4.new_notebook(cells=cells, metadata=metadata)


def _plain_cells(cell: NotebookNode, words: Words, docname: str) -> list[NotebookNode]:
    """Return a cell as it stands in the notebook; a figure's caption becomes a text below it."""
    if cell.cell_type != "code":
        return [nbformat.v4.new_markdown_cell(plain(cell.source, words, docname))]
    code = nbformat.v4.new_code_cell(
        cell.source, outputs=[_light(each) for each in copy.deepcopy(cell.outputs)]
    )
    code.execution_count = cell.execution_count
    code.metadata["tags"] = list(cell.metadata.get("tags", []))
    if FOLDED & set(code.metadata["tags"]):
        code.metadata["jupyter"] = {"source_hidden": True}  # JupyterLab shows a bar that opens
    caption = cell.metadata.get("mystnb", {}).get("figure", {}).get("caption")
    return [code, nbformat.v4.new_markdown_cell(plain(caption, words, docname))] if caption else [code]


def _light(output: NotebookNode) -> NotebookNode:
    """Keep a picture of an output as JPEG where that halves it: in a notebook pictures are text, so they are costly.

    A second drawing for phones is left out.
    """
    data = output.get("data", {})
    data.pop(narrow.AGAIN_TYPE, None)
    if "image/png" not in data:
        return output
    png = base64.b64decode(data["image/png"])
    with Image.open(io.BytesIO(png)) as picture:
        jpeg = _jpeg(picture.convert("RGBA"))
    if len(jpeg) < SMALLER * len(png):
        data["image/jpeg"] = base64.b64encode(jpeg).decode()
        del data["image/png"]
    return output


def _jpeg(picture: Image.Image) -> bytes:
    on_white = Image.new("RGB", picture.size, "white")
    on_white.paste(picture, mask=picture.getchannel("A"))
    buffer = io.BytesIO()
    on_white.save(buffer, "JPEG", quality=QUALITY)
    return buffer.getvalue()


# --------------------------------------------------------------------------------------------------------------------
# Markdown without MyST


def plain(text: str, words: Words, docname: str) -> str:
    """Return MyST Markdown as plain Markdown."""
    text = DIRECTIVE.sub(_directive, text + "\n")
    text = BLOCK_BREAK.sub("", FORMULA_LABEL.sub("", LABEL.sub("", text)))
    text = LINK.sub(lambda found: words.link(found[1], found[2], docname), text)
    return ROLE.sub(lambda found: words.of(found[1], found[2], docname), text).strip()


def _directive(found: re.Match[str]) -> str:
    name, title, body = found[2], found[3].strip(), OPTION.sub("", found[4]).strip()
    if name in DROPPED:
        return ""
    if name == "math":
        return f"$$\n{body or title}\n$$"
    if name in ("figure", "image"):
        return f"*{body}*" if body else ""
    head = (
        title
        if name in ("admonition", "margin", "sidebar", "dropdown")
        else f"{name.capitalize()} {title}".strip()
    )
    lines = [
        *([f"**{head}**", ""] if head else []),
        *DIRECTIVE.sub(_directive, body + "\n").strip().splitlines(),
    ]
    return "\n".join(f"> {line}".rstrip() for line in lines)


class Words:
    """What stands for a role or a link: built from what Sphinx knows about labels, numbers and titles.

    Args:
        env: what Sphinx knows.
        works: the bibliography.
        pages: the names of the pages that are notebooks.
        site: the address of the published pages; empty where there is none.
    """

    def __init__(
        self, env: BuildEnvironment, works: dict[str, Entry], pages: Collection[str] = (), site: str = ""
    ) -> None:
        self.env, self.works, self.pages, self.site = env, works, pages, site
        self.ways: dict[str, Callable[[str, str], str]] = {
            "numref": self.number,
            "ref": self.title,
            "doc": self.page,
            "eq": lambda target, _: f"the formula `{target}`",
            "math": lambda target, _: f"${target}$",
            "term": lambda target, _: target,
        }

    def of(self, role: str, content: str, docname: str) -> str:
        """Return the plain text for {role}`content` on a page."""
        shown, target = _parts(content)
        if role.startswith("cite"):
            return self.citation(target, in_text=role.endswith(":t"))
        if shown:
            return shown
        way = self.ways.get(role)
        return way(target, docname) if way else f"`{target.lstrip('~')}`"

    def citation(self, keys: str, *, in_text: bool) -> str:
        """Return "(Authors, year)" for works, or "Authors (year)" where it is part of the sentence."""
        named = [
            _authors_year(self.works[key.strip()]) for key in keys.split(",") if key.strip() in self.works
        ]
        if in_text:
            return ", ".join(f"{authors} ({year})" for authors, year in named)
        return f"({'; '.join(f'{authors}, {year}' for authors, year in named)})"

    def number(self, label: str, _docname: str) -> str:
        """Return "Fig. 3" for the label of a figure."""
        home, place = self.env.domains["std"].anonlabels.get(label, ("", ""))[:2]
        for kinds in (self.env.toc_fignumbers.get(home, {}).get(kind, {}) for kind in ("figure", "table")):
            if place in kinds:
                return f"Fig. {'.'.join(map(str, kinds[place]))}"
        return "the figure"

    def title(self, label: str, _docname: str) -> str:
        """Return the title that a label stands before."""
        known = self.env.domains["std"].labels.get(label)
        return f"“{known[2]}”" if known else "there"

    def page(self, target: str, docname: str) -> str:
        """Return the title of a page, in quotes."""
        title = self.env.titles.get(_docname(target, docname))
        return f"“{title.astext()}”" if title is not None else "there"

    def link(self, shown: str, target: str, docname: str) -> str:
        """Return a link to another page's notebook, or to the site; its words alone where there is neither."""
        name = _docname(target, docname)
        words = shown or self.page(target, docname).strip("“”")
        if name in self.pages:
            return f"[{words}]({target}.ipynb)"
        return f"[{words}]({self.site}/{name}.html)" if self.site else words


def _docname(target: str, docname: str) -> str:
    """Return the name of the page to which a page's relative target leads."""
    return os.path.normpath(Path(docname).parent / target).removesuffix(".md")


def _parts(content: str) -> tuple[str, str]:
    """Return (what is shown, the target) of a role's content: `text <target>` or `target`."""
    found = re.fullmatch(r"(.+?)\s*<([^>]+)>", content, re.DOTALL)
    return (found[1], found[2]) if found else ("", content)


def _authors_year(work: Entry) -> tuple[str, str]:
    names = [" ".join(person.last_names) for person in work.persons.get("author", [])]
    names = [re.sub(r"[{}]", "", name) for name in names]
    authors = " and ".join(names) if len(names) < 3 else f"{names[0]} et al."
    return authors, str(work.fields.get("year", ""))
