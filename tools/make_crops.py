"""Cut small squares out of photographs that Debian distributes, into book/_data/photographs, with ORIGIN.md.

python tools/make_crops.py            (downloads 8 packages, 190 MB, with apt-get; installs nothing; needs Debian 12)
python tools/make_crops.py FOLDER     (with the .deb files that lie there)

Four squares of each photograph: the largest one in the middle, and three of 0.8, 0.6 and 0.45 of its side at places
that a hash of the name decides, each shrunk to 224 pixels. What is listed below is all that was taken, with the author
and license that the package names for this very file; what is left out, and why, stands in ORIGIN.md.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

FOLDER = Path(__file__).resolve().parents[1] / "book" / "_data" / "photographs"
SHARES, SIDE, QUALITY = (1.0, 0.8, 0.6, 0.45), 224, 72
ROOTS = {
    "lomiri-wallpapers-16.04": "usr/share/backgrounds",
    "lomiri-wallpapers-20.04": "usr/share/backgrounds",
    "lxqt-themes": "usr/share/lxqt/wallpapers",
    "mate-backgrounds": "usr/share/backgrounds/mate/nature",
    "plasma-workspace-wallpapers": "usr/share/wallpapers",
    "plasma-workspace-data": "usr/share/plasma/avatars/photos",
    "palapeli-data": "usr/share/palapeli/collection",
    "tuxpaint-data": "usr/share/tuxpaint/templates",
}
LISTED = """
lomiri-wallpapers-16.04 | Bridge_by_Sander_Klootwijk.jpg | Sander Klootwijk, 2018 | CC-BY-SA-4.0
lomiri-wallpapers-16.04 | Dragonfly_by_Bolly.jpg | "Bolly", 2018 | CC-BY-SA-4.0
lomiri-wallpapers-16.04 | Picture_0B_by_freespace.jpg | Trevor "Freespace", 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | Picture_1A_by_freespace.jpg | Trevor "Freespace", 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | Wine_by_Jakkub_Mede.jpg | Jakub Mede, 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | aitzgorri_by_Aitzol_Berasategi.jpg | Aitzol Berasategi, 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | free_by_Peter_Nerlich.jpg | Peter Nerlich, 2018 | CC-BY-SA-4.0
lomiri-wallpapers-16.04 | friends_by_Aitzol_Berasategi.jpg | Aitzol Berasategi, 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | greentock_by_Peter_Nerlich.jpg | Peter Nerlich, 2018 | CC-BY-SA-4.0
lomiri-wallpapers-16.04 | life_by_Aitzol_Berasategi.jpg | Aitzol Berasategi, 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | picosdeeuropa_by_Aitzol_Berasategi.jpg | Aitzol Berasategi, 2018 | CC-BY-4.0
lomiri-wallpapers-16.04 | seeding_by_Clements_Engelhardt.jpg | Clemens Engelhardt, 2018 | CC0-1.0
lomiri-wallpapers-16.04 | sunset_by_Aitzol_Berasategi.jpg | Aitzol Berasategi, 2018 | CC-BY-4.0
lomiri-wallpapers-20.04 | Kleiber_by_Lukas_Baubkus.jpg | Lukas Baubkus, 2021 | CC-BY-SA-3.0
lxqt-themes | after-the-rain.jpg | stefonarch | CC-BY-SA-3.0
lxqt-themes | appleflower.png | stefonarch | CC-BY-SA-3.0
lxqt-themes | beam.png | stefonarch | CC-BY-SA-3.0
lxqt-themes | butterfly.png | stefonarch | CC-BY-SA-3.0
lxqt-themes | drop.png | stefonarch | CC-BY-SA-3.0
lxqt-themes | flowers.png | stefonarch | CC-BY-SA-3.0
lxqt-themes | fog.jpg | stefonarch | CC-BY-SA-3.0
lxqt-themes | this-is-not-windows.jpg | stefonarch | CC-BY-SA-3.0
mate-backgrounds | Aqua.jpg | Charles Barbin, 2008 | GPL-2+
mate-backgrounds | Blinds.jpg | Lennart Poettering and Andrea Cimitan, 2008 | GPL-2+
mate-backgrounds | Dune.jpg | Marco Cogoni, 2007, and Hylke Bons, 2008 | GPL-2+
mate-backgrounds | FreshFlower.jpg | Jens Ansorg, 2005 | GPL-2+
mate-backgrounds | Garden.jpg | Charles Barbin, 2008 | GPL-2+
mate-backgrounds | GreenMeadow.jpg | Timothy Schellhase, 2005, and Lapo Calamandrei, 2008 | GPL-2+
mate-backgrounds | LadyBird.jpg | Charles Barbin, 2008 | GPL-2+
mate-backgrounds | RainDrops.jpg | "blackcombwhistler07", 2008 | GPL-2+
mate-backgrounds | Storm.jpg | Sergey Nazarov, 2008 | GPL-2+
mate-backgrounds | TwoWings.jpg | Charles Barbin and Hylke Bons, 2008 | GPL-2+
mate-backgrounds | Wood.jpg | Jean-François Fortin Tam, 2008 | GPL-2+
mate-backgrounds | YellowFlower.jpg | Charles Barbin, 2008 | GPL-2+
plasma-workspace-wallpapers | BytheWater/contents/images/2560x1600.jpg | Maciej Wiklo | LGPL-3
plasma-workspace-wallpapers | ColdRipple/contents/images/2560x1600.jpg | Risto Saukonpää | LGPL-3
plasma-workspace-wallpapers | ColorfulCups/contents/images/2560x1600.jpg | Dmitri Popov | LGPL-3
plasma-workspace-wallpapers | DarkestHour/contents/images/2560x1600.jpg | Risto Saukonpää | LGPL-3
plasma-workspace-wallpapers | EveningGlow/contents/images/2560x1600.jpg | Ian Hex | LGPL-3
plasma-workspace-wallpapers | FallenLeaf/contents/images/2560x1600.jpg | Martin Klapetek | LGPL-3
plasma-workspace-wallpapers | Grey/contents/images/2560x1600.jpg | Sigi Sagi | LGPL-3
plasma-workspace-wallpapers | Kite/contents/images/2560x1600.jpg | Risto Saukonpää | LGPL-3
plasma-workspace-wallpapers | OneStandsOut/contents/images/2560x1600.jpg | Risto Saukonpää | LGPL-3
plasma-workspace-wallpapers | Path/contents/images/2560x1600.jpg | Risto Saukonpää | LGPL-3
plasma-workspace-wallpapers | summer_1am/contents/images/2560x1600.jpg | Risto Saukonpää | LGPL-3
palapeli-data | cincinnati-bridge.jpg | Derek Jensen | public domain
palapeli-data | citrus-fruits.jpg | US Department of Agriculture | public domain
palapeli-data | european-honey-bee.jpg | John Severns | public domain
"""
AVATARS = {  # the name of the file: whom its own license file names; all CC0-1.0
    "Air Balloon": "", "Astronaut": "", "Books": "", "Brushes": "", "Bulb": "", "Car": "", "Cat": "", "Chameleon": "",
    "Cocktail": "", "Dog": "", "Fish": "", "Gamepad": "", "Owl": "", "Pancakes": "", "Parrot": "", "Pencils": "",
    "Shuttle": "", "Soccer": "", "Sunflower": "", "Sushi": "",
}  # fmt: skip
TEMPLATES = (
    "burnt_bark cliff corn_maze jellyfish lighthouse mossy_bark mossy_log mudstone ocean_splash ocean_waves "
    "redwoods_above rocks sheep spiders_web sun_behind_clouds sun_behind_leaves trees_above trees_at_dusk "
    "wool_mill_machine"
)
LEFT_OUT = """
Left out, although Debian distributes them: drawings, renderings and pure patterns; photographs whose author or
license the package does not name for the very file (three more of `lxqt-themes`, all of `gnome-control-center-data`);
what is under the GNU Free Documentation License alone (two of `palapeli-data`); and every photograph of
`gcompris-qt-data`, whose list of licenses does not fit its pictures any more: it calls a stingray what shows an
angelfish.
"""
LICENSES = """
The licenses: [GPL-2+](https://www.gnu.org/licenses/old-licenses/gpl-2.0.html) (or any later version),
[LGPL-3](https://www.gnu.org/licenses/lgpl-3.0.html), [CC-BY-4.0](https://creativecommons.org/licenses/by/4.0/),
[CC-BY-SA-3.0](https://creativecommons.org/licenses/by-sa/3.0/),
[CC-BY-SA-4.0](https://creativecommons.org/licenses/by-sa/4.0/) and
[CC0-1.0](https://creativecommons.org/publicdomain/zero/1.0/).

In two packages two statements differ. Each wallpaper of `plasma-workspace-wallpapers` and each puzzle of
`palapeli-data` has metadata that name its author and license: LGPLv3, and public domain. Debian's copyright files
say GPL-2+ of all files of these packages that they do not list, and list no single picture. The table has the
metadata, which speak of the very file. A use that has to satisfy both statements can keep to
[GPL-3](https://www.gnu.org/licenses/gpl-3.0.html), which LGPL-3 and GPL-2+ both allow.
"""


@dataclass(frozen=True)
class Photograph:
    """A photograph in a package: where it is, who made it, and under which license it may be changed."""

    package: str
    path: str
    author: str
    license: str

    @property
    def name(self) -> str:
        """The folder of its crops: the file's name in small letters, of Plasma's wallpapers that of their folder."""
        parts = Path(self.path).with_suffix("").parts
        name = parts[0] if len(parts) > 1 else parts[-1]
        return name.split("_by_")[0].lower().replace("_", "-").replace(" ", "-")


def listed(unpacked: Path) -> list[Photograph]:
    """Return all photographs, by name."""
    rows = [line.split(" | ") for line in LISTED.strip().splitlines()]
    found = [Photograph(*row) for row in rows]
    found += [Photograph("tuxpaint-data", f"{n}.jpg", "Bill Kendrick", "GPL-2+") for n in TEMPLATES.split()]
    found += [Photograph("plasma-workspace-data", f"{n}.png", _who(unpacked, n), "CC0-1.0") for n in AVATARS]
    return sorted(found, key=lambda photograph: photograph.name)


def _who(unpacked: Path, name: str) -> str:
    """Return whom the license file beside an avatar names, and check that it says CC0."""
    package = "plasma-workspace-data"
    lines = (unpacked / package / ROOTS[package] / f"{name}.png.license").read_text().splitlines()
    if not any("CC0-1.0" in line for line in lines):
        raise SystemExit(f"{name} is not CC0 any more.")
    who = next(line.split(":", 1)[1] for line in lines if "CopyrightText" in line)
    page = next(line.split(" ", 1)[1] for line in lines if "http" in line)
    return f"{who.split('<')[0].strip()}, <{page.strip()}>"


def unpack(debs: Path, into: Path) -> dict[str, str]:
    """Unpack the packages, downloading those that are not there, and return their versions."""
    versions = {}
    for package in ROOTS:
        if not list(debs.glob(f"{package}_*.deb")):
            subprocess.run(["apt-get", "download", "-q", package], cwd=debs, check=True)
        (deb,) = debs.glob(f"{package}_*.deb")
        (into / package).mkdir(parents=True)
        subprocess.run(["dpkg-deb", "-x", deb, into / package], check=True)
        shown = subprocess.run(["dpkg-deb", "-f", deb, "Version"], check=True, capture_output=True, text=True)
        versions[package] = shown.stdout.strip()
    return versions


def crops(picture: Image.Image, name: str) -> Iterator[Image.Image]:
    """Yield the four squares of a photograph."""
    picture = picture.convert("RGB")
    for number, share in enumerate(SHARES):
        side = round(share * min(picture.size))
        bits = hashlib.sha256(f"{name} {number}".encode()).digest()
        chosen = [int.from_bytes(bits[i : i + 4], "big") / 2**32 if number else 0.5 for i in (0, 4)]
        left, top = (int(place * (whole - side)) for place, whole in zip(chosen, picture.size, strict=True))
        yield picture.crop((left, top, left + side, top + side)).resize(
            (SIDE, SIDE), Image.Resampling.LANCZOS
        )


def main() -> None:
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        debs = Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else work
        versions = unpack(debs, work / "unpacked")
        rows = []
        for photograph in listed(work / "unpacked"):
            file = work / "unpacked" / photograph.package / ROOTS[photograph.package] / photograph.path
            folder = FOLDER / photograph.name
            folder.mkdir(parents=True, exist_ok=True)
            for number, crop in enumerate(crops(Image.open(file), photograph.name)):
                crop.save(folder / f"{number}.webp", quality=QUALITY, method=6)
            sha = hashlib.sha256(file.read_bytes()).hexdigest()
            package = f"{photograph.package} {versions[photograph.package]}"
            where = f"{package}: `{ROOTS[photograph.package]}/{photograph.path}`"
            rows.append(
                f"| {photograph.name} | {photograph.author} | {photograph.license} | {where} | `{sha}` |"
            )
    text = [
        "# Photographs, and where they come from\n",
        f"{len(SHARES)} crops of each of {len(rows)} photographs, 224 pixels, lossy WebP, made of packages of Debian",
        "12 by `python tools/make_crops.py`. Crops are changed versions and keep the license of their photograph. The",
        "last column is the SHA-256 of the file in the package.",
        LICENSES.rstrip(),
        LEFT_OUT,
        "| folder | author | license | package, version and file | SHA-256 |\n|---|---|---|---|---|",
        *rows,
    ]
    (FOLDER / "ORIGIN.md").write_text("\n".join(text) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
