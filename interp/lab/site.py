"""The lab as a folder of files that any server, or none, can show: the page, the engine, the weights, examples."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from torch import nn

from interp import runs
from interp.lab.examples import COLORS, Example, drawn, script
from interp.lab.plan import Plan, names_of, packed, traced

WEB = Path(__file__).parent / "web"
ENGINE = ("kernels.js", "network.js", "operations.js", "random.js", "ascent.js", "worker.js")
AS_THEY_ARE = ("theme.js", "random.js", "photograph.js", "lab.js")
COUNTED = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
HEAVY = 50_000_000  # bytes of weights that are worth a warning


@dataclass(frozen=True)
class Units:
    """Where the optimized pictures of the channels of a layer lie, and their pages.

    Attributes:
        layer: its name.
        count: how many channels it has.
        sheet: the address of a picture of squares, one a channel.
        columns: squares in a row of it.
        pages: the address of a channel's page, less the number of the channel.
    """

    layer: str
    count: int
    sheet: str
    columns: int
    pages: str


@dataclass(frozen=True)
class Scenes:
    """The pictures that drive each channel of some layers most.

    Attributes:
        words: what they were chosen from: "1,200 scenes".
        folder: the address of their folder, with a slash at its end.
        files: their names in it.
        best: {layer: for each channel the numbers of its files, the strongest first}; none for a silent channel.
        credit: whose they are.
    """

    words: str
    folder: str
    files: tuple[str, ...]
    best: Mapping[str, Sequence[Sequence[int]]]
    credit: str = ""


@dataclass(frozen=True)
class Frame:
    """What stands around the lab. An empty address leaves the link out.

    Attributes:
        title: of the book that the bar leads back to, or of the page.
        book: its address.
        chapter: the address of the chapter on the engine.
        recipe: the address of the chapter on the pictures that the lab grows.
        credit: whose the photographs are.
        units: what is known of the channels of an earlier layer; None for nothing.
        scenes: pictures that drive the channels; None for none.
        onward: where a reader may go next: (words, address, what is there).
        heading: of the page.
        network: what the page calls the network at the beginning of a sentence.
        named: its name.
        grown: the layer and the channel that are to be grown first; another one where there is no such layer.
    """

    title: str = "Looking inside a vision model"
    book: str = "../book/index.html"
    chapter: str = "../book/lab/network-in-250-lines.html"
    recipe: str = "../book/segment-2/better-coordinates.html"
    credit: str = ""
    units: Units | None = None
    scenes: Scenes | None = None
    onward: tuple[tuple[str, str, str], ...] = ()
    heading: str = "The live lab"
    network: str = "The network of this book"
    named: str = "EfficientNet-Lite0"
    grown: tuple[str, int] = ("blocks.3.2", 44)

    @staticmethod
    def of(named: str) -> Frame:
        """Return what stands around the lab of a network that has no book."""
        return Frame(
            named,
            "",
            "",
            "",
            heading=f"{named}, live",
            network=f"The network {named}",
            named=named,
            grown=("", 0),
        )


def write(
    model: nn.Module,
    folder: Path,
    examples: Iterable[Example],
    frame: Frame | None = None,
    *,
    side: int | None = None,
    class_names: Sequence[str] = (),
) -> Plan:
    """Write the lab of a network into a folder, and return the network's plan.

    Args:
        model: takes images (N, 3, H, W) in [0, 1] and returns logits; left as it was.
        folder: is made; files of the same names are replaced.
        examples: the photographs that the page shows.
        frame: what stands around it.
        side: as in `plan`.
        class_names: as in `plan`.

    Raises:
        BadInputError: the lab cannot run the network; then nothing is written.

    Warns:
        UserWarning: the weights are many to load for a page.
    """
    program, graph, side = traced(model, side)
    frame, planned = frame or Frame(), packed(program, graph, side, names_of(model, program, class_names))
    _warn_of_size(planned)
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    for old in (folder / "examples").glob("*.webp"):
        old.unlink()
    figures = [drawn(program, planned, example, folder / "examples") for example in examples]
    _write_text(folder / "examples.js", script(folder / "examples"))
    count = _write_weights(planned, folder)
    _write_text(folder / "plan.js", _plan_script(planned, count, frame))
    _write_text(folder / "engine.js", engine_script())
    for name in AS_THEY_ARE:
        _write_text(folder / name, _read(name))
    stops = ", ".join(f"rgb{stop}" for stop in COLORS)
    _write_text(folder / "lab.css", Template(_read("lab.css")).substitute(stops=stops))
    _write_text(folder / "index.html", _page(frame, planned, figures, count))
    return planned


def engine_script() -> str:
    """Return the engine as one function of the scope that asks it; its own text is what a worker is made of."""
    parts = "\n".join(_read(name) for name in ENGINE)
    return f"function labEngine(scope) {{\n{parts}\nserve(scope);\n}}\n"


def _read(name: str) -> str:
    return (WEB / name).read_text(encoding="utf-8")


def _write_text(path: Path, text: str) -> None:
    runs.write(path, text.encode())


def _raw(planned: Plan) -> bytes:
    return planned.weights.astype("<f2").tobytes()


def _sha256(planned: Plan) -> str:
    return hashlib.sha256(_raw(planned)).hexdigest()


def _write_weights(planned: Plan, folder: Path) -> int:
    """Write the weights, for servers and for pages opened from a folder; return how many bytes are loaded."""
    packed = gzip.compress(_raw(planned), compresslevel=9, mtime=0)
    for old in folder.glob("weights-*.bin.gz"):
        old.unlink()
    runs.write(folder / f"weights-{_sha256(planned)[:16]}.bin.gz", packed)
    _write_text(folder / "weights.js", f'var labWeights = "{base64.b64encode(packed).decode()}";\n')
    return len(packed)


def _warn_of_size(planned: Plan) -> None:
    """Tell how much a reader will have to load, where that is much."""
    size = 2 * planned.weights.size
    if size > HEAVY:
        warnings.warn(
            f"The weights are {size / 1e6:.0f} MB in 16 bits. Whoever opens the page loads nearly as much, and its "
            "browser needs several times that. weights.js, for pages opened from a folder, takes about "
            f"{1.24 * size / 1e6:.0f} MB more: on a server it may be deleted.",
            stacklevel=3,
        )


def _plan_script(planned: Plan, size: int, frame: Frame) -> str:
    kernels = base64.b64encode((WEB / "kernels.wasm").read_bytes()).decode()
    more = {
        "sha256": _sha256(planned),
        "packed": size,
        "kernels": kernels,
        "colors": COLORS,
        "units": frame.units and asdict(frame.units),
        "scenes": frame.scenes and asdict(frame.scenes),
        "first": frame.grown[0],
    }
    return f"const plan = {json.dumps({**planned.as_json(), **more}, separators=(',', ':'))};\n"


def _page(frame: Frame, planned: Plan, figures: Sequence[str], size: int) -> str:
    places = planned.across**2
    tenth = max(1, (places + 5) // 10)  # as JavaScript rounds
    return Template(_read("lab.html")).substitute(
        heading=html.escape(frame.heading),
        bar=_bar(frame),
        network=html.escape(frame.network),
        named=html.escape(frame.named),
        still=_still(frame, planned) if figures else "",
        examples=_examples(frame, planned, figures) if figures else "",
        recipe=_link(
            frame.recipe,
            "where it comes from",
            "the book's own recipe\n      ({})",
            "the recipe of <code>interp render</code>",
        ),
        engine=_link(frame.chapter, "a small engine", "{}", "a small engine"),
        exact=_exact(planned),
        why=html.escape(planned.why),
        has_maps=" hidden" if planned.last else "",
        megabytes=f"{size / 1e6:.1f}",
        classes=len(planned.class_names),
        layer=html.escape(frame.units.layer if frame.units else ""),
        onward=_onward(frame.onward),
        scenes=html.escape(_of_scenes(frame.scenes)),
        channel=frame.grown[1],
        side=planned.side,
        tenth=_counted(tenth),
        places=places,
        are="is" if tenth == 1 else "are",
    )


def _link(address: str, words: str, inside: str, otherwise: str) -> str:
    return inside.format(f'<a href="{html.escape(address)}">{words}</a>') if address else otherwise


def _bar(frame: Frame) -> str:
    title, book = html.escape(frame.title), html.escape(frame.book)
    if not book:
        return f'<span class="home">{title}</span>'
    return f'<a class="home" href="{book}">{title}</a>\n  <a class="door" href="{book}">Contents</a>'


def _onward(doors: Sequence[tuple[str, str, str]]) -> str:
    """Return a list of links, or nothing."""
    items = "\n".join(
        f'      <li><a href="{html.escape(address)}">{html.escape(words)}</a>: {html.escape(what)}</li>'
        for words, address, what in doors
    )
    if not items:
        return ""
    return f"""  <section class="onward">
    <h2>Where next</h2>
    <ul>
{items}
    </ul>
  </section>

"""


def _of_scenes(scenes: Scenes | None) -> str:
    if scenes is None:
        return ""
    return (
        f"Strongest scenes: of {scenes.words}, those in which the channel is largest, on average over its places. "
        f"Other pictures would give others. {scenes.credit}"
    ).strip()


def _counted(count: int) -> str:
    return COUNTED[count] if count < len(COUNTED) else str(count)


def _still(frame: Frame, planned: Plan) -> str:
    also = ", and where the evidence for the network's first answer lies" if planned.last else ""
    return f" The pictures below were computed when the\n    {_made(frame)} was built: the photograph{also}."


def _made(frame: Frame) -> str:
    return "book" if frame.book else "page"


def _exact(planned: Plan) -> str:
    if not planned.last:
        return ""
    return (
        "The\n      evidence map is exact: the mean of its "
        f"{planned.across**2} numbers and the bias of the class are the logit. It says what the last\n"
        "      layer adds, and nothing of which pixels made the layer do so."
    )


def _examples(frame: Frame, planned: Plan, figures: Sequence[str]) -> str:
    heading = f"{_counted(len(figures))} worked example{'s' if len(figures) > 1 else ''}"
    said = f"what the network sees, {planned.side} × {planned.side} pixels."
    said = (
        f"Left: {said} Right: where the evidence for its first answer lies, as"
        if planned.last
        else f"{said[0].upper()}{said[1:]} Its answers are as"
    )
    listed = "\n".join(figures)
    return f"""  <section class="examples" aria-label="Worked examples">
    <h2>{heading}</h2>
    <div class="gallery">
{listed}
    </div>
    <p class="soft">{said}
      computed in Python when the {_made(frame)} was built. {html.escape(frame.credit)}</p>
  </section>

"""
