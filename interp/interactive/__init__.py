"""Live figures as values: a picture that stays a picture without JavaScript, and can be moved with it.

Every function returns a `LiveFigure`, which notebooks and the book show by its HTML. Nothing in it asks the internet
for anything: pictures are data URIs, scripts are the plain JavaScript of `interp/templates`. The book moves both into
files that its pages share.
"""

from interp.errors import MissingExtraError

try:
    import matplotlib as _matplotlib  # noqa: F401
except ImportError as error:
    raise MissingExtraError("matplotlib", "plots", "Drawing") from error

from interp.interactive.evidence import evidence
from interp.interactive.figure import LiveFigure
from interp.interactive.figures import (
    KERNELS,
    activation_grid,
    compare,
    convolution,
    depth,
    dial,
    scrub,
    spectrum,
)

__all__ = [
    "KERNELS",
    "LiveFigure",
    "activation_grid",
    "compare",
    "convolution",
    "depth",
    "dial",
    "evidence",
    "scrub",
    "spectrum",
]
