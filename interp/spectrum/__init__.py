"""What a set of images does to every unit of a network: streamed, merged, resumed, looked at."""

from interp.spectrum.state import Broken, Spectrum, medians, merge
from interp.spectrum.unit import Band, Unit
from interp.spectrum.units import BANDS, Units

__all__ = ["BANDS", "Band", "Broken", "Spectrum", "Unit", "Units", "medians", "merge"]
