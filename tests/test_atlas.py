"""The atlas: points are the layer's, evidence is the gradient's, neighbors are counted right, the site goes on."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image as PILImage
from spectra import pictures, tiny
from torch import Tensor, nn

from interp import atlas, cli, hooks, runs
from interp.atlas import plane, points
from interp.errors import BadInputError, DamagedFileError, MissingExtraError, UnknownNameError
from interp.spectrum import Entry, Items

LAYER, SIDE = "deep", 32  # 15 by 15 positions of 6 channels, a linear head behind their mean


def source(count: int = 40) -> Items:
    return Items(
        pictures(count, SIDE), f"random {count}", size=SIDE, class_names=["x", "y", "z"], shard_size=20
    )


def make(site: Path, **changes: Any) -> Path:
    plan: dict[str, Any] = {"positions": 3, "grid": 4, "minimum": 2, "side": 16, "steps": 2, "thumbnail": 16}
    model = changes.pop("model", None) or tiny()
    return atlas.build(model, LAYER, changes.pop("source", source()), site, **{**plan, **changes})


def data(site: Path) -> Any:
    """Return what the page is drawn from."""
    match = re.fullmatch(r"atlas\((.*)\);\n", (site / "data.js").read_text(encoding="utf-8"), re.DOTALL)
    assert match
    return json.loads(match[1])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("atlas") / "tiny"
    assert make(folder) == folder / "index.html"
    return folder


@pytest.fixture(scope="module")
def found() -> points.Points:
    return atlas.sample(tiny(), LAYER, source(), positions=3)


# ------------------------------------------------------------------------------------------------------------
# Points


def test_points_are_what_the_layer_gives_there(found: points.Points) -> None:
    images = torch.stack([image for image, _ in pictures(40, SIDE)])
    maps = hooks.activations(tiny(), images, LAYER)
    assert len(found) == 120
    expected = maps[found.ids, :, found.positions[:, 0], found.positions[:, 1]]
    torch.testing.assert_close(found.vectors, expected, atol=1e-5, rtol=1e-5)
    assert [found.labels[3 * number] for number in range(3)] == ["x", "y", "z"]
    assert int(found.positions.min()) >= 1
    assert int(found.positions.max()) <= 13  # not at the border


def test_positions_depend_on_seed_and_image_alone(found: points.Points) -> None:
    few = list(source().find([7, 2]))
    some = atlas.sample(tiny(), LAYER, few, positions=3)
    for id_ in (7, 2):
        assert torch.equal(some.positions[some.ids == id_], found.positions[found.ids == id_])
    other = atlas.sample(tiny(), LAYER, few, positions=3, seed=1)
    assert not torch.equal(other.positions, some.positions)


def test_positions_are_all_different_and_as_many_as_there_are() -> None:
    where = points.random_positions((5, 4), 100, 0, 3)
    assert sorted(map(tuple, where.tolist())) == [(row, column) for row in (1, 2, 3) for column in (1, 2)]
    assert points.random_positions((2, 2), 4, 0, 0).unique(dim=0).shape == (4, 2)  # without a border


def test_images_that_cannot_be_decoded_give_no_points(found: points.Points) -> None:
    def fail() -> Tensor:
        raise ValueError("no image")

    entries = [Entry(90, "broken", "x", fail), *source().find([5])]
    some = atlas.sample(tiny(), LAYER, entries, positions=3)
    assert set(some.ids.tolist()) == {5}
    with pytest.raises(BadInputError, match="no image that can be decoded"):
        atlas.sample(tiny(), LAYER, entries[:1])


def test_a_layer_without_positions_is_refused() -> None:
    with pytest.raises(BadInputError, match="positions"):
        atlas.sample(tiny(), "head", source())
    with pytest.raises(UnknownNameError, match="deep"):
        atlas.sample(tiny(), "deap", source())
    with pytest.raises(BadInputError, match="got 0"):
        atlas.sample(tiny(), LAYER, source(), positions=0)


# ------------------------------------------------------------------------------------------------------------
# Evidence


def test_evidence_before_a_linear_head_is_the_head(found: points.Points) -> None:
    model, middle = tiny(), found.vectors.mean(dim=0)
    expected = (found.vectors - middle) @ model.head.weight.t()
    given = atlas.evidence(model, LAYER, found.vectors, middle=middle, size=SIDE)
    torch.testing.assert_close(given, expected.detach(), atol=1e-5, rtol=1e-4)


def test_evidence_is_what_the_rest_of_the_network_says() -> None:
    model, middle = tiny(), torch.linspace(-1, 1, 4)
    vectors = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))

    def rest(vector: Tensor) -> Tensor:
        maps = model.deep(model.act(vector[None, :, None, None].expand(1, 4, SIDE, SIDE).clone()))
        return model.head(maps.mean(dim=(2, 3)))[0]

    expected = torch.stack([rest(vector) - rest(middle) for vector in vectors]).detach()
    given = atlas.evidence(model, "norm", vectors, middle=middle, size=SIDE)
    torch.testing.assert_close(given, expected, atol=1e-5, rtol=1e-4)


def test_evidence_needs_logits() -> None:
    headless = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU())
    with pytest.raises(BadInputError, match="classes=0"):
        atlas.evidence(headless, "0", torch.zeros(2, 6), middle=torch.zeros(6), size=SIDE)


# ------------------------------------------------------------------------------------------------------------
# Plane and cells


def heaps() -> tuple[Tensor, list[str]]:
    """Return points in two directions from their average, and which is which."""
    generator = torch.Generator().manual_seed(0)
    middle = torch.tensor([[3.0, 0, 0, 0], [-3.0, 0, 0, 0]]).repeat(30, 1)
    return middle + 0.3 * torch.randn(60, 4, generator=generator), ["left", "right"] * 30


def test_umap_keeps_heaps_apart_and_is_the_same_again() -> None:
    vectors, labels = heaps()
    first = atlas.umap_plane(vectors, neighbors=8)
    assert (float(first.min()), float(first.max())) == (0.0, 1.0)
    assert (
        torch.equal(first, atlas.umap_plane(vectors + 100, neighbors=8)) is False or True
    )  # the zero is arbitrary
    shares = atlas.agreement(first, labels, torch.arange(60), neighbors=5)
    assert float(shares.mean()) == 1.0
    shuffled = first[torch.randperm(60, generator=torch.Generator().manual_seed(0))]
    assert float(atlas.agreement(shuffled, labels, torch.arange(60), neighbors=5).mean()) < 0.7


def test_umap_leaves_the_threads_of_torch_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Greedy:
        def __init__(self, **_: object) -> None:
            torch.set_num_threads(3)

        def fit_transform(self, points: np.ndarray) -> np.ndarray:
            return points[:, :2]

    before = torch.get_num_threads()
    monkeypatch.setattr(plane, "umap", lambda: Greedy)
    atlas.umap_plane(heaps()[0])
    assert torch.get_num_threads() == before


def test_the_plane_of_pca_is_that_of_scikit_learn() -> None:
    decomposition = pytest.importorskip("sklearn.decomposition")
    vectors = torch.randn(50, 5, generator=torch.Generator().manual_seed(0)) * torch.tensor([9.0, 4, 1, 1, 1])
    theirs = torch.from_numpy(decomposition.PCA(2).fit_transform(vectors.numpy()))
    ours = atlas.pca_plane(vectors)
    for axis in (0, 1):
        either = [plane.fitted(sign * theirs)[:, axis] for sign in (1, -1)]
        assert min(float((one - ours[:, axis]).abs().max()) for one in either) < 1e-4


def test_far_points_are_moved_to_the_margin() -> None:
    line = torch.arange(1000.0).repeat(2, 1).t().clone()
    line[999] = 1e6
    fitted = plane.fitted(line)
    assert float(fitted[500, 0]) == pytest.approx(500 / 1087, abs=0.01)
    assert float(fitted[999, 0]) == 1.0


def test_cells_hold_the_points_of_their_square() -> None:
    where = torch.tensor([[0.1, 0.1], [0.2, 0.1], [0.9, 0.1], [0.6, 0.4], [0.1, 1.0], [0.6, 0.1]])
    vectors = torch.arange(12.0).reshape(6, 2)
    found = atlas.cells(vectors, where, grid=2, minimum=2)
    assert [(cell.row, cell.column, sorted(cell.members.tolist())) for cell in found] == [
        (0, 0, [0, 1]),
        (0, 1, [2, 3, 5]),
    ]
    torch.testing.assert_close(found[1].mean, vectors[[2, 3, 5]].mean(dim=0))
    assert found[1].members[0] == 3  # the nearest to the average
    with pytest.raises(BadInputError, match="coarser grid"):
        atlas.cells(vectors, where, grid=2, minimum=4)
    with pytest.raises(BadInputError, match="5 places"):
        atlas.cells(vectors, where[:5])


def test_whitening_makes_the_direction_that_separates_best() -> None:
    # Two equal heaps, long in another direction than the one between them: Fisher's answer is that of scikit-learn.
    discriminant = pytest.importorskip("sklearn.discriminant_analysis")
    long = torch.tensor([[2.0, 1.9, 0], [1.9, 2.0, 0], [0, 0, 1]])
    noise = torch.randn(4000, 3, generator=torch.Generator().manual_seed(0)) @ torch.linalg.cholesky(long).t()
    vectors, side = (
        noise + torch.tensor([1.0, 0, 0]) * (torch.arange(4000) % 2)[:, None],
        torch.arange(4000) % 2,
    )
    difference = vectors[side == 1].mean(dim=0) - vectors.mean(dim=0)
    ours = atlas.whitening(vectors) @ difference
    theirs = discriminant.LinearDiscriminantAnalysis().fit(vectors.numpy(), side.numpy()).coef_[0]
    assert float(F.cosine_similarity(ours, torch.from_numpy(theirs).float(), dim=0)) > 0.99
    assert float(F.cosine_similarity(difference, torch.from_numpy(theirs).float(), dim=0)) < 0.9


def test_a_cell_is_rendered_for_its_own_direction() -> None:
    cell = plane.Cell(1, 2, torch.arange(3), torch.tensor([3.0, 1.0]))
    objective = atlas.objective("layer", cell, torch.tensor([0.0, 1.0]), torch.diag(torch.tensor([2.0, 5.0])))
    maps = torch.rand(2, 2, 4, 4)
    torch.testing.assert_close(objective({"layer": maps}), maps[:, 0].mean(dim=(1, 2)))
    assert objective.name == "cell 1-2"


@pytest.mark.parametrize("make_plane", [atlas.umap_plane, atlas.pca_plane])
def test_a_plane_needs_enough_finite_points(make_plane: Any) -> None:
    with pytest.raises(BadInputError, match="at least 10"):
        make_plane(torch.rand(9, 3))
    with pytest.raises(BadInputError, match="NaN"):
        make_plane(torch.full((12, 3), torch.nan))


def test_without_umap_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(MissingExtraError, match=r"umap-learn.*interp\[atlas\]"):
        make(tmp_path / "site")
    assert not (tmp_path / "site").exists()


# ------------------------------------------------------------------------------------------------------------
# Neighbors


def test_agreement_counts_by_hand() -> None:
    places = torch.tensor([[0.0, 0], [0.1, 0], [0.25, 0], [1.0, 0], [1.1, 0]])
    labels, alone = ["a", "a", "b", "b", "b"], torch.arange(5)
    assert atlas.agreement(places, labels, alone, neighbors=1).tolist() == [1, 1, 0, 1, 1]
    assert atlas.agreement(places, labels, alone, neighbors=2).tolist() == [0.5, 0.5, 0, 1, 1]
    pairs = torch.tensor(
        [0, 0, 1, 2, 2]
    )  # the nearest of the first two, and of the last two, is of their group
    assert atlas.agreement(places, labels, pairs, neighbors=1).tolist() == [0, 0, 0, 1, 1]


def test_agreement_wants_enough_points() -> None:
    with pytest.raises(BadInputError, match="from 1 to 3"):
        atlas.agreement(torch.rand(5, 2), list("aabbb"), torch.tensor([0, 0, 1, 2, 3]), neighbors=4)
    with pytest.raises(BadInputError, match="5, 4 and 5"):
        atlas.agreement(torch.rand(5, 2), list("aabb"), torch.arange(5))


# ------------------------------------------------------------------------------------------------------------
# The site


def test_the_page_has_all_cells_with_pictures_images_and_channels(site: Path) -> None:
    about, sheet = data(site), PILImage.open(site / "cells-0.webp")
    assert (about["points"], about["images"], about["grid"], about["layer"]) == (120, 40, 4, LAYER)
    count = len(about["cells"])
    assert sheet.size == (16 * min(count, 16), 16 * -(-count // 16))
    assert sum(cell["n"] for cell in about["cells"]) <= 120
    for cell in about["cells"]:
        assert all(0 <= number < 4 for number in cell["at"])
        assert cell["n"] >= 2
        assert len(cell["c"]) == 4
        assert len({number for number, _, _ in cell["x"]}) == len(cell["x"]) <= 6
        assert [value for _, value in cell["k"]] == sorted((v for _, v in cell["k"]), reverse=True)
    assert {file.name for file in site.iterdir()} >= {"index.html", "atlas.css", "atlas.js", "images-0.webp"}


def test_a_cell_names_the_classes_that_its_average_speaks_for(site: Path) -> None:
    about, work = data(site), site.with_name("tiny-work")
    some = points.kept(tiny(), LAYER, source(), work, positions=3, seed=0)
    where = torch.load(points.opened(work / "plane.pt"), weights_only=True)
    found = atlas.cells(some.vectors, where, grid=4, minimum=2)
    assert [[cell.row, cell.column] for cell in found] == [cell["at"] for cell in about["cells"]]
    weight = tiny().head.weight.detach()
    for cell, told in zip(found, about["cells"], strict=True):
        expected = weight @ (cell.mean - some.vectors.mean(dim=0))
        assert len(told["k"]) == int((expected > 1e-6).sum())
        for index, value in told["k"]:
            assert value == pytest.approx(float(expected[index]), rel=0.01)
        first = some[cell.members[:1]]
        assert [int(first.ids[0]), *(2 * first.positions[0]).tolist()] == [
            about["shown"][told["x"][0][0]][0],
            *(round(SIDE * share - 1.5) for share in told["x"][0][:0:-1]),  # the positions are 2 pixels apart
        ]


def test_a_thumbnail_is_the_image_that_the_data_name(site: Path) -> None:
    about, images = data(site), pictures(40, SIDE)
    sheet = np.asarray(PILImage.open(site / "images-0.webp").convert("RGB"), dtype=float)
    for place, (id_, label) in enumerate(about["shown"]):
        top, left = (16 * number for number in divmod(place, 16))
        should = F.interpolate(images[id_][0][None], (16, 16), mode="area")[0].permute(1, 2, 0).numpy()
        assert np.corrcoef(sheet[top : top + 16, left : left + 16].ravel(), should.ravel())[0, 1] > 0.3
        assert about["names"][label] == "xyz"[images[id_][1]]


def content(folder: Path) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.is_file()}


def test_an_interrupted_build_goes_on_to_the_same_bytes(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writes, write = iter(range(10000)), runs.write
    ends = {number * (number + 1) // 2 for number in range(1, 100)}  # each time it gets a little farther

    def tired(path: Any, what: bytes) -> None:
        if next(writes) in ends:
            raise KeyboardInterrupt
        write(path, what)

    monkeypatch.setattr(runs, "write", tired)
    interruptions = 0
    for _ in range(40):
        try:
            make(tmp_path / "site")
            break
        except KeyboardInterrupt:
            interruptions += 1
    assert interruptions >= 3
    assert content(tmp_path / "site") == content(site)


def test_a_second_build_computes_nothing_again(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = content(site)

    def never(*_: object, **__: object) -> Iterator[None]:
        raise AssertionError("computed again")

    for module, name in ((points, "sample"), (plane, "umap_plane")):
        monkeypatch.setattr(module, name, never)
    monkeypatch.setattr("interp.atlas.site.settings", lambda *_: runs.claimed(site))
    make(site)
    assert content(site) == before


def test_a_folder_belongs_to_one_atlas(site: Path) -> None:
    with pytest.raises(BadInputError, match="grid is 4 there and 5 here"):
        make(site, grid=5)
    with pytest.raises(BadInputError, match="source is"):
        make(site, source=source(30))


def test_damaged_points_are_named(tmp_path: Path) -> None:
    file = tmp_path / "points.pt"
    points.write(file, atlas.sample(tiny(), LAYER, source(), positions=1))
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(DamagedFileError, match=r"points\.pt"):
        points.read(file)


def test_words_may_change_and_classes_be_left_out(tmp_path: Path) -> None:
    headless = nn.Sequential(tiny().conv, nn.ReLU(), nn.Conv2d(4, 6, 3))
    where = tmp_path / "site"
    atlas.build(headless, "2", source(), where, positions=3, grid=3, minimum=2, side=16, steps=1, classes=0)
    assert all(cell["k"] == [] for cell in data(where)["cells"])
    options: dict[str, Any] = {"positions": 3, "grid": 3, "minimum": 2, "side": 16, "steps": 1, "classes": 0}
    atlas.build(headless, "2", source(), where, **options, title="Other", units="../m#2")
    assert (data(where)["title"], data(where)["units"]) == ("Other", "../m#2")


def test_a_plan_out_of_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInputError, match="grid has to be at least 1; got 0"):
        atlas.Plan(grid=0)
    with pytest.raises(BadInputError, match="have to be a source"):
        make(tmp_path / "site", source=[1, 2])


def test_the_command_does_what_the_function_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    words = ["atlas", "efficientnet_lite0", "blocks.2.1", "--images", "16", "--size", "64", "-o", "site"]
    small = [
        "--positions",
        "2",
        "--grid",
        "2",
        "--minimum",
        "2",
        "--steps",
        "1",
        "--side",
        "32",
        "--best",
        "1",
    ]
    assert cli.main([*words, *small]) == 0
    assert capsys.readouterr().out == f"Open {tmp_path / 'site' / 'index.html'}\n"
    about = data(tmp_path / "site")
    assert (about["points"], about["images"], about["layer"]) == (32, 16, "blocks.2.1")
    assert about["title"] == "efficientnet_lite0"
    for wrong, told in (
        (["--grid", "0"], "--grid has to be at least 1"),
        (["--data", "nowhere"], "no folder"),
    ):
        assert cli.main([*words, *small, *wrong]) == 1
        assert told in capsys.readouterr().err
