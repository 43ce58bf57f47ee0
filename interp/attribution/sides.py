"""What speaks for a target and what against it, apart: class activation maps of anything, in several layers at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from interp import hooks
from interp.attribution.passes import layer_gradients, like
from interp.attribution.targets import Target
from interp.errors import BadInputError


@dataclass(frozen=True)
class Sides:
    """Two maps of the same layer and target.

    Attributes:
        favor: (N, H, W), from 0 upwards: the sum over channels of what each adds to the score.
        against: (N, H, W), from 0 upwards: the sum over channels of what each takes from it.
    """

    favor: Tensor
    against: Tensor

    @property
    def total(self) -> Tensor:
        """(N, H, W), of both signs: what speaks for the target, minus what speaks against it."""
        return self.favor - self.against


def for_and_against(
    model: nn.Module,
    images: Tensor,
    target: Target,
    layers: str | Sequence[str],
    *,
    by_position: bool = False,
) -> dict[str, Sides]:
    """Return {layer: what speaks for and what against the target}, for all layers from one pass forth and back.

    A channel adds its activation times its gradient: the gradient's mean over the positions, as in Grad-CAM (Selvaraju
    et al., 2016, https://arxiv.org/abs/1610.02391), or the gradient at the position itself, as in HiResCAM (Draelos
    and Carin, 2020, https://arxiv.org/abs/2011.08891). The positive and the negative products of the channels are
    summed apart, so a place where much speaks for and as much against the target is not empty. Where everything behind
    the layer is linear up to a constant, as in front of a global pooling, what the positions add up to is the score.

    Args:
        model: takes images in [0, 1]; it comes back as it was.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class, one for each image, a function of the logits, or an aim: `unit("blocks.4.2", 17)`,
            `along(layer, direction)`, `logit("tabby") - logit("beagle")`, `inside(layer, function)`, an objective of
            `featurevis`. The forward pass stops at the deepest layer that is needed.
        layers: one name or several; none may lie behind what the aim looks at.
        by_position: take the gradient of each position for itself. For an aim at one position, or far from the end of
            the network, where gradients differ from place to place.

    Returns:
        Maps (N, H, W), resized smoothly to the images, in units of the score, without any cutting at 0.

    Raises:
        UnknownNameError: there is no layer or class of that name; the message lists the closest.
        BadInputError: images, target or layers do not fit; the message says how to mend it.

    Warns:
        UserWarning: a layer runs more than once.
    """
    wanted = [layers] if isinstance(layers, str) else list(layers)
    if not wanted:
        raise BadInputError("No layer is named. Give at least one, as `hooks.layer_names(model)` lists them.")
    found = layer_gradients(model, hooks.check_images(model, images), target, wanted)
    return {layer: _sides(*pair, images, by_position) for layer, pair in found.items()}


def _sides(activations: Tensor, gradient: Tensor, images: Tensor, by_position: bool) -> Sides:
    weights = gradient if by_position else gradient.mean(dim=(2, 3), keepdim=True)
    products = weights * activations
    favor, against = (part.relu().sum(dim=1) for part in (products, -products))
    return Sides(like(favor, images), like(against, images))
