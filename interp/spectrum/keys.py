"""Scores and ids in one integer, so that a top-k breaks ties exactly.

A key holds the bits of a float32 score, rearranged so that integers sort as the floats do, in its upper half, and the
inverted id in its lower half. Keys of different images are different: the largest k of them are the same set in
whatever order they arrive, and of images with the same score those with the smaller id come first.
"""

from __future__ import annotations

import torch
from torch import Tensor

from interp.errors import BadInputError

IDS = 1 << 32  # ids are in [0, IDS)
EMPTY = -(1 << 63)  # sorts below the key of every finite score
_LOW = IDS - 1
_MAGNITUDE = 0x7FFFFFFF


def encode(scores: Tensor, ids: Tensor) -> Tensor:
    """Return int64 keys that sort by score, then by smaller id first.

    Args:
        scores: float32, finite, of a shape that broadcasts with the ids; -0.0 counts as 0.0.
        ids: int64 in [0, 2**32).
    """
    bits = (scores + 0.0).view(torch.int32)
    ordered = bits ^ ((bits >> 31) & _MAGNITUDE)
    return (ordered.to(torch.int64) << 32) | (_LOW - ids)


def decode(keys: Tensor) -> tuple[Tensor, Tensor]:
    """Return (scores float32, ids int64) of keys that `encode` made."""
    ordered = (keys >> 32).to(torch.int32)
    bits = ordered ^ ((ordered >> 31) & _MAGNITUDE)
    return bits.view(torch.float32), _LOW - (keys & _LOW)


def largest(keys: Tensor, k: int) -> Tensor:
    """Return the k largest keys of the last dimension, descending, filled up with EMPTY.

    Raises:
        BadInputError: a key is there twice, so an image was counted twice.
    """
    missing = k - keys.shape[-1]
    if missing > 0:
        keys = torch.nn.functional.pad(keys, (0, missing), value=EMPTY)
    found = keys.topk(k, dim=-1).values
    twice = found[..., 1:][(found[..., 1:] == found[..., :-1]) & (found[..., 1:] != EMPTY)]
    if len(twice):
        raise counted_twice(int(decode(twice[:1])[1]))
    return found


def counted_twice(image: int) -> BadInputError:
    """Return the error for an image that is in two parts."""
    return BadInputError(f"The image {image} would be counted twice. Every image may be in one part only.")


def check_ids(ids: Tensor) -> Tensor:
    """Return the ids as int64, or say what is wrong with them."""
    if ids.is_floating_point() or ids.is_complex() or ids.dtype == torch.bool or ids.ndim != 1:
        raise BadInputError(
            f"ids have to be integers, one per image; got {ids.dtype} with shape {tuple(ids.shape)}."
        )
    ids = ids.detach().cpu().to(torch.int64)
    if ids.numel() and (int(ids.min()) < 0 or int(ids.max()) >= IDS):
        raise BadInputError(
            f"ids have to be in [0, 2**32); these are in [{int(ids.min())}, {int(ids.max())}]."
        )
    return ids


def scrambled(ids: Tensor, seed: int) -> Tensor:
    """Return a hash of each id in [0, 2**32): different ids have different hashes, as the mixing can be undone.

    The finalizer of MurmurHash3 (Appleby, 2011), on 32 bits. The images with the smallest hashes are a random sample
    that does not depend on the order in which they arrive.
    """
    x = (ids ^ (int(seed) * 0x9E3779B9 & _LOW)) & _LOW
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        x = _times(x ^ (x >> shift), factor)
    return x ^ (x >> 16)


def _times(x: Tensor, factor: int) -> Tensor:
    """Multiply modulo 2**32, in two halves so that int64 does not overflow."""
    high, low = factor >> 16, factor & 0xFFFF
    return (((x * high & _LOW) << 16) + x * low) & _LOW
