"""Trained networks, photographs and data sets to look into."""

from interp.zoo.models import imagenet_class_names, load_model, normalized
from interp.zoo.photographs import (
    Origin,
    example_images,
    photograph,
    photograph_names,
    photograph_origin,
    photograph_path,
)

__all__ = [
    "Origin",
    "example_images",
    "imagenet_class_names",
    "load_model",
    "normalized",
    "photograph",
    "photograph_names",
    "photograph_origin",
    "photograph_path",
]
