"""A damaged TIFF never comes back as another image in silence."""

from __future__ import annotations

import random
import re
import time
from pathlib import Path

import numpy as np
import pytest
import tifffile
from tiff_files import (
    KINDS,
    NAMES,
    SIZES,
    edit_xml,
    stains,
    write_imagej,
    write_imagej_in_one_piece,
    write_ome_stains,
)

from napari_integrated_cell.imaging.choices import MissingInput
from napari_integrated_cell.imaging.reading import Image, read_image

_BITS = 100


def read(path: Path) -> Image:
    """Read lazily, then the pixels, in this thread."""
    image = read_image(path, lazy=True)
    return Image(
        image.data.compute(scheduler="synchronous"),
        image.channel_names,
        image.voxel_size,
        image.path,
        image.notes,
    )


def bytes_without_pixels(path: Path) -> list[int]:
    with tifffile.TiffFile(path) as tif:
        ranges = [(o, o + n) for p in tif.pages for o, n in zip(p.dataoffsets, p.databytecounts, strict=True)]
        if tif.is_imagej and len(tif.pages) == 1:
            ranges = [(ranges[0][0], ranges[0][0] + stains().nbytes)]
    return [i for i in range(path.stat().st_size) if not any(a <= i < b for a, b in ranges)]


def one_letter_apart(names: tuple[str, ...], others: tuple[str, ...]) -> bool:
    """Whether one bit in a name explains the difference. No program can know that."""
    pairs = list(zip(names, others, strict=False))
    same_length = len(names) == len(others) and all(len(a) == len(b) for a, b in pairs)
    return same_length and sum(x != y for a, b in pairs for x, y in zip(a, b, strict=True)) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_one_flipped_bit_outside_the_pixels_is_never_another_image(tmp_path, kind):
    """The image is the same, or the file is refused, or a note says what is not sound."""
    path = KINDS[kind](tmp_path / kind)
    whole = path.read_bytes()
    before = read(path)
    np.testing.assert_array_equal(before.data, stains())
    rng = random.Random(kind)
    places = bytes_without_pixels(path)
    refused = 0
    for _ in range(_BITS):
        damaged = bytearray(whole)
        damaged[rng.choice(places)] ^= 1 << rng.randrange(8)
        path.write_bytes(damaged)
        try:
            image = read(path)
        except ValueError as error:
            assert path.name in str(error) or isinstance(error, MissingInput)  # noqa: PT017
            assert len(str(error)) <= 300  # noqa: PT017
            refused += 1
            continue
        assert np.array_equal(image.data, stains()), image.notes
        assert image.notes or one_letter_apart(before.channel_names, image.channel_names)
    assert refused >= 5


@pytest.mark.parametrize("attribute", ["SizeC", "SizeZ", "SizeT"])
def test_a_size_that_no_file_has_is_refused_at_once(tmp_path, attribute):
    path = edit_xml(
        write_ome_stains(tmp_path / "a.ome.tif"), (rf'{attribute}="\d+"', rf'{attribute}="100000"')
    )
    began = time.perf_counter()
    with pytest.raises(MissingInput, match="do not fit its 14 planes") as caught:
        read_image(path)
    assert caught.value.what == "axes"
    assert time.perf_counter() - began < 5


@pytest.mark.parametrize(
    "changes",
    [
        [('SizeZ="7"', f'SizeZ="1{"0" * 30}"')],
        [('SizeZ="7"', f'SizeZ="1{"0" * 5000}"')],
        [('SizeZ="7"', f'SizeZ="{2**32}"'), ('SizeC="2"', f'SizeC="{2**32}"')],
        [('SizeT="1"', f'SizeT="{2**62}"'), ('SizeC="2"', 'SizeC="4"')],
    ],
)
def test_numbers_that_a_computer_cannot_count_are_refused_in_words(tmp_path, changes):
    path = edit_xml(write_ome_stains(tmp_path / "a.ome.tif"), *changes)
    with pytest.raises(MissingInput, match="name more than a million planes"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, axes="C2ZYX").data, stains())


def test_names_of_channels_against_the_sizes_are_said_with_what_was_read(tmp_path):
    path = edit_xml(
        write_ome_stains(tmp_path / "a.ome.tif"), ('SizeC="2"', 'SizeC="1"'), ('SizeZ="7"', 'SizeZ="14"')
    )
    image = read_image(path)
    assert image.data.shape == (1, 14, 9, 11)
    assert image.notes == (
        "a.ome.tif names 2 channels, but counts 1 channel of 14 planes: the names were left out.",
    )
    assert read_image(path, axes="C2ZYX").data.shape == (2, 7, 9, 11)


@pytest.mark.parametrize(("old", "new"), [("SizeC", 3), ("SizeZ", 6), ("SizeZ", 9), ("SizeC", 1)])
def test_wrong_sizes_are_refused_and_given_axes_mend_them(tmp_path, old, new):
    path = edit_xml(write_ome_stains(tmp_path / "a.ome.tif"), (rf'{old}="\d+"', f'{old}="{new}"'))
    with pytest.raises(MissingInput) as caught:
        read_image(path)
    assert caught.value.what == "axes"
    image = read_image(path, axes="CZYX")
    np.testing.assert_array_equal(image.data, stains())
    assert image.channel_names == ("CellMask", "Hoechst")
    assert image.voxel_size == pytest.approx((0.6, 0.4, 0.4))


def test_exchanged_numbers_of_planes_and_channels_are_refused(tmp_path):
    path = edit_xml(
        write_ome_stains(tmp_path / "a.ome.tif"), ('SizeC="2"', 'SizeC="7"'), ('SizeZ="7"', 'SizeZ="2"')
    )
    with pytest.raises(MissingInput, match="name 2 channels but count 7"):
        read_image(path)
    np.testing.assert_array_equal(read_image(path, axes="CZYX").data, stains())


def test_a_wrong_width_in_the_metadata_is_said(tmp_path):
    path = edit_xml(write_ome_stains(tmp_path / "a.ome.tif"), ('SizeX="11"', 'SizeX="100000"'))
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert any("have 11 x 9 pixels but should have 100000 x 9" in note for note in image.notes)


def test_time_points_that_are_not_there_are_left_out_and_named(tmp_path):
    path = edit_xml(write_ome_stains(tmp_path / "a.ome.tif"), ('SizeT="1"', 'SizeT="3"'))
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains())
    assert any("Of 3 time points the last 2 are missing" in note for note in image.notes)


def write_stopped(path: Path, axes: str, taken: int, planned: int) -> Path:
    """A file whose metadata promise more planes than were taken."""
    data = stains(taken) if axes == "CZYX" else stains(taken).transpose(1, 0, 2, 3)
    tifffile.imwrite(
        path, data, ome=True, photometric="minisblack", metadata={"axes": axes, **NAMES, **SIZES}
    )
    return edit_xml(
        path, (f'SizeZ="{taken}"', f'SizeZ="{planned}"'), (r'PlaneCount="\d+"', f'PlaneCount="{2 * planned}"')
    )


def test_a_stopped_acquisition_is_read_as_far_as_it_came_and_says_so(tmp_path):
    path = write_stopped(tmp_path / "a.ome.tif", "ZCYX", 5, 8)
    image = read_image(path)
    np.testing.assert_array_equal(image.data, stains(5))
    assert any("incomplete" in note and "last 3 are missing" in note for note in image.notes)


def test_a_stopped_acquisition_of_one_channel_after_the_other_is_refused(tmp_path):
    with pytest.raises(ValueError, match="name 16 planes, of which 10 are there"):
        read_image(write_stopped(tmp_path / "a.ome.tif", "CZYX", 5, 8))


def test_a_plane_missing_in_the_middle_is_refused(tmp_path):
    path = KINDS["plane by plane.ome.tif"](tmp_path / "a.ome.tif")
    edit_xml(path, (r'<TiffData FirstC="1" FirstT="0" FirstZ="3".*?</TiffData>', ""))
    with pytest.raises(ValueError, match="leave out planes that are there"):
        read_image(path)


def set_offset(path: Path, page: int, new: int) -> None:
    with tifffile.TiffFile(path, mode="r+b") as tif:
        tag = tif.pages[page].tags[273]
        tag.overwrite([new] * tag.count)


@pytest.mark.parametrize("kind", ["stack.ome.tif", "zlib.ome.tif", "imagej.tif", "shaped.tif"])
@pytest.mark.parametrize("where", ["another plane", "tags", "beyond the end", "nowhere"])
def test_planes_that_point_elsewhere_are_refused(tmp_path, kind, where):
    path = KINDS[kind](tmp_path / kind)
    with tifffile.TiffFile(path) as tif:
        another = tif.pages[5].dataoffsets[0]
    new = {"another plane": another, "tags": 8, "beyond the end": path.stat().st_size, "nowhere": 0}[where]
    set_offset(path, 3, new)
    with pytest.raises(ValueError, match=r"pixels lie|pixels are not in the file"):
        read_image(path)


def test_imagej_metadata_that_do_not_fit_ask_for_axes(tmp_path):
    path = write_imagej(tmp_path / "a.tif")
    damaged = re.sub(rb"slices=7", b"slices=6", path.read_bytes())
    path.write_bytes(damaged)
    with pytest.raises(MissingInput, match="ImageJ metadata that do not fit") as caught:
        read_image(path)
    assert caught.value.what == "axes"
    np.testing.assert_array_equal(read_image(path, axes="ZCYX").data, stains())


def test_imagej_planes_that_its_metadata_do_not_name_are_said(tmp_path):
    data = np.random.default_rng(0).integers(0, 4000, (7, 2, 40, 50)).astype(">u2")
    path = write_imagej_in_one_piece(tmp_path / "a.tif", data)
    path.write_bytes(path.read_bytes().replace(b"images=14", b"images=12").replace(b"slices=7", b"slices=6"))
    image = read_image(path)
    np.testing.assert_array_equal(image.data, data[:6].transpose(1, 0, 2, 3))
    assert any("name 12 planes, and room for 14: the last 2 were left out" in note for note in image.notes)


@pytest.mark.parametrize("slices", ["9", "9" * 30])
def test_imagej_planes_that_are_not_there_are_counted_in_words(tmp_path, slices):
    path = KINDS["one piece.tif"](tmp_path / "a.tif")
    content = path.read_bytes()
    path.write_bytes(content.replace(b"slices=7", b"slices=" + slices.encode())[: len(content)])
    with pytest.raises(MissingInput, match=r"fit its 1 plane: "):
        read_image(path)


def test_a_page_of_another_size_among_the_planes_is_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as tif:
        for z, plane in enumerate(stains()[0]):
            tif.write(plane[:5] if z == 3 else plane, metadata=None)
    with pytest.raises(ValueError, match="pages of another size"):
        read_image(tmp_path / "a.tif")


def test_pages_in_a_circle_are_refused_at_once(tmp_path):
    path = KINDS["shaped.tif"](tmp_path / "a.tif")
    content = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as tif:
        last, second = tif.pages[-1], tif.pages[1].offset
        end = last.offset + 2 + 12 * len(last.tags)
    content[end : end + 4] = second.to_bytes(4, "little")
    path.write_bytes(content)
    with pytest.raises(ValueError, match="in a circle"):
        read_image(path)


# --- Planes in tiles and strips -----------------------------------------------------------------------

IN_PIECES = {
    "tiles": {"tile": (16, 16)},
    "strips": {"rowsperstrip": 5},
    "compressed tiles": {"tile": (16, 16), "compression": "zlib"},
    "compressed strips": {"rowsperstrip": 5, "compression": "zlib", "predictor": True},
}


def write_in_pieces(path: Path, kind: str, ome: bool) -> Path:
    metadata = {"axes": "CZYX", **NAMES, **SIZES} if ome else None
    with tifffile.TiffWriter(path, ome=ome) as tif:
        if ome:
            tif.write(stains(), photometric="minisblack", metadata=metadata, **IN_PIECES[kind])
        else:
            for plane in stains()[0]:
                tif.write(plane, photometric="minisblack", metadata=None, **IN_PIECES[kind])
    return path


@pytest.mark.parametrize("ome", [True, False])
@pytest.mark.parametrize("kind", IN_PIECES)
def test_a_flipped_bit_in_the_pieces_of_a_plane_is_never_a_black_part(tmp_path, kind, ome):
    """In the numbers, places and lengths of tiles and strips, and in their size."""
    path = write_in_pieces(tmp_path / ("a.ome.tif" if ome else "a.tif"), kind, ome)
    sound, reference = path.read_bytes(), read(path)
    bits = []
    with tifffile.TiffFile(path) as tif:
        for tag in (
            tif.pages[1].tags[code]
            for code in (273, 279, 278, 322, 323, 324, 325)
            if code in tif.pages[1].tags
        ):
            places = {
                *range(tag.offset, tag.offset + 12),
                *range(tag.valueoffset, tag.valueoffset + tag.valuebytecount),
            }
            bits += [(place, bit) for place in sorted(places) for bit in range(8)]
    for place, bit in random.Random(0).sample(bits, min(_BITS, len(bits))):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << bit
        path.write_bytes(damaged)
        for lazily in (True, False):
            try:
                image = read(path) if lazily else read_image(path)
            except ValueError:
                continue
            said = set(image.notes) - set(reference.notes)
            same = image.data.shape == reference.data.shape and np.array_equal(image.data, reference.data)
            assert same or said, (kind, place, bit)
