"""EfficientNet-Lite0 in plain torch, the network that the book looks into, and its larger siblings Lite1 and Lite2.

The architecture is that of https://github.com/tensorflow/tpu (models/official/efficientnet/lite),
a variant of EfficientNet (Tan and Le, 2019, https://arxiv.org/abs/1905.11946) without squeeze-and-excitation and with
ReLU6. The weights were trained with TensorFlow, whose "same" padding is asymmetric at stride 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from interp.image import Normalize

Stage = tuple[int, int, int, int, int]
# (expansion, channels out, blocks, stride of the first block, kernel) of the seven stages.
STAGES: tuple[Stage, ...] = (
    (1, 16, 1, 1, 3),
    (6, 24, 2, 2, 3),
    (6, 40, 2, 2, 5),
    (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5),
    (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)
MULTIPLE = 8  # widened channels are rounded to it
BATCH_NORM_EPSILON = 1e-3  # TensorFlow's default, torch's is 1e-5


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow does it: the output has ceil(input / stride) positions.

    An odd number of padded pixels leaves one more at the right and at the bottom. Copying the image for its sake costs
    a third of a rendering's time, so the kernel gets a row and a column of zeros instead, and the padding is the same
    on all sides.
    """

    def forward(self, images: Tensor) -> Tensor:
        rows, columns = (self._padded(images.shape[place], place - 2) for place in (2, 3))
        weight = F.pad(self.weight, (columns % 2, 0, rows % 2, 0))
        padding = (-(-rows // 2), -(-columns // 2))
        return F.conv2d(images, weight, self.bias, self.stride, padding, groups=self.groups)

    def _padded(self, side: int, place: int) -> int:
        """Return how many pixels TensorFlow adds along one side in all."""
        stride, kernel = self.stride[place], self.kernel_size[place]
        return max((-(-side // stride) - 1) * stride + kernel - side, 0)


def conv(inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> nn.Conv2d:
    """Return a convolution without bias; only those with a stride need TensorFlow's padding."""
    if stride == 1:
        return nn.Conv2d(inside, outside, kernel, padding=kernel // 2, groups=groups, bias=False)
    return SameConv(inside, outside, kernel, stride=stride, groups=groups, bias=False)


def norm(channels: int) -> nn.BatchNorm2d:
    """Return batch normalization with TensorFlow's epsilon."""
    return nn.BatchNorm2d(channels, eps=BATCH_NORM_EPSILON)


class Block(nn.Module):
    """An inverted residual: expand to more channels, filter each alone, project down without a non-linearity.

    The output is linear, so it has both signs. Where the shape stays the same, the input is added.
    """

    def __init__(self, inside: int, outside: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        wide = inside * expansion
        self.residual = stride == 1 and inside == outside
        self.expands = expansion > 1
        if self.expands:
            self.expand = conv(inside, wide)
            self.bn_expand = norm(wide)
            self.act_expand = nn.ReLU6()
        self.depthwise = conv(wide, wide, kernel, stride, groups=wide)
        self.bn_depthwise = norm(wide)
        self.act_depthwise = nn.ReLU6()
        self.project = conv(wide, outside)
        self.bn_project = norm(outside)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = x
        if self.expands:
            out = self.act_expand(self.bn_expand(self.expand(out)))
        out = self.act_depthwise(self.bn_depthwise(self.depthwise(out)))
        out = self.bn_project(self.project(out))
        return x + out if self.residual else out


class EfficientNetLite(nn.Module):
    """A network of the family for images (N, 3, H, W) in [0, 1]; returns logits (N, classes).

    Layers: conv_stem, blocks.0.0 to blocks.6.0, conv_head, classifier; inside a block expand, depthwise, project, each
    followed by its batch norm (bn_...) and, for the first two, its activation (act_...).

    Attributes:
        side: of the images that it was trained for in pixels; it runs on others too.
    """

    class_names: tuple[str, ...] = ()
    width, depth, side = 1.0, 1.0, 224

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        stages = scaled(self.width, self.depth)
        self.normalize = Normalize(mean=[127 / 255] * 3, std=[128 / 255] * 3)
        self.conv_stem = conv(3, 32, kernel=3, stride=2)
        self.bn_stem = norm(32)
        self.act_stem = nn.ReLU6()
        self.blocks = _stages(32, stages)
        self.conv_head = conv(stages[-1][1], 1280)
        self.bn_head = norm(1280)
        self.act_head = nn.ReLU6()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(1280, classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.act_stem(self.bn_stem(self.conv_stem(self.normalize(images))))
        x = self.act_head(self.bn_head(self.conv_head(self.blocks(x))))
        logits: Tensor = self.classifier(self.pool(x).flatten(1))
        return logits


class EfficientNetLite0(EfficientNetLite):
    """The smallest: 4.7 million weights, 16 blocks."""


class EfficientNetLite1(EfficientNetLite):
    """Deeper by a tenth: 5.4 million weights, 21 blocks of the widths of Lite0."""

    width, depth, side = 1.0, 1.1, 240


class EfficientNetLite2(EfficientNetLite):
    """Deeper by a fifth and wider by a tenth: 6.1 million weights, 21 blocks."""

    width, depth, side = 1.1, 1.2, 260


def scaled(width: float, depth: float) -> tuple[Stage, ...]:
    """Return the stages of a wider and deeper network; the first and the last keep their number of blocks.

    Args:
        width: times as many channels, rounded to a multiple of 8, but never to less than 0.9 of them.
        depth: times as many blocks, rounded up.
    """
    ends = (0, len(STAGES) - 1)
    return tuple(
        (
            expansion,
            _widened(outside, width),
            count if place in ends else math.ceil(count * depth),
            stride,
            kernel,
        )
        for place, (expansion, outside, count, stride, kernel) in enumerate(STAGES)
    )


def _widened(channels: int, width: float) -> int:
    wanted = channels * width
    rounded = max(MULTIPLE, int(wanted + MULTIPLE / 2) // MULTIPLE * MULTIPLE)
    return rounded + MULTIPLE * (rounded < 0.9 * wanted)


def _stages(channels: int, table: Sequence[Stage]) -> nn.Sequential:
    stages = []
    for expansion, outside, count, stride, kernel in table:
        first = Block(channels, outside, expansion, stride, kernel)
        rest = [Block(outside, outside, expansion, 1, kernel) for _ in range(count - 1)]
        stages.append(nn.Sequential(first, *rest))
        channels = outside
    return nn.Sequential(*stages)
