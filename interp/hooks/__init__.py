"""The only place that registers a hook: find layers by name, record their activations, stop early, bend gradients.

Whatever is switched on here is switched off again, also after an exception. What is recorded or replaced comes as
(N, C, H, W) wherever a layer has channels and positions, whatever its own layout.
"""

from interp.hooks.asking import Survey, layout, layouts, survey
from interp.hooks.bending import gradient_rule, redirected
from interp.hooks.holding import Layout
from interp.hooks.inputs import check_channels, check_images, gray, inputs_of
from interp.hooks.names import (
    check_channel,
    check_layers_can_be_heard,
    evaluating,
    find_layer,
    full_name,
    layer_names,
    ready,
)
from interp.hooks.recording import activations, record, replacing, run, warn_of_repetition
from interp.image import device_of, dtype_of

__all__ = [
    "Layout",
    "Survey",
    "activations",
    "check_channel",
    "check_channels",
    "check_images",
    "check_layers_can_be_heard",
    "device_of",
    "dtype_of",
    "evaluating",
    "find_layer",
    "full_name",
    "gradient_rule",
    "gray",
    "inputs_of",
    "layer_names",
    "layout",
    "layouts",
    "ready",
    "record",
    "redirected",
    "replacing",
    "run",
    "survey",
    "warn_of_repetition",
]
