"""The cut-outs: which there are, what each shows, and their pictures. ORIGIN.md beside them says whose they are."""

from __future__ import annotations

import functools
import re
from dataclasses import dataclass
from pathlib import Path

from PIL import Image as PILImage

from interp.zoo.models import imagenet_class_names

FOLDER = Path(__file__).parent / "embedded" / "cutouts"
SCENE_CLASSES = (
    "bird", "mammal", "sea animal", "flower", "fruit or vegetable", "plant", "ball or planet", "vehicle",
    "instrument", "tool",
)  # fmt: skip


@dataclass(frozen=True)
class CutOut:
    """One line of the list cutouts.tsv.

    Attributes:
        name: the file's name without its suffix.
        label: the index of its class in `SCENE_CLASSES`, -1 for an object of no class (it serves as a distractor).
        part: "train" or "val".
        imagenet: the index of the ImageNet class that it shows, or None.
        stamp: the file in Debian's package tuxpaint-stamps-default that it was made from.
    """

    name: str
    label: int
    part: str
    imagenet: int | None
    stamp: str

    @property
    def shows(self) -> str:
        """What it shows, in words: the name without what only a file needs."""
        words = [re.sub(r"\d+$", "", word) for word in self.name.split("-") if not word.isdigit()]
        name = "-".join(filter(None, words)) or self.name
        return _SAID.get(self.name) or _SAID.get(name) or name.replace("-", " ")


# Names of files that are no words.
_SAID = {
    "1-mercury": "Mercury",
    "2-venus": "Venus",
    "3-earth": "Earth",
    "4-mars": "Mars",
    "5-jupiter": "Jupiter",
    "6-saturn": "Saturn",
    "7-uranus": "Uranus",
    "8-neptune": "Neptune",
    "9-pluto": "Pluto",
    "747": "airliner",
    "adelaide-rosella": "Adelaide rosella",
    "apple-fuji": "Fuji apple",
    "apple-granny-smith": "Granny Smith apple",
    "apple-green": "green apple",
    "apple-red": "red apple",
    "apple-sierra-beauty": "Sierra Beauty apple",
    "anemone-red": "red anemone",
    "bandage-adhesive": "adhesive bandage",
    "bluegroper": "blue groper",
    "candy-cane-photo": "candy cane",
    "donkey-eating": "donkey",
    "edward-bear": "teddy bear",
    "eggplant-plant": "eggplant",
    "european-bear": "European bear",
    "green-korean-bus": "bus",
    "holly-leaves": "holly",
    "lettuce-bolted": "lettuce",
    "magellanic-penguin": "Magellanic penguin",
    "murray-mussel": "mussel",
    "rubberduck": "rubber duck",
    "tucan": "toucan",
    "uk-post-box": "post box",
    "walnut-shelled": "walnut",
    "wildboar": "wild boar",
    "bradley": "armored vehicle",
    "camera-35mm": "film camera",
    "cementmixer": "cement mixer",
    "chicken-profile": "chicken",
    "chilepepper": "chili pepper",
    "chinesejunk": "junk",
    "christmas-tree-photo": "Christmas tree",
    "clothespin-old": "clothespin",
    "coraltrout": "coral trout",
    "cow-white": "white cow",
    "cricketball": "cricket ball",
    "cymbal-crash": "crash cymbal",
    "drum-tomtom-floor": "floor tom",
    "drumkit": "drum kit",
    "f22-raptor": "fighter jet",
    "garbagecan": "garbage can",
    "garbagetruck": "garbage truck",
    "gnu-baby": "gnu calf",
    "gnu-baby-stand": "gnu calf",
    "gnu-sitting": "gnu",
    "gnu-stand": "gnu",
    "guineafowl": "guinea fowl",
    "guitar-classical": "classical guitar",
    "guitar-electric": "electric guitar",
    "guitar-electric-bass": "electric bass",
    "home-compost-bin": "compost bin",
    "indian-blackbuck": "blackbuck",
    "indycar": "racing car",
    "infantry-stryker": "armored vehicle",
    "liberia-palm": "palm",
    "mallet-metal": "mallet",
    "mercurythermometer": "thermometer",
    "moon-3qt": "moon",
    "moon-crescent": "crescent moon",
    "moon-full": "full moon",
    "moonwrasse": "moon wrasse",
    "mountaingoat": "mountain goat",
    "orange-seville": "Seville orange",
    "paintbrush-large": "paintbrush",
    "pig-golden": "pig",
    "pitcher-small": "pitcher",
    "plyers": "pliers",
    "pumpkin-small": "pumpkin",
    "rabbit-little": "rabbit",
    "redlettuce": "red lettuce",
    "rhino-black": "black rhino",
    "scissors-small-closed": "scissors",
    "scissors-small-open": "scissors",
    "sheep-lamb": "lamb",
    "soccer": "soccer ball",
    "sportscar2": "sports car",
    "stripedfish": "striped fish",
    "tiger-sumatran": "Sumatran tiger",
    "walnutboat": "walnut boat",
    "wrench-adjustable": "adjustable wrench",
    "wrench-plumbers": "pipe wrench",
    "ww2-german-gun": "gun",
    "yellowpepper": "yellow pepper",
}


@functools.cache
def read_list() -> tuple[CutOut, ...]:
    """Return the list of all cut-outs."""
    lines = (FOLDER / "cutouts.tsv").read_text(encoding="utf-8").splitlines()
    return tuple(_entry(line) for line in lines if line and not line.startswith("#"))


def _entry(line: str) -> CutOut:
    name, kind, part, imagenet, stamp = line.split("\t")
    label = SCENE_CLASSES.index(kind) if kind in SCENE_CLASSES else -1
    return CutOut(
        name, label, part, None if imagenet == "-" else imagenet_class_names().index(imagenet), stamp
    )


@functools.cache
def picture_of(name: str) -> PILImage.Image:
    """Return the picture of a cut-out, RGBA, at most 160 pixels long; it is shared, so it must not be changed."""
    with PILImage.open(FOLDER / f"{name}.webp") as picture:
        return picture.convert("RGBA")
