"""Build the book's microscope: three layers of its network, over embedded scenes.

    python tools/make_microscope.py

What has to be computed goes to book/_data/microscope. The optimized pictures are those of book/_data/layers
(tools/make_data.py) and book/_data/large (tools/make_large.py); the page itself belongs to the package.
book/_ext/microscope.py puts them together on the site.
What is finished is kept in .cache, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import shutil
from collections.abc import Sequence

import make_data
import make_large
import numpy as np
import torch
from PIL import Image as PILImage

from interp import microscope, zoo
from interp.digest import digest
from interp.spectrum import Items, Job, Measure

DATA = make_data.DATA / "microscope"
LAYERS = tuple(make_data.LAYERS)
SCENES = 1200
KEPT = ("data", "thumbnails")
ABOUT = (
    "Every channel of three layers of the network that this book looks into: the pictures that drive it down and up, "
    f"and what {SCENES:,} scenes made of photographs do to it."
)
CREDIT = (
    "The scenes are made of photographs: cut-outs from Tux Paint (Bill Kendrick and contributors) under the GNU "
    "General Public License, version 2 or later, on backgrounds from scikit-image and scikit-learn. Whoever passes the "
    "scenes on does so under the same license."
)


def job(count: int = SCENES, layers: Sequence[str] = LAYERS) -> Job:
    """Return what is computed; a slice of it, for a test."""
    scenes = Items(
        zoo.Scenes("all", 224, length=count),
        "scenes all 224",
        class_names=zoo.SCENE_CLASSES,
        shard_size=100,
    )
    return Job(zoo.load_model(), tuple(layers), scenes, Measure(sample=512))


def optimized(layer: str, sign: int) -> list[np.ndarray]:
    """Return the large pictures of a layer's channels."""
    files = (make_large.file(layer, sign, channel) for channel in range(make_data.LAYERS[layer]))
    return [np.asarray(PILImage.open(file).convert("RGB")) for file in files]


def main() -> None:
    torch.set_num_threads(1)
    whole = job()
    # Everything that decides the result is part of the name, so that a folder is never that of another run.
    site = make_data.ROOT / ".cache" / f"microscope-{digest(whole.settings)[:12]}"
    microscope.build(
        whole,
        site,
        title="EfficientNet-Lite0",
        about=ABOUT,
        credit=CREDIT,
        back=("Looking inside a vision model", "../book/index.html"),
        optimized=optimized,
        progress=True,
    )
    shutil.rmtree(DATA, ignore_errors=True)
    for name in KEPT:
        shutil.copytree(site / name, DATA / name)


if __name__ == "__main__":
    main()
