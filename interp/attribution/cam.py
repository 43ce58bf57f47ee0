"""Class activation maps: what a layer's channels show, weighted by what they mean for the score.

All variants start from the same two tensors, the activations A of a layer and the gradient G of the score with respect
to them, both (N, C, h, w). They differ in one line each.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from torch import Tensor, nn

from interp import hooks
from interp.attribution.passes import layer_gradient, like, single
from interp.attribution.targets import Target

Variant = Callable[[Tensor, Tensor], Tensor]
TINY = 1e-12


def grad_cam(model: nn.Module, images: Tensor, target: Target, layer: str) -> Tensor:
    """Return Grad-CAM: each channel is weighted by the mean of its gradient.

    Selvaraju et al., 2016, https://arxiv.org/abs/1610.02391

    Args:
        model: takes images in [0, 1], returns logits; it comes back as it was.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class index or name, a list with one for each image, or a function of the logits.
        layer: a name as `hooks.layer_names` lists them. Usually the last one before the pooling, behind its
            activation: "act_head" in the default network. It may hold its channels last, or tokens on a grid; of a
            vision transformer, whose score reads the class token alone, take the last block's first norm. A module
            that runs several times, such as the one ReLU of torchvision's residual blocks, gives its first output;
            for the last one name the block.

    Returns:
        Heat, (N, H, W), from 0 upwards, resized smoothly to the images, in units of the score.

    Raises:
        UnknownNameError: there is no layer or class of that name; the message lists the closest.
        BadInputError: images, target or layer do not fit; the message says how to mend it.

    Warns:
        UserWarning: the layer runs more than once.
    """
    activations, gradient = layer_gradient(model, hooks.check_images(model, images), target, layer)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    heat = (weights * activations).sum(dim=1).relu()
    return like(heat, images)


def grad_cam_plus_plus(model: nn.Module, images: Tensor, target: Target, layer: str) -> Tensor:
    """Return Grad-CAM++: positive gradients only, weighted so that each of several objects counts alike.

    Chattopadhyay et al., 2017, https://arxiv.org/abs/1710.11063, equation 19. Arguments, result and errors are those
    of `grad_cam`.
    """
    return _cam(model, images, target, layer, grad_cam_plus_plus_sum)


def layer_cam(model: nn.Module, images: Tensor, target: Target, layer: str) -> Tensor:
    """Return LayerCAM: each position of each channel is weighted by its own positive gradient.

    Jiang et al., 2021, https://doi.org/10.1109/TIP.2021.3089943. Made for shallow layers. Arguments, result and errors
    are those of `grad_cam`.
    """
    return _cam(model, images, target, layer, layer_cam_sum)


def hires_cam(model: nn.Module, images: Tensor, target: Target, layer: str) -> Tensor:
    """Return HiResCAM: activation times gradient, position by position.

    Draelos and Carin, 2020, https://arxiv.org/abs/2011.08891. Arguments, result and errors are those of `grad_cam`.
    """
    return _cam(model, images, target, layer, hires_cam_sum)


def xgrad_cam(model: nn.Module, images: Tensor, target: Target, layer: str) -> Tensor:
    """Return XGrad-CAM: each channel is weighted by its gradient, averaged where the channel is active.

    Fu et al., 2020, https://arxiv.org/abs/2008.02312. Arguments, result and errors are those of `grad_cam`.
    """
    return _cam(model, images, target, layer, xgrad_cam_sum)


def cam_family(model: nn.Module, images: Tensor, target: Target, layer: str) -> dict[str, Tensor]:
    """Return the heat maps of all five variants by name, from one pass.

    Arguments, results and errors are those of `grad_cam`.
    """
    activations, gradient = layer_gradient(model, hooks.check_images(model, images), target, layer)
    return {name: like(variant(activations, gradient).relu(), images) for name, variant in FAMILY.items()}


def _cam(model: nn.Module, images: Tensor, target: Target, layer: str, variant: Variant) -> Tensor:
    activations, gradient = layer_gradient(model, hooks.check_images(model, images), target, layer)
    return like(variant(activations, gradient).relu(), images)


# ------------------------------------------------------------------------------------------------------------
# The variants: (A, G) -> (N, h, w), before negative values are cut off


def grad_cam_sum(activations: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum over channels of A times the mean of G, as in `grad_cam`."""
    return _weighted(activations, gradient.mean(dim=(2, 3)))


def grad_cam_plus_plus_sum(activations: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum over channels of A times the sum of alpha relu(G)."""
    activations, gradient = single(activations), single(gradient)
    total = activations.sum(dim=(2, 3), keepdim=True)
    # Both sides of equation 19 are divided by G squared: the gradients are often too small to be cubed.
    share = 2 + total * gradient
    alpha = (gradient != 0) / share.where(share.abs() > TINY, TINY)
    return _weighted(activations, (alpha * gradient.relu()).sum(dim=(2, 3)))


def layer_cam_sum(activations: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum over channels of A relu(G)."""
    return (activations * gradient.relu()).sum(dim=1)


def hires_cam_sum(activations: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum over channels of A G."""
    return (activations * gradient).sum(dim=1)


def xgrad_cam_sum(activations: Tensor, gradient: Tensor) -> Tensor:
    """Return the sum over channels of A times the mean of G, weighted by A."""
    activations, gradient = single(activations), single(gradient)
    total = activations.sum(dim=(2, 3))
    return _weighted(
        activations, (activations * gradient).sum(dim=(2, 3)) / total.where(total.abs() > TINY, 1)
    )


def _weighted(activations: Tensor, weights: Tensor) -> Tensor:
    return (activations * weights[:, :, None, None]).sum(dim=1)


FAMILY = MappingProxyType(
    {
        "Grad-CAM": grad_cam_sum,
        "Grad-CAM++": grad_cam_plus_plus_sum,
        "XGrad-CAM": xgrad_cam_sum,
        "HiResCAM": hires_cam_sum,
        "LayerCAM": layer_cam_sum,
    }
)
