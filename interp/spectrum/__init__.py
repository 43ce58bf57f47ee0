"""What a set of images does to every unit of a network: streamed, merged, resumed, looked at."""

from interp.spectrum.entries import Batch, Entry, Source, batches, finder
from interp.spectrum.files import load, save
from interp.spectrum.local import processes
from interp.spectrum.logs import JsonLines, Sink, logged
from interp.spectrum.measure import Measure
from interp.spectrum.shards import Engine, Job, compute, gather, here, run
from interp.spectrum.sources import Folder, Items
from interp.spectrum.state import Broken, Spectrum, medians, merge
from interp.spectrum.tables import decided, scores, strongest
from interp.spectrum.tracking import scorer, track, tracking
from interp.spectrum.unit import Band, Unit
from interp.spectrum.units import BANDS, Units

__all__ = [
    "BANDS",
    "Band",
    "Batch",
    "Broken",
    "Engine",
    "Entry",
    "Folder",
    "Items",
    "Job",
    "JsonLines",
    "Measure",
    "Sink",
    "Source",
    "Spectrum",
    "Unit",
    "Units",
    "batches",
    "compute",
    "decided",
    "finder",
    "gather",
    "here",
    "load",
    "logged",
    "medians",
    "merge",
    "processes",
    "run",
    "save",
    "scorer",
    "scores",
    "strongest",
    "track",
    "tracking",
]
