"""Trained networks, photographs and data sets to look into."""

from interp.zoo.cutouts import SCENE_CLASSES, CutOut
from interp.zoo.generator import Generator, load_generator
from interp.zoo.imagenette import IMAGENETTE_CLASSES, imagenette_transforms, load_imagenette
from interp.zoo.loaders import load_data, load_scenes, trained_model, trained_state
from interp.zoo.models import imagenet_class_names, load_model, normalized
from interp.zoo.photographs import (
    Origin,
    example_images,
    photograph,
    photograph_names,
    photograph_origin,
    photograph_path,
)
from interp.zoo.remembered import missing_normalization, warn_of_missing_normalization
from interp.zoo.scenes import Scene, Scenes, Thing, cross
from interp.zoo.simple_cnn import SimpleCNN
from interp.zoo.training import History, Training, get_predictions, train_model

__all__ = [
    "IMAGENETTE_CLASSES",
    "SCENE_CLASSES",
    "CutOut",
    "Generator",
    "History",
    "Origin",
    "Scene",
    "Scenes",
    "SimpleCNN",
    "Thing",
    "Training",
    "cross",
    "example_images",
    "get_predictions",
    "imagenet_class_names",
    "imagenette_transforms",
    "load_data",
    "load_generator",
    "load_imagenette",
    "load_model",
    "load_scenes",
    "missing_normalization",
    "normalized",
    "photograph",
    "photograph_names",
    "photograph_origin",
    "photograph_path",
    "train_model",
    "trained_model",
    "trained_state",
    "warn_of_missing_normalization",
]
