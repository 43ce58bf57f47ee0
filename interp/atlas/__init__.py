"""An atlas of a layer: its activations at thousands of positions of many images, like beside like.

    from interp import atlas, spectrum, zoo

    atlas.build(zoo.load_model(), "blocks.5.3", spectrum.Folder("my/photographs"), "site", title="Lite0")

`sample`, `umap_plane`, `cells`, `objective` and `evidence` are its steps; `agreement` measures whether neighbors in a
plane belong together.
"""

from interp.atlas.pictures import objective
from interp.atlas.plane import Cell, agreement, cells, pca_plane, umap_plane, whitening
from interp.atlas.points import Points, sample
from interp.atlas.site import Plan, build
from interp.atlas.speaking import evidence

__all__ = [
    "Cell",
    "Plan",
    "Points",
    "agreement",
    "build",
    "cells",
    "evidence",
    "objective",
    "pca_plane",
    "sample",
    "umap_plane",
    "whitening",
]
