"""Trained networks, photographs and data sets to look into."""

from interp.zoo.models import imagenet_class_names, load_model, normalized

__all__ = [
    "imagenet_class_names",
    "load_model",
    "normalized",
]
