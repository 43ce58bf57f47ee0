"""What a page asserts and what came of it: the claims among its outputs, and the notes for what went wrong.

A claim that does not hold here, and a cell that fails, are shown where they stand; with STRICT=1 they stop the build.
"""

from __future__ import annotations

import html
import os
from collections.abc import Iterator
from typing import Any

import executed
from nbformat import NotebookNode
from nbformat.v4 import new_output

from interp.claims import MIME, Claim

HIDING = {"remove-cell", "remove-output"}
REPORT = (
    "To report: open an issue with these lines, `python -VV`, your processor and the number of threads. "
    "STRICT=1 turns each of them into a failure."
)


def strict() -> bool:
    """Tell whether a claim that does not hold and a cell that fails stop the build: the variable STRICT says so."""
    return os.environ.get("STRICT", "") not in ("", "0")


def claims(execution: executed.Execution) -> list[Claim]:
    """Return all claims among the outputs of a page, in their order."""
    return [one for outputs in execution.outputs for one in _claims(outputs)]


def _claims(outputs: list[dict[str, Any]]) -> Iterator[Claim]:
    for output in outputs:
        for entry in output.get("data", {}).get(MIME, []):
            yield Claim(
                **entry | {name: _number(entry[name]) for name in ("value", "above", "below", "interval")}
            )


def _number(found: Any) -> Any:
    """Return numbers as they were: a kernel sends what is infinite or no number as a text."""
    if isinstance(found, list | tuple):
        return tuple(map(float, found))
    return None if found is None else float(found)


def problems(execution: executed.Execution, notebook: NotebookNode) -> list[str]:
    """Return a line for each claim of a page that does not hold here, and for what keeps claims from being seen."""
    found = claims(execution)
    lost = [f"not so here: {_sentence(one)}" for one in found if not one.holds]
    words = [one.words for one in found]
    twice = [f"two claims have the same words: {one}" for one in sorted(set(words)) if words.count(one) > 1]
    failed = [f"a cell failed: {_last_line(execution.error)}"] if execution.error else []
    return [f"{execution.page}: {line}" for line in (*lost, *twice, *_unseen(execution, notebook), *failed)]


def _unseen(execution: executed.Execution, notebook: NotebookNode) -> list[str]:
    """Return a line for each cell that ran and makes claims that are not among its outputs."""
    ran = execution.error["cell"] if execution.error else len(execution.outputs)
    cells = executed.code_cells(notebook)[:ran]
    return [
        f"the claims of code cell {number} are not its last expression, so they are lost"
        for number, cell in enumerate(cells)
        if "claims.page(" in cell.source and not list(_claims(execution.outputs[number]))
    ]


def _sentence(one: Claim) -> str:
    return f"{one.words} ({one.quantity}: claimed {one.bound()}, found {one.found()})."


def _last_line(error: dict[str, Any]) -> str:
    return str(error["text"]).strip().splitlines()[-1]


def show(notebook: NotebookNode, execution: executed.Execution) -> None:
    """Put a note where a claim does not hold, and a box where a cell failed; expects the outputs to be filled in."""
    for number, cell in enumerate(executed.code_cells(notebook)):
        lost = [one for one in _claims(execution.outputs[number]) if not one.holds]
        if lost:
            _replace(cell, "".join(map(note, lost)))
        if execution.error and execution.error["cell"] == number:
            _replace(cell, box(execution.error))


def _replace(cell: NotebookNode, markup: str) -> None:
    """Show this markup as the cell's only output; a cell that was hidden whole hides its code alone from now on."""
    tags = set(cell.metadata.get("tags", []))
    hidden = {"remove-input"} if "remove-cell" in tags else set()
    cell.metadata["tags"] = sorted((tags - HIDING) | hidden)
    cell.metadata.pop("mystnb", None)  # no figure is there that could have a caption
    cell.outputs = [new_output("display_data", data={"text/html": markup, "text/plain": ""})]


def note(one: Claim) -> str:
    """Return the note for a claim that does not hold on this machine."""
    return (
        '<aside class="claim-note" role="note"><p><b>On this machine it came out differently.</b> '
        f"Claimed: {html.escape(one.words)} ({html.escape(one.quantity)} {html.escape(one.bound())}). "
        f"Found here: {html.escape(one.found())}.</p></aside>"
    )


def box(error: dict[str, Any]) -> str:
    """Return the box for a cell that failed; what comes after it on the page was not computed."""
    return (
        '<aside class="claim-note" role="note"><p><b>This cell failed here,</b> so the rest of the page has no '
        "pictures. "
        f"{html.escape(_last_line(error))}</p><details><summary>The whole message</summary>"
        f"<pre>{html.escape(str(error['text']))}</pre></details></aside>"
    )
