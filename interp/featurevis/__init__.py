"""Feature visualization: pictures that make a neuron, a channel, a direction or a class respond.

    from interp import featurevis as fv, zoo

    model = zoo.load_model()
    rendering = fv.render(model, fv.channel("blocks.3.2", 42))
    rendering.images        # (1, 3, 128, 128) in [0, 1]
    rendering.score         # (1,), the channel's mean activation
    fv.render(model, -fv.channel("blocks.3.2", 42))                     # the opposite
    fv.render(model, fv.logit("daisy"), size=224, steps=128)            # a class, by its name or index; larger
    fv.render(model, objective, fv.PixelImage(128), transforms=(), steps=256, rate=0.05)    # the naive way
    fv.render(model, objective, transforms=(fv.jitter(8), fv.rotate(5)), snapshots=[1, 16, 64])
    fv.render(model, objective - 0.5 * fv.total_variation())
    fv.render(model, fv.channel(layer, 3) + fv.diversity(layer), fv.FourierImage(128, count=4), steps=96)
    for rendering in fv.render_many(model, [fv.channel("blocks.4.2", c) for c in range(112)]): ...
    fv.accentuate(model, fv.channel("blocks.3.2", 42), photograph, hold=fv.Hold("blocks.1.1"))    # a photograph, moved

An objective is a frozen value and can be added, subtracted and multiplied; a parameterization says in which
coordinates an image is stored; transforms are a plain tuple; `render` returns a frozen `Rendering` and changes
nothing that it was given.
"""

from __future__ import annotations

from interp.featurevis.accentuation import (
    Accentuation,
    Hold,
    accentuate,
    feature_distance,
    other_distance,
)
from interp.featurevis.ascent import Adam, Stage
from interp.featurevis.colors import COLORS, CONTRAST, from_rgb, limited, to_rgb
from interp.featurevis.compute import Compute
from interp.featurevis.distribution import distribution
from interp.featurevis.folder import Folder, file_stem, render_folder
from interp.featurevis.generator import GeneratorImage
from interp.featurevis.looking import look
from interp.featurevis.measures import contrast, fine_share, power, radial_power, saturation
from interp.featurevis.objectives import (
    ALPHA,
    BESIDE,
    IMAGE,
    OUTPUT,
    Objective,
    channel,
    cosine_similarity,
    deepdream,
    direction,
    logit,
    neuron,
    of_layer,
    of_pair,
    together,
)
from interp.featurevis.parameterizations import CppnImage, MaskedImage, Parameterization, PixelImage
from interp.featurevis.places import cosine, distance, dot, like, toward
from interp.featurevis.priors import alignment, blurred, diversity, l1, l2, opacity, total_variation
from interp.featurevis.recipe import BATCH, RATE, Recipe, two_stages
from interp.featurevis.rendering import Rendering, RenderingWarning, render, render_many, standard_image
from interp.featurevis.shared import Part, SharedImage, blended, pyramid
from interp.featurevis.style import gram, mean_activations, style
from interp.featurevis.transforms import (
    MACO,
    STANDARD,
    Transform,
    blur,
    compose,
    crop,
    jitter,
    noise,
    pad,
    rotate,
    scale,
    transformed,
    warp,
)
from interp.featurevis.waves import FourierImage, MacoImage, mean_magnitude, wave_scale
from interp.runs import Share

__all__ = [
    "ALPHA",
    "BATCH",
    "BESIDE",
    "COLORS",
    "CONTRAST",
    "IMAGE",
    "MACO",
    "OUTPUT",
    "RATE",
    "STANDARD",
    "Accentuation",
    "Adam",
    "Compute",
    "CppnImage",
    "Folder",
    "FourierImage",
    "GeneratorImage",
    "Hold",
    "MacoImage",
    "MaskedImage",
    "Objective",
    "Parameterization",
    "Part",
    "PixelImage",
    "Recipe",
    "Rendering",
    "RenderingWarning",
    "Share",
    "SharedImage",
    "Stage",
    "Transform",
    "accentuate",
    "alignment",
    "blended",
    "blur",
    "blurred",
    "channel",
    "compose",
    "contrast",
    "cosine",
    "cosine_similarity",
    "crop",
    "deepdream",
    "direction",
    "distance",
    "distribution",
    "diversity",
    "dot",
    "feature_distance",
    "file_stem",
    "fine_share",
    "from_rgb",
    "gram",
    "jitter",
    "l1",
    "l2",
    "like",
    "limited",
    "logit",
    "look",
    "mean_activations",
    "mean_magnitude",
    "neuron",
    "noise",
    "of_layer",
    "of_pair",
    "opacity",
    "other_distance",
    "pad",
    "power",
    "pyramid",
    "radial_power",
    "render",
    "render_folder",
    "render_many",
    "rotate",
    "saturation",
    "scale",
    "standard_image",
    "style",
    "to_rgb",
    "together",
    "total_variation",
    "toward",
    "transformed",
    "two_stages",
    "warp",
    "wave_scale",
]
