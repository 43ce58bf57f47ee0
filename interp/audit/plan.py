"""How an audit is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict

from interp.errors import BadInputError


class Changes(TypedDict, total=False):
    """What may differ from a plan, by the names of its attributes."""

    cells: int
    clusters: int
    level: float
    fewest: int
    each: int
    shown: int
    seed: int
    title: str
    about: str


@dataclass(frozen=True)
class Plan:
    """How an audit is made, and what its page says.

    Attributes:
        cells: regions along each side of an image.
        clusters: of the maps of a class.
        level: how often anything at all is named where hits and misses do not differ.
        fewest: hits, and misses, that a class needs to be compared.
        each: images of a class that are looked at, spread over those that there are.
        shown: images that show a finding.
        seed: of drawings and clusters.
        title, about: the name of the network, and a sentence about it and the images.

    Raises:
        BadInputError: a number is out of range.
    """

    cells: int = 6
    clusters: int = 3
    level: float = 0.05
    fewest: int = 8
    each: int = 100
    shown: int = 9
    seed: int = 0
    title: str = "A network"
    about: str = ""

    def __post_init__(self) -> None:
        least = {"cells": 1, "clusters": 2, "fewest": 1, "each": 2, "shown": 1, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise BadInputError(f"{name} has to be at least {low}; got {getattr(self, name)}.")
        if not 0 < self.level < 1:
            raise BadInputError(f"level is a rate of false alarms, between 0 and 1; got {self.level}.")
