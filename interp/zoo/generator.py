"""A small network that turns features of the embedded network back into pictures, trained by this project.

Dosovitskiy and Brox, 2016, https://arxiv.org/abs/1602.02644, trained such decoders; Nguyen et al., 2016,
https://arxiv.org/abs/1605.09304, looked for pictures in their space. `tools/train_generator.py` trains this one.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp import hooks
from interp.errors import BadInputError, DamagedFileError
from interp.zoo import files

LAYER = "blocks.5.3"  # of the embedded network: 192 channels before any ReLU, one position for 32 x 32 pixels
FEATURES, CODES = 192, 128
WIDTHS = (256, 192, 96, 48, 24)  # channels at 1/32, 1/16, 1/8, 1/4 and 1/2 of the picture's side
STRIDE = 2 ** len(WIDTHS)

FILE = Path(__file__).parent / "embedded" / "generator.safetensors"
SHA256 = "6cbddc76443e6c983c767461d88fa91bdbc1ddb70b6baaec5a0ac408c1d120df"


class Residual(nn.Module):
    """Two convolutions whose result is added to what came in."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.first, self.second = (nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, values: Tensor) -> Tensor:
        """Return (N, width, H, W)."""
        return F.leaky_relu(values + self.second(F.leaky_relu(self.first(values), 0.2)), 0.2)


class Generator(nn.Module):
    """From codes (N, 128, h, w) to pictures (N, 3, 32 h, 32 w) in [0, 1], fully convolutional.

    A code is the features of one position of a layer in the axes of their principal components, each with mean 0 and
    variance 1 over the training pictures: code = encode @ (features - mean).

    Attributes:
        layer: whose features the codes are.
        stride: pixels of the picture for one position, along each side.
        channels: the number of numbers in a code.
        mean, encode: (192,) and (128, 192).
    """

    layer, stride, channels = LAYER, STRIDE, CODES
    mean: Tensor
    encode: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(FEATURES))
        self.register_buffer("encode", torch.eye(CODES, FEATURES))
        widths = (CODES, *WIDTHS)
        self.convs = nn.ModuleList(
            [
                nn.Conv2d(inside, outside, 3, padding=1)
                for inside, outside in zip(widths, WIDTHS, strict=False)
            ]
        )
        self.blocks = nn.ModuleList([Residual(width) for width in WIDTHS])
        self.last = nn.Conv2d(WIDTHS[-1], 12, 3, padding=1)  # 3 colors of 2 x 2 pixels

    def forward(self, codes: Tensor) -> Tensor:
        """Return the pictures of codes."""
        return F.pixel_shuffle(self.latent(codes), 2).sigmoid()

    def latent(self, codes: Tensor) -> Tensor:
        """Return what the last layer gives, before the sigmoid: (N, 12, 16 h, 16 w), 3 colors of 2 x 2 pixels."""
        values = codes
        for index, (conv, block) in enumerate(zip(self.convs, self.blocks, strict=True)):
            if index:
                values = F.interpolate(values, scale_factor=2.0, mode="nearest")
            values = block(F.leaky_relu(conv(values), 0.2))
        return cast(Tensor, self.last(values))

    def code(self, features: Tensor) -> Tensor:
        """Return the codes (N, 128, h, w) of the layer's features (N, 192, h, w)."""
        centered = features - self.mean[:, None, None]
        return torch.einsum("kc,nchw->nkhw", self.encode, centered)

    @torch.no_grad()
    def codes_of(self, model: nn.Module, images: Tensor) -> Tensor:
        """Return the codes of images (N, 3, H, W) in [0, 1], whose sides are multiples of 32.

        Args:
            model: the embedded network, `zoo.load_model()`.
            images: what it is to see.

        Raises:
            BadInputError: a side is no multiple of 32.
        """
        if any(side % self.stride for side in images.shape[-2:]):
            raise BadInputError(
                f"The sides of the images have to be multiples of {self.stride}, the pixels of one code; they are "
                f"{tuple(images.shape[-2:])}. Use zoo.example_images(..., size=224) or image.resize."
            )
        return self.code(hooks.activations(model, images, self.layer))


# ------------------------------------------------------------------------------------------------------------
# The file: safetensors, https://github.com/huggingface/safetensors, read and written without the library:
# eight bytes of length, a table in JSON, then the numbers.


def to_bytes(generator: Generator) -> bytes:
    """Return the content of a file with the weights, in half precision."""
    table: dict[str, Any] = {"__metadata__": {"layer": generator.layer, "stride": str(generator.stride)}}
    numbers = b""
    for name, value in generator.state_dict().items():
        raw = value.detach().cpu().half().contiguous().numpy().astype("<f2").tobytes()
        table[name] = {
            "dtype": "F16", "shape": list(value.shape), "data_offsets": [len(numbers), len(numbers) + len(raw)]
        }  # fmt: skip
        numbers += raw
    head = json.dumps(table).encode()
    head += b" " * (-len(head) % 8)
    return struct.pack("<Q", len(head)) + head + numbers


def from_bytes(content: bytes) -> dict[str, Tensor]:
    """Return the tensors in the content of a safetensors file, float32; only those in half precision are read.

    Raises:
        DamagedFileError: it is no such file.
    """
    try:
        (length,) = struct.unpack_from("<Q", content)
        table = json.loads(content[8 : 8 + length])
        table.pop("__metadata__", None)
        return {name: _tensor(entry, content[8 + length :]) for name, entry in table.items()}
    except (struct.error, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise DamagedFileError(
            f"This is no safetensors file with numbers in half precision. Get it again. ({error})"
        ) from error


def _tensor(entry: dict[str, Any], numbers: bytes) -> Tensor:
    if entry["dtype"] != "F16":
        raise ValueError(f"an entry holds {entry['dtype']}")
    first, end = entry["data_offsets"]
    values = np.frombuffer(numbers[first:end], dtype="<f2").astype(np.float32)
    return torch.from_numpy(values).reshape(entry["shape"])


def load_generator(*, shuffled: int | None = None) -> Generator:
    """Return the trained generator, in evaluation mode.

    Args:
        shuffled: a seed: the weights of each layer change places at random, so that nothing is left of the training but
            their sizes. The last layer is then scaled and moved, so that what it gives before the sigmoid has the same
            mean and standard deviation. It is the control for what the training, and what the architecture brings.

    Raises:
        MissingFileError, DamagedFileError: the file with the weights is missing, or another.
    """
    weights = from_bytes(files.read_checked(FILE, SHA256))
    generator = _loaded(weights)
    return generator if shuffled is None else _as_loud(_loaded(_shuffled(weights, shuffled)), generator)


def _loaded(weights: dict[str, Tensor]) -> Generator:
    with torch.random.fork_rng(devices=[]):  # weights are random before they are loaded
        generator = Generator()
    generator.load_state_dict(weights)
    return generator.eval()


@torch.no_grad()
def _as_loud(other: Generator, generator: Generator) -> Generator:
    """Scale and move the last layer of another generator, so that it gives the same mean and standard deviation."""
    codes = torch.randn(16, CODES, 4, 4, generator=torch.Generator().manual_seed(0))
    ours, theirs = generator.latent(codes), other.latent(codes)
    gain = ours.std() / theirs.std()
    other.last.weight.mul_(gain)
    cast(Tensor, other.last.bias).mul_(gain).add_(ours.mean() - gain * theirs.mean())
    return other


def _shuffled(weights: dict[str, Tensor], seed: int) -> dict[str, Tensor]:
    """Return the same numbers of each layer at other places; the axes of the codes stay."""
    dice = torch.Generator().manual_seed(seed)
    kept = ("mean", "encode")
    return {
        name: value
        if name in kept
        else value.flatten()[torch.randperm(value.numel(), generator=dice)].view_as(value)
        for name, value in weights.items()
    }
