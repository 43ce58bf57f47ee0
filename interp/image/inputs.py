"""What a network takes: how many channels, and how these are shown as a picture."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from interp.errors import BadInputError
from interp.image.tensors import as_rgb, check

Show = Callable[[Tensor], Tensor]  # (N, C, H, W) -> (N, 3, H, W)


@dataclass(frozen=True)
class Inputs:
    """The images of a network: (N, channels, H, W), floating point, in [0, 1].

    A network carries it as `model.inputs`, which `zoo.normalized` sets; `hooks.inputs_of` finds it.

    Attributes:
        channels: how many; 3 are red, green and blue.
        show: makes pictures (N, 3, H, W) in [0, 1] of images (N, channels, H, W). Without it three channels are shown
            as they are, one as gray, two as the gray of their mean, and of more the first three as red, green, blue.

    Raises:
        BadInputError: the channels are no whole number from 1 up, or `show` is no function.
    """

    channels: int = 3
    show: Show | None = None

    def __post_init__(self) -> None:
        try:
            object.__setattr__(self, "channels", operator.index(self.channels))
        except TypeError:
            raise BadInputError(f"The channels are a whole number; got {self.channels!r}.") from None
        if self.channels < 1:
            raise BadInputError(f"An image has at least one channel; got {self.channels}.")
        if self.show is not None and not callable(self.show):
            raise BadInputError(f"`show` is a function from images to pictures; got {self.show!r:.80}.")

    def check(self, images: Tensor) -> Tensor:
        """Return images unchanged if they are such, as `image.check` does."""
        return check(images, self.channels)

    def pictures(self, images: Tensor) -> Tensor:
        """Return pictures (N, 3, H, W) in [0, 1] of images (N, channels, H, W).

        Raises:
            BadInputError: the images are others, or what `show` gave is no picture of each.
        """
        if images.ndim != 4 or images.shape[1] != self.channels:
            raise BadInputError(
                f"Images (N, {self.channels}, H, W) are needed to be shown; these have {tuple(images.shape)}."
            )
        if self.show is None:
            return as_rgb(images.mean(dim=1, keepdim=True) if self.channels == 2 else images[:, :3])
        shown = self.show(images)
        if not isinstance(shown, Tensor) or shown.shape[:2] != (len(images), 3):
            given = tuple(shown.shape) if isinstance(shown, Tensor) else type(shown).__name__
            raise BadInputError(
                f"`show` has to give ({len(images)}, 3, H, W) for these images; it gave {given}."
            )
        return check(shown)


RGB = Inputs()
