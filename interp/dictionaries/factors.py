"""Factors of samples by scikit-learn: non-negative parts, principal axes, clusters."""

from __future__ import annotations

import warnings
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from interp.dictionaries.dictionary import Dictionary
from interp.dictionaries.rules import Nearest, NonNegative
from interp.dictionaries.samples import as_samples, check_width
from interp.errors import BadInputError, MissingExtraError


def nmf(activations: Tensor, factors: int, *, steps: int = 400, seed: int = 0) -> Dictionary:
    """Return non-negative atoms whose sums with non-negative codes come close to the activations.

    The atoms have the length 1, the one with the largest codes first. scikit-learn finds them from its own start
    (NNDSVD, with the seed for what is random in it).

    Lee and Seung, 1999, https://doi.org/10.1038/44565; on the layers of a network Olah et al., 2018,
    https://doi.org/10.23915/distill.00010

    Args:
        activations: (N, C, H, W) or samples (P, C), none below zero.
        factors: how many atoms.
        steps: the most that scikit-learn may take.
        seed: of the start.

    Raises:
        BadInputError: a value below zero, too few samples, more factors than channels, or as for `pca`.
        MissingExtraError: scikit-learn is not installed.
    """
    rows = as_samples(activations, factors)
    check_width(rows, factors, "NMF")
    if rows.min() < 0:
        raise BadInputError(
            f"NMF needs activations that are not negative; these go down to {rows.min():.3g}. Take a layer behind a "
            "ReLU, or another method."
        )
    found = _sklearn().decomposition.NMF(factors, max_iter=steps, random_state=seed)
    with warnings.catch_warnings():  # a factorization that could still improve in the fifth digit is one
        warnings.simplefilter("ignore")
        codes = torch.from_numpy(found.fit_transform(rows.numpy()))
    atoms = torch.from_numpy(found.components_).float()
    lengths = atoms.norm(dim=1)
    order = (codes.float().mean(dim=0) * lengths).argsort(descending=True)
    atoms = (atoms / lengths.clamp_min(1e-12)[:, None])[order]
    zeros = torch.zeros(rows.shape[1])
    return Dictionary("nmf", atoms, zeros, atoms, torch.zeros(factors), NonNegative(atoms))


def pca(activations: Tensor, factors: int, *, seed: int = 0) -> Dictionary:
    """Return the principal axes: orthogonal atoms of length 1, the one with the largest variance first.

    Pearson, 1901, https://doi.org/10.1080/14786440109462720

    Args:
        activations: (N, C, H, W) or samples (P, C).
        factors: how many atoms.
        seed: of scikit-learn's randomized solver, where it chooses that.

    Raises:
        BadInputError: another shape, values that are not finite, too few samples or more factors than channels.
        MissingExtraError: scikit-learn is not installed.
    """
    rows = as_samples(activations, factors)
    check_width(rows, factors, "PCA")
    found = _sklearn().decomposition.PCA(factors, random_state=seed).fit(rows.numpy())
    atoms, mean = _tensor(found.components_), _tensor(found.mean_)
    return Dictionary("pca", atoms, mean, atoms, -atoms @ mean, nn.Identity())


def kmeans(activations: Tensor, factors: int, *, starts: int = 1, seed: int = 0) -> Dictionary:
    """Return the centers of clusters; the code of the nearest is 1, all others are 0.

    The scores are x . center - |center|^2 / 2, whose largest is that of the nearest center. The codes have no
    gradient: to render an atom, take the scores.

    Lloyd, 1982, https://doi.org/10.1109/TIT.1982.1056489

    Args:
        activations: (N, C, H, W) or samples (P, C).
        factors: how many centers.
        starts: how many runs, of which the best counts.
        seed: of the starts.

    Raises:
        BadInputError: another shape, values that are not finite, or too few samples.
        MissingExtraError: scikit-learn is not installed.
    """
    rows = as_samples(activations, factors)
    found = _sklearn().cluster.KMeans(factors, n_init=starts, random_state=seed).fit(rows.numpy())
    centers = _tensor(found.cluster_centers_)
    zeros = torch.zeros(rows.shape[1])
    return Dictionary("kmeans", centers, zeros, centers, -centers.square().sum(dim=1) / 2, Nearest())


def _tensor(values: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(values)).float()


def _sklearn() -> ModuleType:
    try:
        import sklearn
        import sklearn.cluster
        import sklearn.decomposition
    except ImportError as error:
        raise MissingExtraError("scikit-learn", "examples", "Factorization") from error
    module: ModuleType = sklearn
    return module
