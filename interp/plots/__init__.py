"""Static pictures as values: every function returns a `Figure` (or a `Table`) and shows nothing by itself.

A figure is drawn at two dots a CSS pixel on a transparent ground, in gray ink that reads on light and dark pages, with
one text size throughout. Heat is viridis; signed values are red above and blue below a white 0. Nothing here touches
pyplot or any other global state.
"""

from interp.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError("matplotlib", "plots", "Drawing") from error

from interp.plots.bands import bands
from interp.plots.channels import feature_maps, filters, matrix
from interp.plots.charts import bars, confusion, curves, histogram
from interp.plots.circuit import circuit
from interp.plots.figure import PAGE_WIDTH, TEXT_WIDTH, Figure
from interp.plots.maps import explained
from interp.plots.network import chain, network
from interp.plots.pictures import colorize, heat_row, image_grid, image_row, overlay
from interp.plots.polar import polar
from interp.plots.spectra import spectrum_page
from interp.plots.stacked import stacked
from interp.plots.tables import Table, table
from interp.plots.tradeoffs import tradeoff

__all__ = [
    "PAGE_WIDTH",
    "TEXT_WIDTH",
    "Figure",
    "Table",
    "bands",
    "bars",
    "chain",
    "circuit",
    "colorize",
    "confusion",
    "curves",
    "explained",
    "feature_maps",
    "filters",
    "heat_row",
    "histogram",
    "image_grid",
    "image_row",
    "matrix",
    "network",
    "overlay",
    "polar",
    "spectrum_page",
    "stacked",
    "table",
    "tradeoff",
]
