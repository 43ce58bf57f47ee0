"""Ask the layers of a network how they hold channels and positions, and what they give."""

from __future__ import annotations

import contextlib
import functools
import sys
import threading
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError
from interp.hooks.holding import ALWAYS_FIRST, FIRST, KINDS, Answers, Layout, questions
from interp.hooks.names import evaluating, find_layer, layer_names, list_of_names, ready


class Stop(BaseException):
    """Ends a forward pass as soon as everything asked for is there; never leaves this package.

    Attributes:
        owner: whose pass ends; a network may itself look into networks, whose passes are others.
    """

    def __init__(self, owner: object) -> None:
        super().__init__()
        self.owner = owner


@contextlib.contextmanager
def until_stopped(owner: object) -> Iterator[None]:
    """Run a pass that its owner may end."""
    try:
        yield
    except Stop as stop:
        if stop.owner is not owner:
            raise


_ASKING = threading.local()
# What layers said when they were asked: their layout, None where they cannot tell, UNHEARD where they were not reached.
UNKNOWN, UNHEARD = "unknown", "unheard"
Said = Layout | None | str
_KNOWN: WeakKeyDictionary[nn.Module, dict[tuple[int, int], Said]] = WeakKeyDictionary()


def layouts(model: nn.Module, layers: Sequence[str], images: Tensor) -> dict[str, Layout]:
    """Return {layer: its layout} of those layers that have channels and positions.

    A layer says how it holds them by how it answers to four random images, of which halves differ. Where it cannot
    say it, a network can: its attribute `layouts`, {layer: Layout}, comes before everything else.

    Args:
        model: any network.
        layers: names as `layer_names` lists them.
        images: (N, C, H, W) of the kind and size that the network takes; their values do not matter.

    Raises:
        UnknownNameError: a layer does not exist.
    """
    found = known_layouts(model, list_of_names(layers), ready(model, images))
    return {name: said for name, said in found.items() if said is not None}


def layout(model: nn.Module, layer: str, images: Tensor) -> Layout | None:
    """Return the layout of one layer, None if it has no positions or cannot tell; see `layouts`."""
    return layouts(model, [layer], images).get(layer)


def known_layouts(model: nn.Module, layers: Sequence[str], images: Tensor | None) -> dict[str, Layout | None]:
    """Return {layer: its layout, None where it does not tell}; layers that were asked before are not asked again.

    Layers are missing that the network did not reach when it was asked, or if there are no images to ask with.
    """
    given = _given(model)
    found: dict[str, Layout | None] = {name: given[name] for name in layers if name in given}
    named = {name: find_layer(model, name) for name in layers if name not in found}
    found |= {name: FIRST for name, layer in named.items() if isinstance(layer, ALWAYS_FIRST)}
    if images is None:
        return found
    size = (images.shape[2], images.shape[3])
    asked = {name: layer for name, layer in named.items() if name not in found}
    unknown = {layer for layer in asked.values() if _said(layer, size) is UNKNOWN}
    if unknown:
        for layer, said in {**dict.fromkeys(unknown, UNHEARD), **_ask(model, unknown, images)}.items():
            _KNOWN.setdefault(layer, {})[size] = said
    told = {name: _said(layer, size) for name, layer in asked.items()}
    return found | {name: said for name, said in told.items() if not isinstance(said, str)}


def _given(model: nn.Module) -> Mapping[str, Layout]:
    given = getattr(model, "layouts", None) or getattr(image.unwrapped(model), "layouts", None) or {}
    if not isinstance(given, Mapping):
        return {}  # a network's own attribute of the same name
    kinds = [one for one in given.values() if isinstance(one, str) and one in KINDS]
    if kinds:
        raise BadInputError(
            f"model.layouts holds the text {kinds[0]!r}; a layout is hooks.Layout({kinds[0]!r})."
        )
    return given if all(isinstance(one, Layout) for one in given.values()) else {}


def _said(layer: nn.Module, size: tuple[int, int]) -> Said:
    """Return what a layer said of its layout at a size; only that of tokens depends on it."""
    known = _KNOWN.get(layer, {})
    anywhere = (said for said in known.values() if isinstance(said, Layout) and said.grid is None)
    return known[size] if size in known else next(anywhere, UNKNOWN)


def _ask(model: nn.Module, wanted: set[nn.Module], images: Tensor) -> dict[nn.Module, Layout | None]:
    """Return what the wanted layers say of their layouts; the pass stops at the last of them."""
    answers, found = Answers((images.shape[2], images.shape[3])), dict[nn.Module, Layout | None]()

    me, depth = threading.get_ident(), asking_depth() + 1

    def hear(layer: nn.Module, _inputs: Any, output: Any) -> None:
        if (
            (threading.get_ident(), asking_depth()) == (me, depth)
            and isinstance(output, Tensor)
            and output.ndim > 1
            and layer not in found
        ):
            output = output.dequantize() if output.is_quantized else output
            answers.hear(output, isinstance(layer, ALWAYS_FIRST))
            if layer in wanted:
                found[layer] = answers.layout(output)
                if found.keys() >= wanted:
                    raise Stop(found)

    with contextlib.ExitStack() as stack:
        for layer in model.modules():
            if layer is not model:
                stack.callback(layer.register_forward_hook(hear).remove)
        with asking(model, images), until_stopped(found):
            model(questions(images))
    return found


def asking_depth() -> int:
    """Return in how many passes that only ask this thread is; whoever came before them is not to listen to them."""
    return getattr(_ASKING, "depth", 0)


@contextlib.contextmanager
def asking(model: nn.Module, images: Tensor) -> Iterator[None]:
    """Run a model without any trace, and without any error: what it says until it fails is enough.

    Only a memory that is full is an error, since what a network then says is not remembered as all that it can say.
    """
    devices = [images.device] if images.device.type == "cuda" else []
    _ASKING.depth = asking_depth() + 1
    try:
        with torch.random.fork_rng(devices), torch.no_grad(), evaluating(model), _interpreted():
            yield
    except torch.OutOfMemoryError:
        raise
    except Exception:  # a foreign forward raises whatever it likes  # noqa: BLE001
        return
    finally:
        _ASKING.depth -= 1


def _interpreted() -> contextlib.AbstractContextManager[object]:
    """Return a context in which compiled parts run as they are: compiling them for four images would take minutes."""
    if "torch._dynamo" not in sys.modules:  # importing it takes seconds
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


@dataclass(frozen=True)
class Survey:
    """What one layer gives.

    Attributes:
        name: of the layer.
        kind: the name of its class.
        shape: of its first output, with the batch; None if it does not run or gives something else than one tensor.
        layout: how the output holds channels and positions, None if it has none or cannot tell.
        runs: how often it runs in one pass; all methods take the first output.
    """

    name: str
    kind: str
    shape: tuple[int, ...] | None
    layout: Layout | None
    runs: int


@torch.no_grad()
def survey(model: nn.Module, images: Tensor) -> list[Survey]:
    """Return what each layer gives, in the order of `layer_names`.

    It takes one pass in evaluation mode, and one for the layouts. What the network raises behind a layer is passed
    over: the layers before it are known.

    Args:
        model: any network.
        images: (N, C, H, W) of the kind and size that it takes.
    """
    shapes: dict[str, tuple[int, ...] | None] = {}
    runs: Counter[str] = Counter()

    def hear(name: str, _layer: nn.Module, _inputs: Any, output: Any) -> None:
        if (threading.get_ident(), asking_depth()) == (me, depth):
            runs[name] += 1
            shapes.setdefault(name, tuple(output.shape) if isinstance(output, Tensor) else None)

    me, depth = threading.get_ident(), asking_depth() + 1
    names, images = layer_names(model), ready(model, images)
    with contextlib.ExitStack() as stack:
        for name in names:
            hook = functools.partial(hear, name)
            stack.callback(find_layer(model, name).register_forward_hook(hook).remove)
        with asking(model, images):
            model(images)
    told = layouts(model, [name for name in names if len(shapes.get(name) or ()) in (3, 4)], images)
    return [
        Survey(name, type(find_layer(model, name)).__name__, shapes.get(name), told.get(name), runs[name])
        for name in names
    ]
