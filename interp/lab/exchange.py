"""A network as an ONNX file that also gives the class-activation maps of all classes, for programs without torch."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn
from torch.fx.node import map_arg

from interp import runs
from interp.errors import BadInputError, MissingExtraError, MissingFileError
from interp.lab.check import TOLERANCE, apart
from interp.lab.graph import Graph, Head, exported
from interp.lab.plan import side_of

OUTPUTS = ("logits", "maps")


def export_onnx(
    model: nn.Module, file: str | os.PathLike[str], *, side: int | None = None
) -> tuple[int, int, int]:
    """Write a network with a second output: the map of every class, as `attribution.grad_cam` gives it for one.

    The input `images` is (N, 3, side, side) in [0, 1], the normalization is part of the network; `logits` is
    (N, classes), `maps` (N, classes, h, w). A number of a map is what its place adds to the logit: weight times
    activation, summed over channels. The mean of a map and the bias of the class are the logit (Zhou et al., 2016,
    https://arxiv.org/abs/1512.04150), and a map divided by its number of places, without negative numbers and resized
    to the image is Grad-CAM at the last layer.

    Args:
        model: takes images (N, 3, H, W) in [0, 1], and ends in the mean over all places and a linear layer; left as it
            was.
        file: is replaced.
        side: of the square images in pixels; None asks the network for its `side`, and is 224 where it has none.

    Returns:
        (classes, h, w) of the maps.

    Raises:
        MissingExtraError: the packages of the extra `onnx` are not installed.
        MissingFileError: there is no such folder.
        BadInputError: the network does not end in this way, or it cannot be followed or written.
    """
    _check_extra()
    if not Path(file).absolute().parent.is_dir():
        raise MissingFileError(f"There is no folder {str(Path(file).parent)!r}. Make it first.")
    side = side_of(model, side)
    graph = exported(model, side, batch=2)
    if isinstance(graph.head, str):
        raise BadInputError(
            f"There are no exact maps of this network, which are the second output: {graph.head}. torch.onnx.export "
            "writes it without them."
        )
    both = _WithMaps(graph, graph.head)
    images = torch.rand(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        wanted, (logits, maps) = graph.model(images), both(images)
    if not apart(logits, wanted) <= TOLERANCE:
        raise BadInputError(
            "The network gives other logits each time, or none that are numbers. Does a dropout stay on in evaluation "
            "mode, as F.dropout(x) does without training=self.training?"
        )
    runs.write(file, _written(both, images))
    classes, height, width = maps.shape[1:]
    return classes, height, width


def _check_extra() -> None:
    for package in ("onnx", "onnxscript"):
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise MissingExtraError(package, "onnx", "Writing an ONNX file") from error


def _written(both: nn.Module, images: Tensor) -> bytes:
    """Return the file's content."""
    batch = {0: torch.export.Dim.DYNAMIC}
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter, about itself
        path = Path(folder) / "network.onnx"
        try:
            with contextlib.redirect_stdout(io.StringIO()):
                torch.onnx.export(
                    both,
                    (images,),
                    path,
                    input_names=["images"],
                    output_names=list(OUTPUTS),
                    dynamic_shapes=(batch,),
                    dynamo=True,
                    external_data=False,
                    verbose=False,
                )
        except Exception as error:  # the exporter raises whatever an operation makes it stumble over
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise BadInputError(f"torch.onnx.export cannot write this network: {reason:.400}") from error
        return path.read_bytes()


class _WithMaps(nn.Module):
    """Computes a network operation by operation, and the maps on the way."""

    def __init__(self, graph: Graph, head: Head) -> None:
        super().__init__()
        self.graph, self.head = graph.program.graph, head
        self.result, self.image = graph.output, graph.image
        self.known = _folded(self.graph, graph.constants)
        for name, values in self.known.items():
            self.register_buffer(f"constant_{name}", values)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits (N, classes) and the maps (N, classes, h, w)."""
        values: dict[Any, Any] = {self.image: images}
        for node in self.graph.nodes:
            if node.name in self.known:
                values[node] = getattr(self, f"constant_{node.name}")
            elif node.op == "call_function":
                args, kwargs = map_arg((node.args, node.kwargs), values.__getitem__)
                values[node] = node.target(*args, **kwargs)
        weight = values[self.head.linear.args[1]]
        return values[self.result], F.conv2d(values[self.head.last], weight[:, :, None, None])


def _folded(graph: fx.Graph, constants: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return what is the same for every image, by the names of the nodes that give it.

    Left to the exporter, a kernel that is padded with zeros (as torch.export writes some convolutions) stays an
    operation of the file, and onnxruntime 1.30 to 1.32 takes it for padding of the image and refuses the file.
    """
    known = {node: constants[node.name] for node in graph.nodes if node.name in constants}
    for node in graph.nodes:
        inputs = node.all_input_nodes
        if node.op == "call_function" and inputs and all(one in known for one in inputs):
            args, kwargs = map_arg((node.args, node.kwargs), known.__getitem__)
            found = node.target(*args, **kwargs)
            if isinstance(found, Tensor):
                known[node] = found
    return {node.name: values for node, values in known.items()}
