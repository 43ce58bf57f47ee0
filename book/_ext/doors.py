"""Links from the book to the static sites beside it: what the roles {microscope}, {atlas} and {lab} share."""

from __future__ import annotations

import posixpath
from abc import abstractmethod
from pathlib import Path
from urllib.parse import quote

from docutils import nodes
from sphinx.util.docutils import ReferenceRole


def address(page: str, place: str, docname: str) -> str:
    """Return the address of a place on a page of the site, as seen from a page of the book."""
    where = posixpath.relpath(page, posixpath.dirname(docname))
    return f"{where}#{quote(place, safe='/')}" if place else where


class Door(ReferenceRole):
    """A role `words <PLACE>`, where `.` stands for the whole; without the place its words remain.

    Attributes:
        page: of the site.
        data: the file that says which places there are; pages with a link are written again when it changes.
    """

    page: str
    data: Path | None = None

    @abstractmethod
    def missing(self, place: str) -> str | None:
        """Return a warning if there is no such place, "" for none to be said, and None if there is one."""

    def run(self) -> tuple[list[nodes.Node], list[nodes.system_message]]:
        place = self.target.removeprefix(".")
        missing = self.missing(place)
        if missing is not None:
            said = [self.inliner.reporter.warning(missing, line=self.lineno)] if missing else []
            return [nodes.Text(self.title)], said
        if self.data is not None:
            self.env.note_dependency(str(self.data))
        where = address(self.page, place, self.env.docname)
        return [nodes.reference("", self.title, refuri=where, internal=True)], []
