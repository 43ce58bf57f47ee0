"""Random numbers with names: every image has its own stream, whatever else is in its batch."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Sequence

import torch
from torch import Tensor

Streams = Sequence[torch.Generator]


def stream(*key: object) -> torch.Generator:
    """Return a generator on the CPU that depends on the key only (for example seed, purpose, name)."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    # manual_seed takes 64 bits; one is left out so that the number is positive on every platform.
    return torch.Generator().manual_seed(int.from_bytes(digest, "big") >> 1)


def streams(seed: int, purpose: str, names: Sequence[str]) -> list[torch.Generator]:
    """Return one generator for each name; a name that occurs again gets numbers of its own."""
    seed = operator.index(seed)  # one of numpy is the same number, and not the same text
    return [stream(seed, purpose, name, names[:index].count(name)) for index, name in enumerate(names)]


def normal(random: Streams, shape: Sequence[int]) -> Tensor:
    """Return (N, *shape) standard normal numbers, those of image i from its own stream."""
    return torch.stack([torch.randn(tuple(shape), generator=one, dtype=torch.float32) for one in random])


def uniform(random: Streams, count: int) -> Tensor:
    """Return (N, count) numbers uniform in [-1, 1), those of image i from its own stream."""
    return torch.stack([torch.rand(count, generator=one, dtype=torch.float32) for one in random]) * 2 - 1
