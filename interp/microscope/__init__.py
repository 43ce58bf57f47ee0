"""A site that shows every channel of a network: what drives it, what it resembles, what it is made of."""

from interp.microscope.site import Page, build

__all__ = ["Page", "build"]
