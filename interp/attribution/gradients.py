"""Maps from the gradient of a score with respect to the pixels."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from interp import hooks
from interp.attribution.passes import at_once, input_gradient, single
from interp.attribution.targets import Single, Target, each
from interp.errors import BadInputError


def saliency(model: nn.Module, images: Tensor, target: Target) -> Tensor:
    """Return how strongly each pixel can change the score: the largest |gradient| of its colors or other channels.

    Simonyan, Vedaldi and Zisserman, 2013, https://arxiv.org/abs/1312.6034

    Args:
        model: takes images in [0, 1], returns logits; it comes back as it was.
        images: (N, C, H, W) in [0, 1], such as the model takes.
        target: a class index or name, a list with one for each image, or a function of the logits.

    Returns:
        Heat, (N, H, W), from 0 upwards, in score per unit of brightness.

    Raises:
        BadInputError: the images or the target do not fit; the message says how to mend it.
        UnknownNameError: there is no class of that name.
    """
    _, gradient = input_gradient(model, hooks.check_images(model, images), target)
    return _strength(gradient).to(images.device, torch.float32)


def input_x_gradient(model: nn.Module, images: Tensor, target: Target) -> Tensor:
    """Return gradient times brightness, summed over the channels: what each pixel adds to a linear score.

    Shrikumar et al., 2016, https://arxiv.org/abs/1605.01713. Black pixels get nothing, whatever they mean.

    Returns:
        Heat, (N, H, W), of both signs. Arguments and errors are those of `saliency`.
    """
    _, gradient = input_gradient(model, hooks.check_images(model, images), target)
    return (gradient * images.detach().to(gradient)).sum(dim=1).to(images.device, torch.float32)


def smooth_grad(
    model: nn.Module,
    images: Tensor,
    target: Target,
    *,
    samples: int = 32,
    noise: float = 0.15,
    seed: int = 0,
) -> Tensor:
    """Return the saliency of the mean gradient over noisy copies of each image.

    Smilkov et al., 2017, https://arxiv.org/abs/1706.03825. Each image meets the same noise, whatever the batch.

    Args:
        model, images, target: as for `saliency`.
        samples: the number of noisy copies.
        noise: the standard deviation of the noise as a share of the image's range (maximum minus minimum).
        seed: of the noise; the global random numbers are left alone.

    Returns:
        Heat, (N, H, W), from 0 upwards.
    """
    if samples < 1 or not noise >= 0:
        raise BadInputError(f"samples starts at 1 and noise at 0; got {samples} and {noise}.")
    targets = each(target, len(hooks.check_images(model, images)))
    maps = [
        _smooth_gradient(model, one, single, samples, noise, seed)
        for one, single in zip(single(images.detach()), targets, strict=True)
    ]
    return _strength(torch.stack(maps)).to(images.device, torch.float32)


def _smooth_gradient(
    model: nn.Module, one: Tensor, target: Single, samples: int, noise: float, seed: int
) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    deviation = noise * (one.max() - one.min())
    total: Tensor | float = 0.0
    for start in range(0, samples, at_once(one)):
        count = min(at_once(one), samples - start)
        drawn = [torch.randn(one.shape, generator=generator, dtype=torch.float32) for _ in range(count)]
        _, gradient = input_gradient(model, one + deviation * torch.stack(drawn).to(one), target)
        total = total + gradient.sum(dim=0)
    return torch.as_tensor(total / samples)


def guided_backprop(model: nn.Module, images: Tensor, target: Target) -> Tensor:
    """Return the strength of a gradient that lets only positive values pass backwards through each ReLU.

    Springenberg et al., 2014, https://arxiv.org/abs/1412.6806. Sharp to look at, but hardly a statement about the
    class: see `sanity.cascade`.

    Returns:
        Heat, (N, H, W), from 0 upwards. Arguments and errors are those of `saliency`.

    Raises:
        BadInputError: no ReLU runs in the model, neither as a layer nor as a function (F.relu, torch.relu, F.relu6).
    """
    hooks.check_images(model, images)
    with hooks.gradient_rule(model, (nn.ReLU, nn.ReLU6), _only_positive):
        _, gradient = input_gradient(model, images, target)
    return _strength(gradient).to(images.device, torch.float32)


def _only_positive(inner: Tensor, _outer: Tensor) -> Tensor:
    # `inner` is already 0 where the unit was off, so this is the product of both masks of the paper.
    return inner.clamp(min=0)


def _strength(gradient: Tensor) -> Tensor:
    return gradient.abs().amax(dim=1)
