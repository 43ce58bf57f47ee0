"""Which pixels and which regions decide: attribution maps and measures of how far to believe them.

Every method is a function of a model, images (N, C, H, W) in [0, 1] and a target, and returns heat (N, H, W).
"""

from interp.attribution.aims import Aim, along, inside, logit, unit
from interp.attribution.baselines import fill
from interp.attribution.cam import (
    cam_family,
    grad_cam,
    grad_cam_plus_plus,
    hires_cam,
    layer_cam,
    xgrad_cam,
)
from interp.attribution.circuits import (
    Circuit,
    agreement,
    find_circuit,
    kernel_chance,
    kernel_magnitude,
    kernel_saliency,
)
from interp.attribution.controls import center_map, edge_map, random_map
from interp.attribution.gradients import guided_backprop, input_x_gradient, saliency, smooth_grad
from interp.attribution.metrics import (
    Curve,
    deletion,
    insertion,
    mass_in_mask,
    pointing_game,
    rank_correlation,
    top_overlap,
)
from interp.attribution.passes import input_gradient, layer_gradient, layer_gradients, scores
from interp.attribution.path import PathIntegral, integrate, integrated_gradients
from interp.attribution.sanity import Cascade, cascade, randomized
from interp.attribution.sides import Sides, for_and_against
from interp.attribution.targets import Target, select
from interp.attribution.windows import occlusion
from interp.image import blur

__all__ = [
    "Aim",
    "Cascade",
    "Circuit",
    "Curve",
    "PathIntegral",
    "Sides",
    "Target",
    "agreement",
    "along",
    "blur",
    "cam_family",
    "cascade",
    "center_map",
    "deletion",
    "edge_map",
    "fill",
    "find_circuit",
    "for_and_against",
    "grad_cam",
    "grad_cam_plus_plus",
    "guided_backprop",
    "hires_cam",
    "input_gradient",
    "input_x_gradient",
    "insertion",
    "inside",
    "integrate",
    "integrated_gradients",
    "kernel_chance",
    "kernel_magnitude",
    "kernel_saliency",
    "layer_cam",
    "layer_gradient",
    "layer_gradients",
    "logit",
    "mass_in_mask",
    "occlusion",
    "pointing_game",
    "random_map",
    "randomized",
    "rank_correlation",
    "saliency",
    "scores",
    "select",
    "smooth_grad",
    "top_overlap",
    "unit",
    "xgrad_cam",
]
