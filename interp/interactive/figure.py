"""The value behind every live figure, and its HTML."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from PIL import Image as PILImage

from interp import templates
from interp.errors import BadInputError
from interp.interactive.pictures import uri


@dataclass(frozen=True)
class LiveFigure:
    """A figure that can be moved.

    Args:
        kind: the name of its script in `interp/templates`.
        data: what the script gets, as JSON.
        picture: what is seen without the script, RGBA.
        alt: what the picture shows, in words.
    """

    kind: str
    data: Mapping[str, Any]
    picture: PILImage.Image
    alt: str

    def __post_init__(self) -> None:
        words(self.alt)

    def _repr_html_(self) -> str:
        """Return the figure as a piece of HTML that works by itself."""
        size = f'width="{self.picture.width // 2}" height="{self.picture.height // 2}"'
        still = f'<img src="{uri(self.picture)}" alt="{html.escape(self.alt)}" {size}>'
        data = json.dumps(dict(self.data), separators=(",", ":"), ensure_ascii=False, allow_nan=False)
        # "<" could end the element; the escape means the same to a JSON parser.
        safe = data.replace("<", "\\u003c")
        return (
            f'<div class="live" data-kind="{html.escape(self.kind)}"><style>{_template("live.css")}</style>'
            f'<div class="stage">{still}</div><script type="application/json">{safe}</script>'
            f"<script>{_template('core.js')}{_template(f'{self.kind}.js')}</script></div>"
        )

    def __repr__(self) -> str:
        return f"<LiveFigure {self.kind}: {self.alt}>"


def words(alt: str) -> str:
    """Return an alt text unchanged; a figure without one is refused."""
    if not alt.strip():
        raise BadInputError("A figure needs an alt text: say in words what is seen.")
    return alt


@lru_cache
def _template(name: str) -> str:
    return templates.read(name).decode()
