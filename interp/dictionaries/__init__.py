"""Dictionaries: directions that the activations of a layer are sums of, found without labels, and codes as a layer.

    from interp import dictionaries, featurevis as fv, zoo

    model, layer = zoo.load_model(), "blocks.5.0.act_expand"
    scenes = torch.stack([scene.image for scene in zoo.Scenes("train", 224, length=64)])
    found = dictionaries.nmf(dictionaries.samples(model, scenes, layer), 16)
    found.error(dictionaries.samples(model, photographs, layer))   # the share of the variance that is left
    coded = dictionaries.with_codes(model, layer, found)           # has the layers LAYER.codes and LAYER.scores
    hooks.activations(coded, photographs, f"{layer}.codes")        # (N, 16, H, W)
    fv.render(coded, fv.channel(f"{layer}.codes", 3))

A sample is what a layer gives at one position of one image, a vector with one number a channel. A dictionary of K atoms
says how K codes are found for it, and the codes times the atoms, plus an offset, come close to it again.
"""

from interp.dictionaries.coded import Coded, with_codes
from interp.dictionaries.dictionary import Dictionary
from interp.dictionaries.factors import kmeans, nmf, pca
from interp.dictionaries.rules import Nearest, NonNegative, TopK
from interp.dictionaries.samples import samples
from interp.dictionaries.sparse import sparse_autoencoder

__all__ = [
    "Coded",
    "Dictionary",
    "Nearest",
    "NonNegative",
    "TopK",
    "kmeans",
    "nmf",
    "pca",
    "samples",
    "sparse_autoencoder",
    "with_codes",
]
