"""From scores to codes: what follows the 1x1 convolution. Each takes and gives (N, K, H, W)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from interp.errors import BadInputError

STEPS = (
    200  # of the iteration below: the codes of 16 factors of a layer are then those of scipy's nnls to 1e-3
)


class TopK(nn.Module):
    """Keep the k largest scores of each position, where they are above zero; all others become zero.

    Makhzani and Frey, 2013, https://arxiv.org/abs/1312.5663; as in Gao et al., 2024, https://arxiv.org/abs/2406.04093.
    """

    def __init__(self, k: int) -> None:
        super().__init__()
        if k < 1:
            raise BadInputError(f"At least one code has to be active; got {k}.")
        self.k = k

    def forward(self, scores: Tensor) -> Tensor:
        if self.k > scores.shape[1]:
            raise BadInputError(f"There are {scores.shape[1]} codes; {self.k} of them cannot be active.")
        best = scores.relu().topk(self.k, dim=1)
        return torch.zeros_like(scores).scatter(1, best.indices, best.values)


class Nearest(nn.Module):
    """Give 1 for the largest score of each position and 0 for all others; it has no gradient."""

    def forward(self, scores: Tensor) -> Tensor:
        return torch.zeros_like(scores).scatter(1, scores.argmax(dim=1, keepdim=True), 1.0)


class NonNegative(nn.Module):
    """Find the codes w >= 0 that come closest to a sample x as a sum of atoms, min |x - w H|^2, from the scores H x.

    A fixed number of steps of accelerated projected gradient, so that the codes have a gradient.

    Beck and Teboulle, 2009, https://doi.org/10.1137/080716542

    Args:
        atoms: (K, C).
        steps: of the iteration.
    """

    products: Tensor
    rate: Tensor

    def __init__(self, atoms: Tensor, steps: int = STEPS) -> None:
        super().__init__()
        products = atoms @ atoms.T
        self.register_buffer("products", products[:, :, None, None])
        self.register_buffer("rate", 1 / torch.linalg.eigvalsh(products)[-1].clamp_min(1e-12))
        self.steps = steps

    def forward(self, scores: Tensor) -> Tensor:
        codes, ahead, t = torch.zeros_like(scores), torch.zeros_like(scores), 1.0
        for _ in range(self.steps):
            new = (ahead - self.rate * (F.conv2d(ahead, self.products) - scores)).relu()
            after = (1 + (1 + 4 * t * t) ** 0.5) / 2
            ahead = new + (t - 1) / after * (new - codes)
            codes, t = new, after
        return codes
