"""A parameterization by a trained network: only pictures that it can make are looked at."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from typing import Self, cast

from torch import Tensor, nn

from interp import image
from interp.errors import BadInputError
from interp.featurevis.parameterizations import Parameterization, Size, check_size
from interp.featurevis.streams import normal, streams

RADIUS = 1.0  # root mean square of a code; those of pictures have 1 on average


class GeneratorImage(Parameterization):
    """Codes of a generator, which makes the images of them and stays as it is.

    Nguyen et al., 2016, https://arxiv.org/abs/1605.09304. The codes of real pictures have mean 0 and variance 1, so the
    ascent starts near the middle, and a code that leaves the ball around it is drawn back to its surface.

    Args:
        generator: takes codes (N, K, h, w) and gives images (N, 3, stride h, stride w) in [0, 1]; its attributes
            `channels` and `stride` say K and how many pixels a code has along each side. `zoo.load_generator()` is one.
        size: (height, width) in pixels, multiples of the stride, or one number for a square.
        count: how many images.
        seed, names: the start depends on these only; without names the images are called "0", "1", ...
        noise: standard deviation of the codes at the start.
        radius: the largest root mean square of the K numbers of a code; infinity lets them go anywhere.

    Raises:
        BadInputError: the generator does not say what it takes, the size is no multiple of the stride, or the radius is
            not positive.
    """

    said = ("seed", "noise", "radius", "stride")
    channels = 3

    def __init__(
        self,
        generator: nn.Module,
        size: Size = 128,
        count: int = 1,
        *,
        seed: int = 0,
        names: Sequence[str] | None = None,
        noise: float = 0.1,
        radius: float = RADIUS,
    ) -> None:
        super().__init__(size, count, names)
        self.stride, codes = _says(generator, "stride"), _says(generator, "channels")
        if not radius > 0:
            raise BadInputError(f"The radius of the codes has to be positive; got {radius}.")
        self.radius, self.generator = float(radius), _frozen(generator)
        self.seed: int | None = seed
        self.noise: float | None = noise
        random = streams(seed, "generator", self.names)
        self.latent = nn.Parameter(noise * normal(random, (codes, *self._grid())))

    @classmethod
    def of(cls, generator: nn.Module, codes: Tensor, *, radius: float = math.inf) -> Self:
        """Start from codes (N, K, h, w), such as those of photographs: `generator.codes_of(model, images)`.

        Raises:
            BadInputError: the codes are not those of the generator.
        """
        stride, channels = _says(generator, "stride"), _says(generator, "channels")
        if codes.ndim != 4 or codes.shape[1] != channels:
            raise BadInputError(
                f"The generator takes codes (N, {channels}, h, w); these have the shape {tuple(codes.shape)}."
            )
        size = (stride * codes.shape[2], stride * codes.shape[3])
        out = cls(generator, size, len(codes), radius=radius)
        out.seed = out.noise = None
        out.latent = nn.Parameter(codes.detach().float().clone())
        return out

    @property
    def codes(self) -> Tensor:
        """The codes (N, K, h, w), none of them outside of the ball."""
        length = self.latent.square().mean(1, keepdim=True).add(1e-12).sqrt()
        return self.latent * (self.radius / length).clamp(max=1)

    def forward(self) -> Tensor:
        return cast(Tensor, self.generator(self.codes))

    def resized(self, size: Size) -> Self:
        out = super().resized(size)
        out.latent = nn.Parameter(image.resize(self.latent.detach(), out._grid()))
        return out

    def _grid(self) -> tuple[int, int]:
        height, width = check_size(self.size)
        if height % self.stride or width % self.stride:
            raise BadInputError(
                f"The sides of the images have to be multiples of {self.stride}, the pixels of one code; got "
                f"{height} x {width}."
            )
        return height // self.stride, width // self.stride


def _says(generator: nn.Module, what: str) -> int:
    value = getattr(generator, what, None)
    if not isinstance(value, int) or value < 1:
        raise BadInputError(
            f"The generator has to have the attribute {what!r}, a positive whole number; {type(generator).__name__} "
            f"has {value!r}. Use zoo.load_generator(), or set it: generator.stride, generator.channels = 32, 128."
        )
    return value


def _frozen(generator: nn.Module) -> nn.Module:
    """Return a copy in evaluation mode whose weights are no parameters: the ascent moves all of these."""
    out = copy.deepcopy(generator).float().eval()
    for module in out.modules():
        for name, value in list(module.named_parameters(recurse=False)):
            del module._parameters[name]
            module.register_buffer(name, value.detach())
    return out
