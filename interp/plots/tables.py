"""A table as a value: HTML on a page, markdown elsewhere."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from interp.errors import BadInputError


@dataclass(frozen=True)
class Table:
    """Rows of text below column names; columns of numbers are aligned at the right.

    Args:
        rows: the cells, as text.
        columns: the names.
        right: whether a column is aligned at the right.
    """

    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...]
    right: tuple[bool, ...]

    def _repr_html_(self) -> str:
        head = self._html_row(self.columns, "th")
        body = "\n".join(self._html_row(row, "td") for row in self.rows)
        return (
            f'<table class="table plots-table">\n<thead>{head}</thead>\n<tbody>\n{body}\n</tbody>\n</table>'
        )

    def _html_row(self, cells: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        styles = [
            ' style="text-align: right"' if right else ' style="text-align: left"' for right in self.right
        ]
        inner = (f"<{tag}{scope}{s}>{html.escape(c)}</{tag}>" for s, c in zip(styles, cells, strict=True))
        return f"<tr>{''.join(inner)}</tr>"

    def _repr_markdown_(self) -> str:
        line = [("---:" if right else ":---") for right in self.right]
        rows = [[cell.replace("|", r"\|") for cell in row] for row in (self.columns, *self.rows)]
        return "\n".join(f"| {' | '.join(row)} |" for row in [rows[0], line, *rows[1:]])

    def __str__(self) -> str:
        return self._repr_markdown_()


def table(rows: Sequence[Sequence[object]], columns: Sequence[str], *, fmt: str = ".3f") -> Table:
    """Return a table of values.

    Args:
        rows: one sequence of cells for each row: text or numbers, also tensors of one number.
        columns: one name for each cell of a row.
        fmt: format of numbers that are not whole, as in `format(value, fmt)`.
    """
    cells = [[_plain(cell) for cell in row] for row in rows]
    for row in cells:
        if len(row) != len(columns):
            raise BadInputError(
                f"Each row needs {len(columns)} cells, one for each column; one has {len(row)}."
            )
    right = tuple(all(isinstance(row[c], int | float) for row in cells) for c in range(len(columns)))
    texts = tuple(tuple(_text(cell, fmt) for cell in row) for row in cells)
    return Table(texts, tuple(columns), right)


def _plain(cell: object) -> object:
    if isinstance(cell, Tensor) and cell.numel() != 1:
        raise BadInputError(f"A cell holds a tensor of shape {tuple(cell.shape)}; give one number.")
    return cell.item() if hasattr(cell, "item") else cell


def _text(cell: object, fmt: str) -> str:
    return format(cell, fmt).replace("-", "\N{MINUS SIGN}") if isinstance(cell, float) else str(cell)
