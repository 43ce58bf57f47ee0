"""What a set of images does to every unit of a network: streamed, merged, resumed, looked at."""

from interp.spectrum.sources import Batch, Entry, Folder, Items, Source, batches
from interp.spectrum.state import Broken, Spectrum, medians, merge
from interp.spectrum.tracking import scorer, track, tracking
from interp.spectrum.unit import Band, Unit
from interp.spectrum.units import BANDS, Units

__all__ = [
    "BANDS",
    "Band",
    "Batch",
    "Broken",
    "Entry",
    "Folder",
    "Items",
    "Source",
    "Spectrum",
    "Unit",
    "Units",
    "batches",
    "medians",
    "merge",
    "scorer",
    "track",
    "tracking",
]
