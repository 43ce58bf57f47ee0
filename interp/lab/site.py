"""The lab as a folder of files that any server, or none, can show: the page, the engine, the weights, examples."""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import io
import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from interp import hooks, image, runs
from interp.lab.plan import Plan, plan

WEB = Path(__file__).parent / "web"
ENGINE = ("kernels.js", "network.js", "random.js", "ascent.js", "worker.js")
AS_THEY_ARE = ("theme.js", "random.js", "photograph.js", "lab.js")
LAST = "act_head"  # the layer that the classifier reads
COLORS = ((68, 1, 84), (59, 82, 139), (33, 145, 140), (94, 201, 98), (253, 231, 37))  # viridis, in four parts
QUALITY = 90
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
class Frame:
    """What stands around the lab.

    Attributes:
        title: of the book that the bar leads back to.
        book: its address.
        chapter: the address of the chapter on the engine.
        recipe: the address of the chapter on the pictures that the lab grows.
        credit: whose the photographs are.
        units: what is known of the channels of an earlier layer; None for nothing.
    """

    title: str = "Looking inside a vision model"
    book: str = "../book/index.html"
    chapter: str = "../book/lab/network-in-100-lines.html"
    recipe: str = "../book/segment-2/better-coordinates.html"
    credit: str = ""
    units: Units | None = None


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


def write(model: nn.Module, folder: Path, examples: Iterable[Example], frame: Frame | None = None) -> Plan:
    """Write the lab of a network into a folder, and return the network's plan.

    Args:
        model: an EfficientNet-Lite; left as it was.
        folder: is made; files of the same names are replaced.
        examples: the photographs that the page shows.
        frame: what stands around it.

    Raises:
        BadInputError: the lab cannot run the network.
    """
    frame, planned = frame or Frame(), plan(model)
    (folder / "examples").mkdir(parents=True, exist_ok=True)
    figures = [_example(model, example, folder / "examples", planned.side) for example in examples]
    _write_text(folder / "examples.js", _examples_script(folder / "examples"))
    packed = _write_weights(planned, folder)
    _write_text(folder / "plan.js", _plan_script(planned, packed, frame))
    _write_text(folder / "engine.js", engine_script())
    for name in AS_THEY_ARE:
        _write_text(folder / name, _read(name))
    stops = ", ".join(f"rgb{stop}" for stop in COLORS)
    _write_text(folder / "lab.css", Template(_read("lab.css")).substitute(stops=stops))
    _write_text(folder / "index.html", _page(frame, planned, figures, packed))
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


def _plan_script(planned: Plan, packed: int, frame: Frame) -> str:
    kernels = base64.b64encode((WEB / "kernels.wasm").read_bytes()).decode()
    more = {
        "sha256": _sha256(planned),
        "packed": packed,
        "kernels": kernels,
        "colors": COLORS,
        "units": frame.units and asdict(frame.units),
    }
    return f"const plan = {json.dumps({**planned.as_json(), **more}, separators=(',', ':'))};\n"


def _page(frame: Frame, planned: Plan, figures: Sequence[str], packed: int) -> str:
    return Template(_read("lab.html")).substitute(
        title=html.escape(frame.title),
        book=html.escape(frame.book),
        chapter=html.escape(frame.chapter),
        recipe=html.escape(frame.recipe),
        credit=html.escape(frame.credit),
        megabytes=f"{packed / 1e6:.1f}",
        classes=len(planned.class_names),
        layer=html.escape(frame.units.layer if frame.units else ""),
        examples="\n".join(figures),
    )


# ------------------------------------------------------------------------------------------------------------
# Examples


def _example(model: nn.Module, example: Example, folder: Path, side: int) -> str:
    """Write an example's photograph and map, and return its figure."""
    picture = _as_pil(image.center_crop(example.pixels, side))
    _save(picture, folder / f"{example.name}.webp")
    with Image.open(folder / f"{example.name}.webp") as kept:  # what the page will read
        seen = image.from_pil(kept.convert("RGB"))
    names: Sequence[str] = model.class_names  # type: ignore[assignment]
    heat, shares = evidence(model, seen)
    _save(overlaid(seen, heat), folder / f"{example.name}-map.webp")
    first = names[int(shares.argmax())]
    said = ", ".join(f"{names[index]} {100 * shares[index]:.0f}\u00a0%" for index in shares.topk(3).indices)
    words = html.escape(example.words)
    return (
        f'      <figure class="example" id="{html.escape(example.name)}"><div>'
        f'<img src="examples/{example.name}.webp" width="{side}" height="{side}" alt="{words}">'
        f'<img src="examples/{example.name}-map.webp" width="{side}" height="{side}" '
        f'alt="The same with the map of {html.escape(first)} over it"></div>'
        f"<figcaption>{html.escape(said)}</figcaption></figure>"
    )


@torch.no_grad()
def evidence(model: nn.Module, images: Tensor) -> tuple[Tensor, Tensor]:
    """Return the map (H, W) of the first class of one image, at the size of the last layer, and all shares (classes,).

    Each number is what a place adds to the logit: weight times activation, summed over channels.
    """
    with hooks.record(model, [LAST]) as found:
        logits = model(images)[0]
    weight = model.classifier.weight[logits.argmax()]  # type: ignore[union-attr, index]
    return torch.einsum("c,chw->hw", weight, found[LAST][0]), logits.softmax(0)


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
