"""A sparse autoencoder: more atoms than a sample needs, of which it may use only k."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import normalize

from interp.dictionaries.dictionary import Dictionary
from interp.dictionaries.rules import TopK
from interp.dictionaries.samples import as_samples
from interp.errors import BadInputError

DEAD = 100  # steps without any use after which an atom counts as dead
REVIVAL = 1 / 32  # the weight of the loss for dead atoms, as in Gao et al.


def sparse_autoencoder(
    activations: Tensor,
    factors: int,
    *,
    active: int = 8,
    steps: int = 1500,
    frozen: bool = False,
    seed: int = 0,
) -> Dictionary:
    """Return the atoms of a top-k sparse autoencoder, trained to give samples back from k of its codes.

    With x' = (x - mean) / s, where s makes the mean square 1: codes = topk(relu(W x' + b)), and the loss is the mean
    square of x' - codes D. The atoms D have the length 1; W starts as D. Atoms that nobody used for a while learn to
    explain what the others leave. Adam, batches of 512 samples. The factor s is put into the codes in the end.

    Gao et al., 2024, https://arxiv.org/abs/2406.04093

    Args:
        activations: (N, C, H, W) or samples (P, C).
        factors: how many atoms; they may be more than channels.
        active: how many codes of a sample may differ from zero.
        steps: of the training.
        frozen: keep the atoms as they were drawn, and train W and b only: a control (Korznikov et al., 2026,
            https://arxiv.org/abs/2602.14111).
        seed: of the atoms and of the batches.

    Raises:
        BadInputError: another shape, values that are not finite, too few samples, or `active` not in 1 to factors.
    """
    rows = as_samples(activations, factors)
    if not 1 <= active <= factors or steps < 0:
        raise BadInputError(
            f"1 to {factors} codes can be active, in 0 steps or more; got {active}, {steps} steps."
        )
    mean = rows.mean(dim=0)
    scale = (rows - mean).square().mean().sqrt().clamp_min(1e-12)
    random = torch.Generator().manual_seed(seed)
    atoms = normalize(torch.randn(factors, rows.shape[1], generator=random))
    weight, bias = atoms.clone(), torch.zeros(factors)
    _train((rows - mean) / scale, (atoms, weight, bias), TopK(active), steps, frozen, random)
    # relu and topk let a positive factor pass, so that codes in the units of the samples are the same codes.
    return Dictionary("sae", atoms, mean, weight, scale * bias - weight @ mean, TopK(active))


def _train(
    rows: Tensor,
    parts: tuple[Tensor, Tensor, Tensor],
    rule: TopK,
    steps: int,
    frozen: bool,
    random: torch.Generator,
) -> None:
    atoms, weight, bias = parts
    learned = [weight, bias] if frozen else [atoms, weight, bias]
    adam = torch.optim.Adam([part.requires_grad_() for part in learned], lr=2e-3)
    unused = torch.zeros(len(atoms), dtype=torch.long)
    for step in range(steps):
        adam.param_groups[0]["lr"] = 2e-3 * min(1.0, 5 * (1 - step / steps))  # falls in the last fifth
        batch = rows[torch.randint(len(rows), (512,), generator=random)]
        scores = batch @ weight.T + bias
        codes = rule(scores)
        left = batch - codes @ atoms
        loss = left.square().mean() + REVIVAL * _revival(scores, left.detach(), atoms, unused > DEAD)
        adam.zero_grad()
        loss.backward()
        adam.step()
        with torch.no_grad():
            if not frozen:
                atoms.copy_(normalize(atoms))
            unused = (unused + 1) * (codes == 0).all(dim=0)
    for part in learned:
        part.requires_grad_(False)


def _revival(scores: Tensor, left: Tensor, atoms: Tensor, dead: Tensor) -> Tensor:
    """Return the mean square of what the dead atoms, half of a sample's width of them at most, do not explain."""
    count = min(int(dead.sum()), left.shape[1] // 2)
    if count == 0:
        return scores.new_zeros(())
    codes: Tensor = TopK(count)(scores[:, dead])
    return (left - codes @ atoms[dead]).square().mean()
