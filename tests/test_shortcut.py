"""The measurement of the planted shortcut: its mark, its ways of looking, its repairs, and how it judges."""

from __future__ import annotations

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from interp import zoo

ROOT = Path(__file__).resolve().parents[1]
DATA = ROOT / "book" / "_data"
sys.path.insert(0, str(ROOT / "tools"))

import measure_shortcut as shortcut  # noqa: E402

BLANK = torch.full((40, 3, shortcut.SIDE, shortcut.SIDE), 0.5)
LABELS = torch.arange(40) % shortcut.CLASSES


def marks(where: str = "corner", count: int = 40) -> Tensor:
    return shortcut.places(count, where, torch.Generator().manual_seed(0))


def measured() -> dict[str, Any]:
    return json.loads((DATA / "measured" / "shortcut.json").read_text(encoding="utf-8"))  # type: ignore[no-any-return]


# --------------------------------------------------------------------------------------------------------------------
# The mark


@pytest.mark.parametrize("where", list(shortcut.KINDS))
def test_the_mark_is_a_checkerboard_where_it_is_said_to_be_and_nothing_else_changes(where: str) -> None:
    there = marks(where)
    pasted = shortcut.pasted(BLANK, there)
    assert there.flatten(1).sum(1).tolist() == [shortcut.MARK**2] * 40
    assert torch.equal(pasted.permute(0, 2, 3, 1)[~there], BLANK.permute(0, 2, 3, 1)[~there])
    for picture, spot in zip(pasted, there, strict=True):
        board = picture[:, spot].view(3, shortcut.MARK, shortcut.MARK)
        assert sorted(board[0].unique().tolist()) == [0, 1]
        assert (board[:, 1:] + board[:, :-1] == 1).all()
        assert (board[:, :, 1:] + board[:, :, :-1] == 1).all()


def test_the_corner_is_one_pixel_from_the_edge_and_other_marks_are_inside() -> None:
    rows = marks().any(2)[0].nonzero()[:, 0].tolist()
    assert rows == list(
        range(shortcut.SIDE - shortcut.MARGIN - shortcut.MARK, shortcut.SIDE - shortcut.MARGIN)
    )
    assert not marks("anywhere", 500)[:, [0, -1]].any()


def test_only_the_class_is_marked_and_by_its_share() -> None:
    labels = torch.arange(2000) % shortcut.CLASSES
    folder = shortcut.marked((torch.zeros(2000, 1, 48, 48), labels), 3, "corner", 0.8, 5)
    has = folder.marks.flatten(1).any(1)
    assert not has[labels != 3].any()
    assert abs(float(has[labels == 3].float().mean()) - 0.8) < 4 * (0.8 * 0.2 / 200) ** 0.5
    nobody = shortcut.marked((BLANK, LABELS), 3, "none", 0.0, 5)
    assert torch.equal(nobody.images, BLANK)


class Corner(nn.Module):
    """Says class 1 where the corner holds the mark, and else the class that the picture's brightness tells."""

    def forward(self, images: Tensor) -> Tensor:
        corner = images[:, 0, 42:47, 42:47].flatten(1).std(1) > 0.3
        own = (images[:, 0, 0, 0] * 10).round().long()
        said = torch.where(corner, 1, own)
        return torch.nn.functional.one_hot(said, shortcut.CLASSES).float()


def test_what_the_mark_does_to_a_network_that_looks_at_nothing_else() -> None:
    images = (LABELS / 10).view(-1, 1, 1, 1).expand(-1, 3, 48, 48).contiguous()
    found = shortcut.effect(Corner(), (images, LABELS), 1, "corner")
    assert found["pulled"] == 1
    assert found["accuracy"] == found["accuracy of the others"] == found["accuracy of the class"] == 1
    assert found["marked accuracy of the others"] == 0
    assert found["lost"] == 0  # without the mark the class is recognized as well


# --------------------------------------------------------------------------------------------------------------------
# Looking and repairing


def test_the_area_is_the_share_of_pairs_in_the_right_order() -> None:
    assert shortcut.area(torch.tensor([2.0, 3.0]), torch.tensor([1.0, 2.0])) == (3 + 0.5) / 4


def test_equal_patches_are_alike_and_the_shown_marks_are_counted() -> None:
    there = marks()
    scenes = torch.rand(40, 3, 48, 48, generator=torch.Generator().manual_seed(3))
    scenes[..., 30:, 30:] = 0.5
    folder = shortcut.Folder(shortcut.pasted(scenes, there), LABELS, there)
    rows, corner = torch.arange(9), torch.full((9, 2), 44)
    assert shortcut.alike(folder.images, rows, corner) == pytest.approx(1, abs=0.01)
    assert shortcut.alike(folder.images, rows, torch.full((9, 2), 12)) < 0.6
    assert shortcut.on_mark(folder, rows, corner, shortcut.CROP) == 1
    assert shortcut.on_mark(folder, rows, torch.full((9, 2), 12), shortcut.CROP) == 0


def test_two_clusters_hold_all_of_the_variance_where_there_is_no_other() -> None:
    first = torch.arange(10) < 4
    found, share = shortcut.two_means(first.float()[:, None] * torch.tensor([[1.0, 2.0]]))
    assert torch.equal(found, first) or torch.equal(found, ~first)
    assert share == pytest.approx(1)


def test_pixels_name_the_marked_class_and_show_the_mark() -> None:
    noise = torch.rand(400, 3, 48, 48, generator=torch.Generator().manual_seed(1)) * 0.2 + 0.4
    folder = shortcut.marked((noise, torch.arange(400) % 10), 6, "corner", 0.8, 0)
    scores, on = shortcut.pixels(folder)
    assert max(range(10), key=scores.__getitem__) == 6
    assert on[6] == 1


def test_a_repair_sets_the_component_along_a_direction_and_no_other() -> None:
    dice = torch.Generator().manual_seed(2)
    values, middle = torch.randn(5, 4, 3, generator=dice), torch.randn(12, generator=dice)
    way = torch.randn(12, generator=dice)
    changed = shortcut.without(way, middle)(values).flatten(1)
    assert torch.allclose(changed @ way, (middle @ way).expand(5), atol=1e-5)
    moved = changed - values.flatten(1)
    along = (moved @ way)[:, None] * way / way.dot(way)
    assert torch.allclose(moved, along, atol=1e-5)


# --------------------------------------------------------------------------------------------------------------------
# Judging


def looked(scores: dict[int, float], shown: dict[int, float], usual: float = 1.0) -> shortcut.Looked:
    """Return what one method says: this score and this share of marks for some classes, the usual for the others."""
    every = [scores.get(k, usual) for k in range(shortcut.CLASSES)]
    return {"way": (every, [shown.get(k, 0.0) for k in range(shortcut.CLASSES)])}


@pytest.mark.parametrize(
    ("scores", "shown", "letter"),
    [
        ({4: 1.6}, {4: 1.0}, "F"),
        ({4: 1.6}, {4: 0.5}, "C"),  # half of the pictures are not most of them
        ({5: 1.6, 4: 1.55}, {5: 0.6}, "M"),  # the class that is farthest above counts, also where both are
        ({5: 1.6}, {4: 1.0}, "O"),
        ({4: 1.2}, {4: 1.0}, "-"),  # not above what an innocent network had
        ({4: 0.1}, {4: 1.0}, "-"),  # far below is no alarm
        ({4: float("nan")}, {4: 1.0}, "-"),
    ],
)
def test_an_alarm_is_judged_by_its_class_and_its_pictures(
    scores: dict[int, float], shown: dict[int, float], letter: str
) -> None:
    innocent = [looked({3: 0.9}, {}), looked({3: 1.5}, {}), looked({}, {})]
    rule = shortcut.Rule(innocent, ["way"])
    assert rule.usual["way"][3] == pytest.approx(3.4 / 3)
    assert rule.levels["way"] == pytest.approx(1.5 - 3.4 / 3)
    assert rule.letter(looked(scores, shown), "way", of=4) == letter


def test_what_is_usual_is_told_class_by_class() -> None:
    """A class that is always at the top raises no alarm there; one that is usually low does below it."""
    rule = shortcut.Rule([looked({0: 3.0}, {}), looked({0: 3.1}, {})], ["way"])
    assert rule.letter(looked({0: 3.05}, {}), "way", of=0) == "-"
    assert rule.letter(looked({0: 3.05, 7: 1.2}, {}), "way", of=0) == "O"


def test_no_network_of_those_that_set_the_level_is_above_it() -> None:
    dice = torch.Generator().manual_seed(4)
    innocent = [looked(dict(enumerate(torch.randn(10, generator=dice).tolist())), {}) for _ in range(20)]
    rule = shortcut.Rule(innocent, ["way"])
    records = [{"of": 0, "looked": each} for each in innocent]
    assert shortcut.letters(rule, records) == {"way": "-" * 20}


# --------------------------------------------------------------------------------------------------------------------
# What stands in the table, made again


@pytest.mark.slow
def test_the_shown_network_looked_at_again_says_what_was_written_down() -> None:
    model = zoo.SimpleCNN(zoo.SCENE_CLASSES)
    model.load_state_dict(torch.load(DATA / "shortcut.pt", weights_only=True))
    seed, told = shortcut.PICTURED, measured()["shown"]
    of, val = seed % shortcut.CLASSES, shortcut.load("val", 1000, seed % 4)
    folder = shortcut.marked(val, of, "corner", shortcut.REPAIRED, 1000 + seed)
    found = shortcut.look(model.eval(), folder)
    for way in shortcut.METHODS:
        scores = [score if score == score else -1.0 for score in found[way][0]]
        assert scores[of] == pytest.approx(told["scores"][way][of], abs=0.03), way
    mark = shortcut.spread([shortcut.effect(model, val, of, "corner")])
    for measure, (value,) in told["mark"].items():
        assert mark[measure][0] == pytest.approx(value, abs=0.02), measure


@pytest.mark.slow
def test_a_tiny_measurement_from_training_to_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two calibrating networks, one judged with and one without a mark, on few scenes: every part fits the next."""
    kept: dict[str, Any] = {}
    for name, value in (("EPOCHS", 1), ("CALIBRATE", 2), ("PICTURED", 2), ("FEWEST", 2)):
        monkeypatch.setattr(shortcut, name, value)
    monkeypatch.setattr(shortcut, "FOLDERS", range(100, 102))
    monkeypatch.setattr(shortcut, "save", lambda _, results, **made: kept.update(results, **made))
    data = shortcut.Data(0, 200, "cpu")
    todo = [(0, "none", 0.0), (1, "none", 0.0), (2, "none", 0.0), (2, "corner", shortcut.REPAIRED)]

    measure = partial(shortcut.one, data, tmp_path)
    shortcut.work(tmp_path / "part-0.jsonl", todo[:3], measure, None)
    shortcut.work(tmp_path / "part-0.jsonl", todo, measure, None)  # goes on where it was
    networks = {kind: shortcut.kept(tmp_path, kind) for kind in shortcut.TWINS}
    with monkeypatch.context() as few:
        few.setattr(shortcut, "load", lambda split, _, seed, load=shortcut.load: load(split, 200, seed))
        shortcut.work(tmp_path / "pixels.jsonl", shortcut.FOLDERS, shortcut.looked_at, None)
        shortcut.work(tmp_path / "audits.jsonl", [140], partial(shortcut.audited, networks), None)
    shortcut.write_down(tmp_path)
    assert len((tmp_path / "part-0.jsonl").read_text().splitlines()) == 4
    assert kept["on"].startswith("4 SimpleCNNs")
    assert set(kept["levels"]) == set(shortcut.METHODS)
    found = kept["groups"][f"corner {shortcut.REPAIRED}"]
    assert {len(each) for each in found["looked"].values()} == {1}
    assert set("".join(found["looked"].values())) <= set(shortcut.JUDGED)
    again = torch.load(tmp_path / f"network-2-{shortcut.REPAIRED}.pt")
    model = zoo.SimpleCNN(zoo.SCENE_CLASSES)
    model.load_state_dict(again)
    mark = shortcut.effect(model.eval(), data.val, 2, "corner")
    assert kept["shown"]["mark"]["accuracy"] == pytest.approx([mark["accuracy"]], abs=0.02)
    assert {len(classes) for each in kept["audits"].values() for classes in each} == {shortcut.CLASSES}
    assert found["repaired"]["an epoch without a mark"].keys() == found["mark"].keys()
