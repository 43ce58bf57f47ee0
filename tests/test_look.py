"""What the pages get beside their text: pictures at their size, links that run a chapter, live figures as files."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import nbformat
import numpy
import pytest
import torch
from bs4 import BeautifulSoup
from IPython.core.inputtransformer2 import TransformerManager
from PIL import Image as PILImage

from interp import plots

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools"), str(ROOT / "book" / "_ext")]

import export_notebooks  # noqa: E402
import install_cell  # noqa: E402
import launch  # noqa: E402
import live_figures  # noqa: E402
import look  # noqa: E402
import make_pdf  # noqa: E402
import narrow  # noqa: E402
import pictures  # noqa: E402
import previews  # noqa: E402
import run_notebooks  # noqa: E402
import wall  # noqa: E402

REPOSITORY = "https://github.com/Some-One/a-book"


def _page(markup: str) -> BeautifulSoup:
    return BeautifulSoup(markup, "html.parser")


def _png(width: int, height: int, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PILImage.new("RGB", (width, height), "red").save(buffer, "PNG", **options)
    return buffer.getvalue()


# ---- links that run a chapter


def test_without_an_address_there_are_no_launch_links() -> None:
    for address in ("", "not an address", "https://gitlab.com/a/b"):
        assert launch.addresses(address, "book/segment-1/one") == {}
        assert launch.site_of(address, "") == ""


@pytest.mark.parametrize("address", [REPOSITORY, REPOSITORY + "/", REPOSITORY + ".git"])
def test_launch_links_open_the_generated_notebook(address: str) -> None:
    found = launch.addresses(address, "book/segment-1/one")
    assert found == {
        "Colab": "https://colab.research.google.com/github/Some-One/a-book/blob/notebooks/book/segment-1/one.ipynb",
        "Binder": "https://mybinder.org/v2/gh/Some-One/a-book/notebooks?labpath=book/segment-1/one.ipynb",
    }
    assert launch.site_of(address, "") == "https://some-one.github.io/a-book"
    assert launch.site_of(address, "https://book.example/") == "https://book.example"


def test_the_install_cell_takes_the_wheel_of_the_site_and_no_pins() -> None:
    code = install_cell.source("https://book.example")
    compile(TransformerManager().transform_cell(code), "cell", "exec")
    assert f'interp[examples,plots,models,lucent] @ https://book.example/{install_cell.wheel()}"' in code
    assert "==" not in code
    assert "torch" not in code


def test_the_install_cell_does_nothing_where_the_package_is() -> None:
    exec(install_cell.source(""), {})  # interp is installed here: no error, no pip


def test_the_install_cell_says_what_to_do_where_no_address_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match="In a clone of the book"):
        exec(install_cell.source(""), {})


def test_the_branch_holds_notebooks_with_no_outputs_but_those_to_compare(tmp_path: Path) -> None:
    v4 = nbformat.v4
    code = v4.new_code_cell("1 + 1", outputs=[v4.new_output("stream", text="2")], execution_count=3)
    checked = v4.new_code_cell(
        "2", outputs=[v4.new_output("stream", text="2")], metadata={"tags": ["nbval-check-output"]}
    )
    page = v4.new_notebook(cells=[v4.new_markdown_cell("# One"), code, checked])
    (tmp_path / "site" / "book").mkdir(parents=True)
    nbformat.write(page, tmp_path / "site" / "book" / "one.ipynb")
    assert export_notebooks.main(str(tmp_path / "site"), str(tmp_path / "out")) == 0
    written = nbformat.read(tmp_path / "out" / "book" / "one.ipynb", as_version=4)
    assert [cell.source for cell in written.cells] == ["# One", "1 + 1", "2"]
    assert written.cells[1].outputs == []
    assert [output.text for output in written.cells[2].outputs] == ["2"]
    assert "interp[" in (tmp_path / "out" / ".binder" / "requirements.txt").read_text(encoding="utf-8")


def test_no_notebooks_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert export_notebooks.main(str(tmp_path), str(tmp_path / "out")) == 1
    assert "make book" in capsys.readouterr().err


# ---- pictures


def _app(folder: Path) -> Any:
    return SimpleNamespace(srcdir=folder, outdir=folder, builder=SimpleNamespace(images={}))


@pytest.mark.parametrize(("dpi", "width"), [(200, "50"), (72, "100")])
def test_a_picture_takes_the_place_that_it_was_drawn_for(tmp_path: Path, dpi: int, width: str) -> None:
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "a.png").write_bytes(_png(100, 60, dpi=(dpi, dpi)))
    page = _page(
        '<img src="../_images/a.png" alt="a"><img src="../_images/a.png" alt="b"><img src="gone.png" alt="c">'
    )
    pictures.settle(_app(tmp_path), page)
    first, second, gone = page.find_all("img")
    assert first["width"] == width
    assert {picture["loading"] for picture in (first, second, gone)} == {"lazy"}
    assert "width" not in gone.attrs


def test_a_picture_links_to_its_file_once(tmp_path: Path) -> None:
    page = _page(
        '<figure><img src="a.png" alt="a"></figure><figure><a href="x"><img src="b.png" alt="b"></a></figure>'
        '<figure><div class="live"><img src="c.png" alt="c"></div></figure><p><img src="d.png" alt="d"></p>'
    )
    pictures.settle(_app(tmp_path), page)
    assert [link["href"] for link in page.select("a")] == ["a.png", "x"]


def test_a_page_keeps_the_pictures_of_its_live_figures_in_files(tmp_path: Path) -> None:
    address = "data:image/png;base64," + base64.b64encode(_png(4, 4)).decode()
    data = json.dumps({"pictures": [address], "words": "</script> stays", "n": 1}).replace("<", "\\u003c")
    page = _page(
        f'<div class="live" data-kind="compare"><style>x</style><div class="stage"><img src="{address}" alt="a"></div>'
        f'<script type="application/json">{data}</script><script>code</script></div>'
    )
    assert live_figures.share(_app(tmp_path), "../../", page) == ["core.js", "compare.js"]
    (file,) = (tmp_path / "_images").iterdir()
    assert file.read_bytes() == _png(4, 4)
    (script,) = page.select("script")
    assert "</" not in script.string
    assert json.loads(script.string) == {
        "pictures": [f"../../_images/{file.name}"],
        "words": "</script> stays",
        "n": 1,
    }
    assert page.img["src"] == f"../../_images/{file.name}"
    assert page.style is None


def test_a_page_without_live_figures_needs_no_script(tmp_path: Path) -> None:
    assert live_figures.share(_app(tmp_path), "./", _page("<p>words</p>")) == []


def test_a_wide_table_scrolls_by_itself() -> None:
    page = _page("<table><caption>Times</caption><tr><td>1</td></tr></table>")
    look._wrap_tables(page)
    assert page.table.parent["class"] == ["table-wrap"]
    assert page.table.parent["aria-label"] == "Times"


def test_the_sign_beside_a_heading_is_not_read_aloud() -> None:
    page = _page('<h2>Title<a class="headerlink" href="#title" title="Link to this heading">¶</a></h2>')
    look._mend_roles(page)
    assert (page.a["aria-hidden"], page.a["tabindex"]) == ("true", "-1")


# ---- pictures on a phone


def _drawn(figure: plots.Figure) -> PILImage.Image:
    return PILImage.open(io.BytesIO(figure.png()))


def test_a_row_of_pictures_can_be_cut_between_them() -> None:
    opened = _drawn(plots.image_row(torch.rand(4, 3, 64, 64), ["one", "two", "three", "a longer title"]))
    parts = narrow.pieces(opened)
    assert len(parts) == 4
    assert (parts[0][0], parts[-1][1]) == (0, opened.width)
    assert {right - left for left, right in parts} == {2 * (704 - 30) // 4}


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param(lambda: plots.image_grid(torch.rand(8, 3, 64, 64), columns=4), id="grid"),
        pytest.param(
            lambda: plots.curves({"a": [1.0, 2, 3], "b": [3.0, 2, 1]}, xlabel="x", ylabel="y"), id="curves"
        ),
        pytest.param(lambda: plots.bars({"one": 1.0, "two": 2.0}), id="bars"),
        pytest.param(lambda: plots.image_row(torch.rand(1, 3, 64, 64)), id="one picture"),
        pytest.param(
            lambda: plots.image_row([torch.rand(1, 3, 64, 32), torch.rand(1, 3, 64, 96)]), id="unequal"
        ),
    ],
)
def test_what_belongs_together_is_not_cut(figure: Callable[[], plots.Figure]) -> None:
    assert narrow.pieces(_drawn(figure())) == []


def test_a_photograph_has_no_ground_to_cut_at() -> None:
    assert narrow.pieces(PILImage.new("RGB", (1408, 300))) == []


def _laid_out(figure: plots.Figure) -> BeautifulSoup:
    page = _page(
        '<figure><a class="image-reference" href="a.png"><img src="a.png" alt="Some words"></a></figure>'
    )
    page.img.attrs |= {
        "width": str(figure.width),
        "height": str(figure.height),
        "loading": "lazy",
        "decoding": "async",
    }
    narrow.lay_out(page, page.a, _drawn(figure))
    return page


def test_a_phone_takes_the_second_drawing_and_a_desk_the_first(tmp_path: Path) -> None:
    figure = plots.bars({"one": 1.0, "two": 2.0})
    assert figure.again is not None
    again = figure.again(narrow.PHONE)
    output = nbformat.v4.new_output(
        "display_data",
        {
            "image/png": base64.b64encode(figure.png()).decode(),
            narrow.AGAIN_TYPE: base64.b64encode(again.png()).decode(),
        },
    )
    cell = nbformat.v4.new_code_cell("figure", outputs=[output])
    narrow.keep(
        nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("Text."), cell]), tmp_path / "kept"
    )
    assert set(cell.outputs[0].data) == {"image/png"}  # MyST-NB warns of what it does not know
    name = hashlib.sha256(figure.png()).hexdigest()  # as MyST-NB calls the file
    file = tmp_path / "kept" / f"{name}.png"
    page = _page(
        f'<a class="image-reference" href="x"><img src="../_images/{name}.png" alt="Two bars" width="704"></a>'
    )
    narrow.choose(page, page.a, file, tmp_path / "_images")
    assert page.a.picture.source.attrs == {
        "media": narrow.SCREEN,
        "srcset": f"../_images/{name}-narrow.png",
        "width": str(narrow.PHONE),
        "height": str(again.height),
    }
    assert page.a.picture.img["src"] == f"../_images/{name}.png"
    assert (tmp_path / "_images" / f"{name}-narrow.png").read_bytes() == again.png()
    assert [file.name for file in (tmp_path / "kept").iterdir()] == [f"{name}-narrow.png"]


def test_the_kernel_of_a_page_is_asked_for_second_drawings() -> None:
    assert (narrow.AGAIN, narrow.AGAIN_TYPE) == (plots.figure.AGAIN, plots.figure.AGAIN_TYPE)
    assert narrow.PHONE == plots.figure.PHONE_WIDTH


def _circuit(width: float) -> plots.Figure:
    """Return a drawing that is open for the most part and has pictures and kernels, whose colors have to stay."""
    gray, names = torch.full((4, 3, 80, 80), 0.5), [f"a.0, {number}" for number in range(4)]
    kernels = torch.eye(5).expand(4, 5, 5)
    return plots.circuit(gray, kernels, [4.0, 3.0, 2.0, -1.0], gray[0], titles=names, width=width)


@pytest.mark.parametrize(
    ("picture", "kind"),
    [
        (lambda: _drawn(plots.curves({"a": [1.0, 2, 3]}, xlabel="x")), "chart"),
        (
            lambda: _drawn(plots.heat_row(torch.eye(9)[None] - 0.1 * torch.eye(9).flip(0), signed=True)),
            "glaring",
        ),
        (lambda: _drawn(plots.image_row(torch.full((2, 3, 80, 80), 0.5))), ""),
        (lambda: _drawn(_circuit(984)), ""),
        (lambda: _drawn(_circuit(358)), ""),
        (lambda: PILImage.new("RGB", (90, 60), "white"), "glaring"),
        (lambda: PILImage.new("RGB", (90, 60), (220, 220, 220)), ""),
    ],
)
def test_charts_and_white_pictures_are_told_apart_from_photographs(
    picture: Callable[[], PILImage.Image], kind: str
) -> None:
    assert pictures.tone(picture()) == kind


def _contrast(color: Sequence[float], ground: Sequence[float]) -> float:
    values = numpy.array([color, ground]) / 255
    linear = numpy.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    low, high = sorted((linear @ [0.2126, 0.7152, 0.0722]).tolist())
    return float((high + 0.05) / (low + 0.05))


@pytest.mark.parametrize("color", [plots.figure.INK, *plots.figure.COLORS])
def test_letters_of_charts_have_the_contrast_of_text_on_both_grounds(color: str) -> None:
    style = (ROOT / "book" / "_theme" / "paper" / "static" / "book.css").read_text(encoding="utf-8")
    found = re.findall(r"--chart: brightness\(([\d.]+)\)", style)
    light, dark, auto, printed = map(float, found)
    assert (dark, printed) == (auto, light)
    rgb = [int(color[n : n + 2], 16) for n in (1, 3, 5)]
    assert _contrast([light * value for value in rgb], [255] * 3) >= 4.5
    assert _contrast([min(255, dark * value) for value in rgb], (0x13, 0x14, 0x17)) >= 4.5


def test_the_pieces_of_a_row_are_one_file_with_one_text() -> None:
    page = _laid_out(plots.image_row(torch.rand(4, 3, 64, 64)))
    windows = page.select(".wraps > .pieces > span > img")
    assert [picture["src"] for picture in windows] == ["a.png"] * 4
    assert [picture["alt"] for picture in windows] == ["Some words", "", "", ""]
    # Four tiles of 168.5 pixels in 704: the file is 704 / 168.5 windows wide, and the second one begins at 178.5.
    assert windows[1]["style"] == "width: 417.804%; margin-left: -105.935%"


def test_what_cannot_be_cut_scrolls_at_a_readable_size() -> None:
    page = _laid_out(plots.bars({"one": 1.0, "two": 2.0}))
    assert page.select_one("figure > .pan > .pan-view > a > img")["style"] == "--least: 549px;"


@pytest.mark.parametrize(("width", "scrolls"), [(2048, True), (896, False)])
def test_a_large_sheet_scrolls_although_nothing_is_written_on_it(
    tmp_path: Path, width: int, scrolls: bool
) -> None:
    (tmp_path / "_images").mkdir()
    (tmp_path / "_images" / "sheet.png").write_bytes(_png(width, 600))
    page = _page('<figure><img src="../_images/sheet.png" alt="Many tiles"></figure>')
    pictures.settle(_app(tmp_path), page)
    assert bool(page.select(".pan img")) == scrolls
    assert ("--least: 768px" in page.img.get("style", "")) == scrolls


# ---- the wall on the front page


TILE = {"file": "a.webp", "layer": "blocks.3.2", "channel": 42, "page": "segment-2/ask-for-more#fig-climb"}


def _tile(folder: Path, monkeypatch: pytest.MonkeyPatch, *, in_microscope: bool) -> BeautifulSoup:
    (folder / "a.webp").write_bytes(_png(96, 96))
    monkeypatch.setattr(wall.microscope, "has", lambda unit: in_microscope and unit == "blocks.3.2/42")
    return _page(wall.tile(TILE, folder, "book/index"))


def test_a_tile_of_the_wall_leads_to_its_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    item = _tile(tmp_path, monkeypatch, in_microscope=False)
    assert item.a["href"] == "segment-2/ask-for-more.html#fig-climb"
    assert item.img["src"] == "../_images/wall/a.webp"
    assert item.img["alt"] == "What blocks.3.2, channel 42 wants to see"
    assert (item.img["width"], item.img["loading"]) == ("96", "lazy")


def test_a_tile_of_the_wall_leads_to_its_channel_where_the_microscope_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        _tile(tmp_path, monkeypatch, in_microscope=True).a["href"] == "../microscope/index.html#blocks.3.2/42"
    )


# ---- the book on paper


def test_chapters_become_chapters_of_their_parts() -> None:
    page = _page(
        '<nav class="sheet"><div class="here-too"><p class="caption">On this page</p></div>'
        '<div class="parts"><p class="caption">Segment 1</p><p class="caption">Appendix</p></div></nav>'
        "<article><section><h1>Book</h1><section><h2>How to read it</h2>"
        '<div class="toctree-wrapper"><section><h3>One</h3><h4>Deeper</h4></section></div>'
        '<div class="toctree-wrapper"><section><h3>API</h3><div class="toctree-wrapper"><section><h4>Images</h4>'
        "</section></div></section></div></section></section></article>"
    )
    make_pdf.arrange(page)
    outline = [(heading.name, heading.text) for heading in page.article.find_all(["h1", "h2", "h3", "h4"])]
    assert outline == [
        ("h1", "Book"),
        ("h2", "How to read it"),
        ("h1", "Segment 1"),
        ("h2", "One"),
        ("h3", "Deeper"),
        ("h1", "Appendix"),
        ("h2", "API"),
        ("h3", "Images"),
    ]


def test_photographs_go_to_paper_as_jpeg_and_drawings_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "_images" / "wall").mkdir(parents=True)
    noise = torch.rand(600, 1600, 4).mul(255).byte().numpy()
    PILImage.fromarray(noise).save(tmp_path / "_images" / "wall" / "photograph.png")
    (tmp_path / "_images" / "chart.png").write_bytes(_png(1600, 600))
    page = _page('<img src="_images/wall/photograph.png"><img src="_images/chart.png"><img src="a.svg">')
    make_pdf.lighten(page, tmp_path)
    assert [picture["src"] for picture in page("img")] == [
        "_images/wall/photograph.jpg",
        "_images/chart.png",
        "a.svg",
    ]
    with PILImage.open(tmp_path / "_images" / "wall" / "photograph.jpg") as lighter:
        assert lighter.size == (make_pdf.WIDEST, 528)


# ---- the notebooks run elsewhere


def test_the_notebooks_to_run_are_chosen_by_name(tmp_path: Path) -> None:
    names = ["book/index.ipynb", "book/segment-1/grad-cam.ipynb", "book/segment-2/circuits.ipynb"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert run_notebooks.chosen(tmp_path, []) == [tmp_path / name for name in names]
    assert run_notebooks.chosen(tmp_path, ["grad", "circuits"]) == [tmp_path / name for name in names[1:]]
    copied = run_notebooks.copy(tmp_path / names[1], tmp_path / "away")
    assert copied == tmp_path / "away" / "segment-1-grad-cam.ipynb"
    assert copied.exists()


def test_no_notebook_of_that_name_is_an_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_notebooks.main(["no such chapter"]) == 2
    assert "make book wheel" in capsys.readouterr().err


# ---- what previews of links show


def test_a_description_ends_with_a_sentence() -> None:
    text = (
        "One thing. "
        + "Another thing that is told at length " * 4
        + "here. And a third that does not fit any more at all."
    )
    assert look._sentences(text, 200).endswith("at length here.")
    assert look._sentences("word " * 80, 50).endswith(" ...")


def test_the_preview_of_a_page_is_its_first_figure_on_white(tmp_path: Path) -> None:
    page = _page('<article><figure><img src="../../_images/a.png"></figure></article>')
    (tmp_path / "_images").mkdir()
    drawn = PILImage.new("RGBA", (400, 100))
    drawn.paste("red", (0, 0, 200, 100))  # the other half has no ground
    drawn.save(tmp_path / "_images" / "a.png")
    found = previews.picture(_app(tmp_path), page, "book/one/two", "https://example.org/site")
    assert found == "https://example.org/site/_images/preview-one-two.jpg"
    with PILImage.open(tmp_path / "_images" / "preview-one-two.jpg") as made:
        assert made.size == (1200, 630)
        assert made.getpixel((300, 315))[0] > 240 > 20 > made.getpixel((300, 315))[1]
        assert min(made.getpixel((900, 315))) > 240
    assert previews.picture(_app(tmp_path), page, "book/one/two", "") == "", (
        "it cannot follow a relative address"
    )
    assert previews.picture(_app(tmp_path), _page("<p>none</p>"), "book/one", "https://example.org") == ""


# ---- where a page stands, and what is aligned and kept together


def test_every_chapter_says_where_it_stands() -> None:
    assert look.place_of("book/segment-1/convolution") == "Segment 1, chapter 2 of " + str(
        len(look._parts()["Segment 1"])
    )
    assert look.place_of("book/appendix/claims") == look.place_of("book/appendix/api/zoo") == "Appendix"
    assert look.place_of("book/index") == ""


def test_the_contents_of_a_page_stand_below_an_opening_that_would_cover_them() -> None:
    page = _page(
        "<section><h1>a</h1><div class='cell tag_wide'>b</div><div class='tag_wide'>d</div></section>"
    )
    assert look._opening(page.h1).get_text() == "b"
    page = _page("<section><h1>a</h1><section><div class='cell tag_wide'>b</div></section></section>")
    assert look._opening(page.h1) is page.h1


def test_a_table_of_the_package_has_its_numbers_at_the_right_also_as_text() -> None:
    page = _page(plots.table([["a", "9 %"], ["b", "78 %"]], ["name", "share"])._repr_html_())
    look._align_numbers(page)
    assert [cell.get_text() for cell in page.select(".right:not([style])")] == ["share", "9 %", "78 %"]
    assert [cell["style"] for cell in page.select("td:first-child")] == ["text-align: left"] * 2


def test_columns_of_numbers_stand_at_the_right() -> None:
    page = _page(
        "<table><tr><th>name</th><th>share</th><th>year</th></tr><tr><td>a</td><td>78.2%</td><td>about 1959</td></tr>"
        "<tr><td>7</td><td>\u22121,024 (0.1 to 2)</td><td>1998</td></tr></table>"
    )
    look._align_numbers(page)
    assert [cell.get_text() for cell in page.select(".right")] == ["share", "78.2%", "\u22121,024 (0.1 to 2)"]


@pytest.mark.parametrize("text", ["10 % of", "224 px", "8 by 8.", "0.5 s"])
def test_a_number_stays_with_its_unit(text: str) -> None:
    page = _page(f"<p>{text}</p>")
    look._keep_together(page)
    assert " " not in page.get_text().removesuffix(" of")
