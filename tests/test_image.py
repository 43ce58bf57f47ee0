"""Whatever an image file or a batch is, it becomes the right tensor or one clear error."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image as PILImage
from torch import Tensor

from interp import image
from interp.errors import BadInputError, DamagedFileError, InterpError, MissingFileError, UnreadableError

RAMP = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3) * 3
EXPECTED = torch.from_numpy(RAMP).permute(2, 0, 1)[None].float() / 255
ORIENTATION = 0x0112


def gray(values: Tensor) -> Tensor:
    """Return maps (H, W) as an image (1, 3, H, W)."""
    return values.float()[None, None].expand(1, 3, -1, -1)


def png_of_size(width: int, height: int) -> bytes:
    """Return a tiny PNG file that claims a size."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * 100)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


# ------------------------------------------------------------------------------------------------------------
# Reading what is good


@pytest.mark.parametrize("suffix", [".png", ".bmp", ".tiff", ".ppm", ".webp"])
def test_files_without_loss_give_their_pixels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"ramp{suffix}"
    PILImage.fromarray(RAMP).save(path, **({"lossless": True} if suffix == ".webp" else {}))
    loaded = image.load(path)
    assert torch.equal(loaded, EXPECTED)
    assert loaded.dtype == torch.float32
    assert loaded.is_contiguous()
    assert torch.equal(image.load(str(path)), EXPECTED)
    with path.open("rb") as file:
        assert torch.equal(image.load(file), EXPECTED)
        assert not file.closed


def test_jpeg_is_read(tmp_path: Path) -> None:
    PILImage.fromarray(RAMP).save(tmp_path / "x.jpg", quality=100, subsampling=0)
    torch.testing.assert_close(image.load(tmp_path / "x.jpg"), EXPECTED, atol=0.02, rtol=0)


def test_a_pillow_image_is_taken_and_left_alone() -> None:
    picture = PILImage.fromarray(RAMP)
    assert torch.equal(image.load(picture), EXPECTED)
    assert torch.equal(image.from_pil(picture), EXPECTED)
    assert np.array_equal(np.asarray(picture), RAMP)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied(tmp_path: Path, orientation: int) -> None:
    exif = PILImage.Exif()
    exif[ORIENTATION] = orientation
    PILImage.fromarray(RAMP).save(tmp_path / "x.png", exif=exif)
    # Exif 2.3, tag 274: where the 0th row and the 0th column of what is stored belong.
    turned = {
        1: EXPECTED,
        2: EXPECTED.flip(3),
        3: EXPECTED.flip(2, 3),
        4: EXPECTED.flip(2),
        5: EXPECTED.transpose(2, 3),
        6: EXPECTED.rot90(-1, (2, 3)),
        7: EXPECTED.transpose(2, 3).flip(2, 3),
        8: EXPECTED.rot90(1, (2, 3)),
    }
    assert torch.equal(image.load(tmp_path / "x.png"), turned[orientation])


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
def test_damaged_metadata_do_no_harm(tmp_path: Path) -> None:
    PILImage.fromarray(RAMP).save(tmp_path / "x.png", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff nonsense")
    assert torch.equal(image.load(tmp_path / "x.png"), EXPECTED)


def test_gray_becomes_three_equal_channels() -> None:
    assert torch.equal(image.load(PILImage.fromarray(RAMP[..., 0])), EXPECTED[:, :1].expand(-1, 3, -1, -1))


def test_black_and_white() -> None:
    pixels = np.array([[0, 255], [255, 0]], dtype=np.uint8)
    assert torch.equal(
        image.load(PILImage.fromarray(pixels).convert("1")), gray(torch.from_numpy(pixels) / 255)
    )


@pytest.mark.parametrize("mode", ["RGBA", "LA", "La", "RGBa"])
def test_transparency_is_laid_on_white(mode: str) -> None:
    layer = PILImage.new("RGBA", (2, 1), (100, 100, 100, 51))  # a fifth of the color, four fifths of white
    layer.putpixel((0, 0), (100, 100, 100, 255))
    picture = layer.convert("LA").convert("La") if mode == "La" else layer.convert(mode)
    expected = gray(torch.tensor([[100 / 255, 0.2 * 100 / 255 + 0.8]]))
    torch.testing.assert_close(image.load(picture), expected, atol=2 / 255, rtol=0)


def test_a_palette_with_transparency_is_laid_on_white() -> None:
    picture = PILImage.new("PA", (2, 1))
    picture.putpalette([100, 0, 200])
    picture.putpixel((0, 0), (0, 255))
    expected = torch.tensor([[100, 255], [0, 255], [200, 255]]).view(1, 3, 1, 2) / 255
    torch.testing.assert_close(image.load(picture), expected)


@pytest.mark.parametrize("mode", ["YCbCr", "HSV", "CMYK", "RGBX"])
def test_other_color_spaces_are_made_rgb(mode: str) -> None:
    torch.testing.assert_close(
        image.load(PILImage.fromarray(RAMP).convert(mode)), EXPECTED, atol=0.03, rtol=0
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "P"])
def test_a_transparent_color_is_laid_on_white(tmp_path: Path, mode: str) -> None:
    picture = PILImage.new("L", (2, 1), 0)
    picture.putpixel((1, 0), 200)
    picture = picture.convert(mode)
    PILImage.Image.save(
        picture,
        tmp_path / "x.png",
        transparency={"RGB": (0, 0, 0), "L": 0, "P": picture.getpixel((0, 0))}[mode],
    )
    torch.testing.assert_close(image.load(tmp_path / "x.png"), gray(torch.tensor([[1.0, 200 / 255]])))


def test_a_palette_gives_its_colors(tmp_path: Path) -> None:
    PILImage.fromarray(RAMP).quantize(256).save(tmp_path / "x.png")
    assert PILImage.open(tmp_path / "x.png").mode == "P"
    torch.testing.assert_close(image.load(tmp_path / "x.png"), EXPECTED, atol=0.02, rtol=0)


def test_cmyk_is_made_rgb(tmp_path: Path) -> None:
    PILImage.new("CMYK", (2, 2), (0, 255, 255, 0)).save(tmp_path / "x.jpg", quality=100)
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 2, 2)
    torch.testing.assert_close(image.load(tmp_path / "x.jpg"), red, atol=0.02, rtol=0)


DEEP = np.array([[0, 1, 300], [32768, 65534, 65535]], dtype=np.uint16)


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_sixteen_bits_are_scaled_not_clipped(tmp_path: Path, suffix: str) -> None:
    PILImage.fromarray(DEEP).save(tmp_path / f"x{suffix}")
    torch.testing.assert_close(image.load(tmp_path / f"x{suffix}"), gray(torch.from_numpy(DEEP / 65535)))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".ppm"])
def test_a_dark_image_of_sixteen_bits_stays_dark(tmp_path: Path, suffix: str) -> None:
    PILImage.fromarray(DEEP // 300).save(tmp_path / f"x{suffix}")
    assert image.load(tmp_path / f"x{suffix}").max() < 0.01


def test_sixteen_bits_in_the_other_byte_order() -> None:
    picture = PILImage.frombytes("I;16B", (3, 2), DEEP.astype(">u2").tobytes())
    torch.testing.assert_close(image.load(picture), gray(torch.from_numpy(DEEP / 65535)))


@pytest.mark.parametrize("top", [1.0, 255.0, 65535.0])
def test_floating_point_is_scaled_by_what_it_can_be(tmp_path: Path, top: float) -> None:
    values = np.linspace(0, top, 12, dtype=np.float32).reshape(3, 4)
    PILImage.fromarray(values).save(tmp_path / "x.tiff")
    torch.testing.assert_close(image.load(tmp_path / "x.tiff"), gray(torch.from_numpy(values / top)))


def test_wide_integers_are_scaled_by_what_they_can_be() -> None:
    for top in (255, 65535):
        values = np.array([[0, top // 2, top]], dtype=np.int32)
        torch.testing.assert_close(
            image.load(PILImage.fromarray(values)), gray(torch.from_numpy(values / top))
        )


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tiff"])
def test_an_animation_gives_its_first_frame(tmp_path: Path, suffix: str) -> None:
    frames = [PILImage.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    frames[0].save(tmp_path / f"x{suffix}", save_all=True, append_images=frames[1:], **options)
    assert PILImage.open(tmp_path / f"x{suffix}").n_frames == 3
    red = torch.tensor([1.0, 0, 0]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(image.load(tmp_path / f"x{suffix}"), red)


def test_one_pixel(tmp_path: Path) -> None:
    PILImage.new("RGB", (1, 1), (255, 0, 51)).save(tmp_path / "x.png")
    torch.testing.assert_close(image.load(tmp_path / "x.png").flatten(), torch.tensor([1, 0, 0.2]))
    assert image.load(tmp_path / "x.png", 32).shape == (1, 3, 32, 32)


def test_twenty_thousand_pixels_wide(tmp_path: Path) -> None:
    PILImage.linear_gradient("L").resize((20_000, 3)).save(tmp_path / "x.png")
    assert image.load(tmp_path / "x.png").shape == (1, 3, 3, 20_000)
    assert image.load(tmp_path / "x.png", (32, 64)).shape == (1, 3, 32, 64)
    assert image.load(tmp_path / "x.png", 1).shape == (1, 3, 1, 6667)


# ------------------------------------------------------------------------------------------------------------
# Refusing what is not


@pytest.mark.parametrize("content", [b"", b"not an image", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"\0" * 10_000])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"x\.png"):
        image.load(path)


def test_formats_that_run_other_programs_are_not_opened(tmp_path: Path) -> None:
    PILImage.fromarray(RAMP).save(tmp_path / "x.eps")
    with pytest.raises(DamagedFileError, match="not an image in the formats PNG"):
        image.load(tmp_path / "x.eps")


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".gif", ".bmp", ".tiff", ".webp", ".ppm"])
@pytest.mark.parametrize("part", [0.3, 0.9])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, suffix: str, part: float) -> None:
    path = tmp_path / f"x{suffix}"
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    PILImage.fromarray(noise).save(path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])
    with pytest.raises(DamagedFileError, match="x"):
        image.load(path)


FILES = {}
for kind in ("PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP", "PPM"):
    buffer = io.BytesIO()
    PILImage.fromarray(RAMP).save(buffer, kind)
    FILES[kind] = buffer.getvalue()


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.sampled_from(sorted(FILES)), st.data())
def test_damaged_files_give_an_image_or_one_of_our_errors(kind: str, data: st.DataObject) -> None:
    content = bytearray(FILES[kind])
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(InterpError):
        image.check(image.load(io.BytesIO(bytes(content))))


def test_a_truncated_pillow_image_is_refused_too() -> None:
    lazy = PILImage.open(io.BytesIO(FILES["PNG"][:-30]))
    with pytest.raises(DamagedFileError, match="cut short"):
        image.load(lazy)


def test_a_missing_file_and_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no file .*nothing\.png"):
        image.load(tmp_path / "nothing.png")
    with pytest.raises(BadInputError, match="is a folder"):
        image.load(tmp_path)


@pytest.mark.parametrize("source", [None, 3, b"bytes", RAMP, EXPECTED, ["a.png"]])
def test_other_sources_are_refused(source: Any) -> None:
    with pytest.raises(BadInputError, match=f"not {type(source).__name__}"):
        image.load(source)


@pytest.mark.parametrize("path", ["a\0b.png", "x" * 5000 + ".png", "", "."])
def test_hostile_paths_are_refused(path: str) -> None:
    with pytest.raises(InterpError):
        image.load(path)


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("size", [(50_000, 50_000), (9_500, 9_500), (2**31 - 1, 2**31 - 1)])
def test_decompression_bombs_are_refused_before_they_are_decoded(
    tmp_path: Path, size: tuple[int, int]
) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(*size))
    with pytest.raises(BadInputError, match=r"bomb\.png.*(more than|too large)"):
        image.load(tmp_path / "bomb.png")


@pytest.mark.filterwarnings("error::PIL.Image.DecompressionBombWarning")
def test_decompression_bombs_are_refused_where_warnings_are_errors(tmp_path: Path) -> None:
    (tmp_path / "bomb.png").write_bytes(png_of_size(9_500, 9_500))
    with pytest.raises(BadInputError, match="too large"):
        image.load(tmp_path / "bomb.png")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([[0.0, float("nan")]], "NaN"),
        ([[0.0, float("inf")]], "infinite"),
        ([[-0.5, 0.5]], r"in \[-0\.5, 0\.5\]"),
        ([[0.0, 1e6]], r"in \[0, 1e\+06\]"),
    ],
)
def test_floating_point_that_means_nothing_is_refused(
    tmp_path: Path, values: list[list[float]], message: str
) -> None:
    PILImage.fromarray(np.array(values, dtype=np.float32)).save(tmp_path / "x.tiff")
    with pytest.raises(BadInputError, match=message):
        image.load(tmp_path / "x.tiff")


@pytest.mark.parametrize("size", [0, -1, (0, 5), (5, 5, 5), "5", 5.0, (5.0, 5), 100_000])
def test_sizes_that_are_none_are_refused(size: Any) -> None:
    with pytest.raises(BadInputError, match=r"size|pixels"):
        image.load(PILImage.fromarray(RAMP), size)


# ------------------------------------------------------------------------------------------------------------
# Checking


def test_good_batches_pass_unchanged() -> None:
    for images in (
        EXPECTED,
        torch.zeros(1, 3, 1, 1),
        torch.rand(2, 3, 5, 7).half(),
        torch.rand(1, 3, 2, 2) + 5e-4,
    ):
        assert image.check(images) is images


@pytest.mark.parametrize(
    ("images", "advice"),
    [
        (RAMP, "image.from_numpy"),
        (None, "not NoneType"),
        ("cat.png", "image.load"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.uint8), r"float\(\) / 255"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.int64), "floating point"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.bool), "floating point"),
        (torch.zeros(1, 3, 4, 4, dtype=torch.complex64), "floating point"),
        (torch.zeros(3, 4, 4), r"images\[None\]"),
        (torch.zeros(1, 4, 4, 3), "permute"),
        (torch.zeros(1, 1, 4, 4), "expand"),
        (torch.zeros(1, 2, 4, 4), r"model\.inputs = image\.Inputs\(channels"),
        (torch.zeros(1, 4, 4, 4), "RGBA"),
        (torch.zeros(4, 4), "shape"),
        (torch.zeros(1, 1, 3, 4, 4), "shape"),
        (torch.zeros(()), "shape"),
        (torch.zeros(0, 3, 4, 4), "empty"),
        (torch.zeros(1, 3, 0, 4), "empty"),
        (torch.full((1, 3, 4, 4), 255.0), "Divide bytes by 255"),
        (torch.randn(1, 3, 40, 40), "normalized already"),
        (torch.full((1, 3, 4, 4), float("nan")), "NaN"),
        (torch.full((1, 3, 4, 4), float("-inf")), "infinite"),
    ],
)
def test_bad_batches_are_explained(images: Any, advice: str) -> None:
    with pytest.raises(BadInputError, match=advice):
        image.check(images)


# ------------------------------------------------------------------------------------------------------------
# Resizing


def test_resizing_to_half_averages_and_keeps_what_is_linear() -> None:
    flat = torch.full((1, 3, 8, 8), 0.3)
    torch.testing.assert_close(image.resize(flat, (3, 5)), torch.full((1, 3, 3, 5), 0.3))
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 4, 64)
    middle = image.resize(ramp, (4, 16))[..., 2:-2]
    torch.testing.assert_close(middle, ramp.reshape(1, 3, 4, 16, 4).mean(dim=-1)[..., 2:-2])


def test_resizing_takes_maps_as_images() -> None:
    maps = torch.rand(3, 7, 9)
    assert torch.equal(image.resize(maps, (14, 5)), image.resize(maps[None], (14, 5))[0])
    assert image.resize(maps, (7, 9)) is maps
    with pytest.raises(BadInputError, match="Maps"):
        image.resize(torch.rand(7, 9), (3, 3))


@pytest.mark.parametrize("precision", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("size", [(3, 4), (20, 30), (3, 30)])
def test_resizing_in_other_precisions(precision: torch.dtype, size: tuple[int, int]) -> None:
    images = torch.rand(1, 3, 9, 10)
    resized = image.resize(images.to(precision), size)
    assert resized.dtype == precision
    torch.testing.assert_close(resized.float(), image.resize(images, size), atol=0.01, rtol=0)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((40, 80), 20, (20, 40)),
        ((80, 40), 20, (40, 20)),
        ((40, 80), (7, 9), (7, 9)),
        ((1, 1000), 1, (1, 1000)),
        ((1000, 3), 1, (333, 1)),
    ],
)
def test_target_sizes(shape: tuple[int, int], size: Any, expected: tuple[int, int]) -> None:
    assert image.target_size(torch.zeros(1, 3, *shape), size) == expected


def test_center_crop_cuts_the_middle() -> None:
    images = torch.rand(2, 3, 10, 16)
    assert torch.equal(image.center_crop(images, 10), images[..., 3:13])
    assert torch.equal(image.center_crop(images.transpose(2, 3), 10), images[..., 3:13].transpose(2, 3))
    assert image.center_crop(images, 7).shape == (2, 3, 7, 7)
    assert image.center_crop(images, 37).shape == (2, 3, 37, 37)
    with pytest.raises(BadInputError, match="square"):
        image.center_crop(images, (3, 3))  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------------
# Arrays and files


def test_bytes_survive_the_way_there_and_back() -> None:
    everything = np.arange(256, dtype=np.uint8).repeat(3).reshape(1, 16, 16, 3)
    assert np.array_equal(image.to_numpy(image.from_numpy(everything)), everything)
    assert np.array_equal(image.to_numpy(image.from_numpy(RAMP)), RAMP[None])
    assert np.array_equal(image.to_numpy(EXPECTED[0]), RAMP[None])
    assert np.array_equal(np.asarray(image.to_pil(EXPECTED)), RAMP)


def test_an_array_is_copied() -> None:
    array = RAMP.copy()
    tensor = image.from_numpy(array)
    array[:] = 0
    assert torch.equal(tensor, EXPECTED)
    frozen = RAMP.copy()
    frozen.setflags(write=False)
    assert torch.equal(image.from_numpy(frozen), EXPECTED)
    assert torch.equal(image.from_numpy(RAMP[:, ::-1]), EXPECTED.flip(3))


@pytest.mark.parametrize(
    "array",
    [
        RAMP / 255,
        RAMP.astype(int),
        RAMP[..., 0],
        RAMP[..., :2],
        RAMP[:0],
        RAMP.transpose(2, 0, 1),
        EXPECTED,
        None,
    ],
)
def test_other_arrays_are_refused(array: Any) -> None:
    with pytest.raises(BadInputError, match="array"):
        image.from_numpy(array)


def test_values_outside_are_clipped_and_nan_is_refused() -> None:
    images = torch.tensor([-1.0, 0.5, 2.0]).view(1, 3, 1, 1)
    assert image.to_numpy(images).tolist() == [[[[0, 128, 255]]]]
    with pytest.raises(BadInputError, match="NaN"):
        image.to_numpy(images * float("nan"))
    with pytest.raises(BadInputError, match=r"shape \(1, 5, 4, 4\).*how to show them"):
        image.to_numpy(torch.zeros(1, 5, 4, 4))
    assert image.to_numpy(images.half().requires_grad_()).dtype == np.uint8


@pytest.mark.parametrize("suffix", [".png", ".webp", ".jpg", ".JPEG"])
def test_saved_images_can_be_read_again(tmp_path: Path, suffix: str) -> None:
    smooth = image.resize(torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(0)), (64, 64))
    path = image.save(smooth, tmp_path / f"x{suffix}")
    assert path == tmp_path / f"x{suffix}"
    torch.testing.assert_close(image.load(path), smooth, atol=0.06 if suffix != ".png" else 0.002, rtol=0)
    assert os.listdir(tmp_path) == [f"x{suffix}"]


def test_saved_files_have_the_usual_rights(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    assert image.save(EXPECTED, tmp_path / "x.png").stat().st_mode == (tmp_path / "other").stat().st_mode


@pytest.mark.parametrize("name", ["x", "x.gif", "x.pdf", "x.png.exe"])
def test_unknown_suffixes_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(BadInputError, match=r"Use \.png"):
        image.save(EXPECTED, tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no folder .*nowhere"):
        image.save(EXPECTED, tmp_path / "nowhere" / "x.png")


def full_disk(self: PILImage.Image, path: Path, **_: object) -> None:
    path.write_bytes(b"half of")
    raise OSError(28, "No space left on device")


def interrupted(self: PILImage.Image, path: Path, **_: object) -> None:
    path.write_bytes(b"half of")
    raise KeyboardInterrupt


@pytest.mark.parametrize("failure", [full_disk, interrupted])
def test_after_a_failure_the_old_file_is_there_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failure: Callable[..., None]
) -> None:
    image.save(EXPECTED, tmp_path / "x.png")
    monkeypatch.setattr(PILImage.Image, "save", failure)
    with pytest.raises((OSError, KeyboardInterrupt)):
        image.save(1 - EXPECTED, tmp_path / "x.png")
    with pytest.raises((OSError, KeyboardInterrupt)):
        image.save(EXPECTED, tmp_path / "new.png")
    assert os.listdir(tmp_path) == ["x.png"]
    assert torch.equal(image.load(tmp_path / "x.png"), EXPECTED)


def test_a_folder_that_cannot_be_written_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def denied(self: Path, *_: object, **__: object) -> None:  # rights do not stop a superuser
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "touch", denied)
    with pytest.raises(PermissionError, match="Permission denied"):
        image.save(EXPECTED, tmp_path / "x.png")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------------------------------------
# What cannot be read, and folders


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.EACCES, errno.ENOTCONN])
def test_a_file_that_cannot_be_read_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    class Away(io.BytesIO):
        def read(self, *_: Any) -> bytes:
            raise OSError(number, os.strerror(number))

    with pytest.raises(UnreadableError, match=re.escape(os.strerror(number))):
        image.load(Away())
    (tmp_path / "x.png").write_bytes(png_of_size(2, 2))
    monkeypatch.setattr(Path, "read_bytes", lambda _: Away().read())
    with pytest.raises(UnreadableError, match=rf"x\.png' cannot be read: {os.strerror(number)}"):
        image.load(tmp_path / "x.png")


def test_too_little_memory_is_not_a_damaged_file(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> Tensor:
        raise MemoryError

    monkeypatch.setattr("interp.image.reading.from_pil", fails)
    with pytest.raises(MemoryError):
        image.load(PILImage.fromarray(RAMP))


def test_a_folder_is_a_batch(tmp_path: Path) -> None:
    for name, shape in (("b.png", (9, 12, 3)), ("a/c.png", (20, 10, 3)), ("a/.d.png", (5, 5, 3))):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        PILImage.fromarray(np.full(shape, len(name), dtype=np.uint8)).save(tmp_path / name)
    found = image.load_batch(str(tmp_path), 8)
    assert tuple(found.shape) == (2, 3, 8, 8)
    files = [tmp_path / name for name in image.list_folder(tmp_path)]
    assert files == [tmp_path / "a" / "c.png", tmp_path / "b.png"]
    assert torch.equal(found, image.load_batch(files, np.int64(8)))
    assert torch.equal(found[:1], image.center_crop(image.load(files[0]), 8))
    with pytest.raises(BadInputError, match="no image"):
        image.load_batch([])


def test_sizes_of_numpy_are_sizes() -> None:
    picture = PILImage.fromarray(RAMP)
    assert torch.equal(image.load(picture, np.int64(8)), image.load(picture, 8))
    assert torch.equal(image.load(picture, (np.int32(8), 9)), image.load(picture, (8, 9)))
    with pytest.raises(BadInputError, match="one whole number"):
        image.center_crop(EXPECTED, (4, 4))


@pytest.mark.parametrize("count", [1, 3, 19])
def test_a_batch_becomes_one_file_eight_in_a_row(count: int) -> None:
    images = torch.rand(count, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    picture = PILImage.open(io.BytesIO(image.png(images)))
    assert picture.size == (min(count, 8) * 11 - 4, -(-count // 8) * 9 - 4)
    pixels = np.asarray(picture)
    for place, expected in enumerate(image.to_numpy(images)):
        top, left = 9 * (place // 8), 11 * (place % 8)
        assert np.array_equal(pixels[top : top + 5, left : left + 7, :3], expected)
    assert (pixels[..., 3] == 255).sum() == count * 35
    assert set(np.unique(pixels[..., 3])) <= {0, 255}
