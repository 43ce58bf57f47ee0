"""The lab as a folder of files that any server, or none, can show: the page, the engine, the weights, examples."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from interp import image, runs
from interp.errors import BadInputError
from interp.lab.check import run
from interp.lab.plan import LOGITS, MAPS, Plan, names_of, packed, traced
from interp.lab.steps import Program

WEB = Path(__file__).parent / "web"
ENGINE = ("kernels.js", "network.js", "operations.js", "random.js", "ascent.js", "worker.js")
AS_THEY_ARE = ("theme.js", "random.js", "photograph.js", "lab.js")
COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis, in four parts
QUALITY = 90
COUNTED = ("No", "One", "Two", "Three", "Four", "Five", "Six", "Seven", "Eight", "Nine", "Ten")
HEAVY = 50_000_000  # bytes of weights that are worth a warning
HEAT = 0.6  # how much of the color of the map lies over the photograph


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
    chapter: str = "../book/lab/network-in-100-lines.html"
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


@dataclass(frozen=True)
class Example:
    """A photograph that is there before the network is.

    Attributes:
        name: in the address of the page.
        words: what is to be seen.
        pixels: (1, 3, H, W) in [0, 1].
    """

    name: str
    words: str
    pixels: Tensor


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
    figures = [_example(program, planned, example, folder / "examples") for example in examples]
    _write_text(folder / "examples.js", _examples_script(folder / "examples"))
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


# ------------------------------------------------------------------------------------------------------------
# Examples


def _example(program: Program, planned: Plan, example: Example, folder: Path) -> str:
    """Write an example's photograph and map, and return its figure."""
    side, names = planned.side, planned.class_names
    picture = _as_pil(image.center_crop(example.pixels, side))
    _save(picture, folder / f"{example.name}.webp")
    with Image.open(folder / f"{example.name}.webp") as kept:  # what the page will read
        seen = image.from_pil(kept.convert("RGB"))
    heat, shares = _evidence(program, seen)
    said = ", ".join(
        f"{names[index]} {100 * shares[index]:.0f}\u00a0%"
        for index in shares.topk(min(3, len(names))).indices
    )
    figures = [(example.name, example.words)]
    if planned.last:
        _save(overlaid(seen, heat), folder / f"{example.name}-map.webp")
        figures.append(
            (f"{example.name}-map", f"The same with the map of {names[int(shares.argmax())]} over it")
        )
    pictures = "".join(
        f'<img src="examples/{html.escape(name)}.webp" width="{side}" height="{side}" alt="{html.escape(words)}">'
        for name, words in figures
    )
    return (
        f'      <figure class="example" id="{html.escape(example.name)}"><div>{pictures}</div>'
        f"<figcaption>{html.escape(said)}</figcaption></figure>"
    )


def evidence(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the map (H, W) of the first class of one image, at the size of the last layer, and all shares (classes,).

    Each number is what a place adds to the logit: weight times activation, summed over channels.

    Raises:
        BadInputError: the network does not end in the mean over all places and a linear layer.
    """
    program, _, _ = traced(model, images.shape[-1])
    if not program.last:
        raise BadInputError(f"There are no exact maps of this network: {program.why}.")
    return _evidence(program, images)


@torch.no_grad()
def _evidence(program: Program, images: Tensor) -> tuple[Tensor, Tensor]:
    values = run(program, images)
    logits = values[LOGITS][0, :, 0, 0]
    if not program.last:
        return torch.zeros(1, 1), _shares(logits)
    first, (_, bias) = logits.argmax(), program.weights[MAPS]
    return values[MAPS][0, first] - bias[first], _shares(logits)


def _shares(logits: Tensor) -> Tensor:
    """Return the shares of the classes; of a single logit that of yes against no."""
    return logits.softmax(0) if len(logits) > 1 else logits.sigmoid()


def overlaid(images: Tensor, heat: Tensor) -> Image.Image:
    """Return one image (1, 3, H, W) under the colors of a map (h, w), from 0 to the map's largest value."""
    large = nn.functional.interpolate(heat[None, None], images.shape[-2:], mode="bilinear")[0, 0]
    place = (large / large.max().clamp(min=1e-9)).clamp(0, 1).numpy() * (len(COLORS) - 1)
    stops = np.array(COLORS, dtype=np.float64).T / 255
    colors = np.stack([np.interp(place, range(len(COLORS)), stop) for stop in stops])
    mixed = HEAT * torch.from_numpy(colors)[None] + (1 - HEAT) * images
    return _as_pil(mixed)


def _examples_script(folder: Path) -> str:
    """Return the photographs as a script, for pages opened from a folder."""
    files = [path for path in sorted(folder.glob("*.webp")) if not path.stem.endswith("-map")]
    held = {path.stem: base64.b64encode(path.read_bytes()).decode() for path in files}
    return f"var labExamples = {json.dumps(held)};\n"


def _as_pil(images: Tensor) -> Image.Image:
    return image.to_pil(images[0].float())


def _save(picture: Image.Image, path: Path) -> None:
    held = io.BytesIO()
    picture.save(held, "WEBP", quality=QUALITY, method=6)
    runs.write(path, held.getvalue())
