"""The works that a page cites, as a list at its own end: a box can show them, also from a disk and on paper."""

from __future__ import annotations

from typing import Any

from bs4 import BeautifulSoup
from pybtex.plugin import find_plugin
from sphinx.application import Sphinx


def cited_works(app: Sphinx, pagename: str, page: BeautifulSoup) -> dict[str, str]:
    """Point the page's citations at its own list and return that list: {key: HTML}, in the order of citation."""
    known = _citations(app, pagename)
    backend = find_plugin("pybtex.backends", "html")("utf-8")
    works: dict[str, str] = {}
    for link in page.select("a.reference.internal[href*='#']"):
        citation = known.get(link["href"])
        if citation is not None:
            link["href"] = f"#cited-{citation.key}"
            link.attrs.pop("title", None)
            works.setdefault(citation.key, citation.formatted_entry.text.render(backend))
    return works


def _citations(app: Sphinx, pagename: str) -> dict[str, Any]:
    """Return {address as written on this page: citation}; empty on the page that holds the bibliography."""
    domain: Any = app.env.domains.get("cite")
    found = {}
    for citation in domain.citations if domain is not None else ():
        home = citation.bibliography_key.docname
        if home != pagename:
            found[f"{app.builder.get_relative_uri(pagename, home)}#{citation.citation_id}"] = citation
    return found
