"""Crops that are joined plane by plane give the field that is joined in memory."""

from __future__ import annotations

import numpy as np
import pytest
import tifffile

from napari_integrated_cell.imaging.field_canvas import FieldCanvas
from napari_integrated_cell.imaging.reading import read_image

SHAPE, VOXEL = (6, 40, 50), (0.3, 0.2, 0.2)


def crops(seed, count=5):
    random = np.random.default_rng(seed)
    for _ in range(count):
        size = random.integers(3, (6, 20, 20))
        offset = tuple(int(random.integers(0, n - s + 1)) for n, s in zip(SHAPE, size, strict=True))
        yield {n: random.integers(0, 65536, size).astype(np.uint16) for n in ("membrane", "TOM20")}, offset


def joined(pieces):
    whole = {n: np.zeros(SHAPE, np.uint16) for n in ("membrane", "TOM20")}
    for volumes, offset in pieces:
        window = tuple(slice(o, o + n) for o, n in zip(offset, volumes["TOM20"].shape, strict=True))
        for name, volume in volumes.items():
            whole[name][window] = np.maximum(whole[name][window], volume)
    return whole


def test_crops_that_overlap_are_joined_by_the_brighter_one(tmp_path):
    with FieldCanvas(SHAPE, tmp_path) as canvas:
        for volumes, offset in crops(1):
            canvas.paste(volumes, offset)
        path = canvas.write(tmp_path / "field.ome.tiff", VOXEL, "what it is")
    image = read_image(path)
    assert image.channel_names == ("membrane", "TOM20")
    assert image.voxel_size == pytest.approx(VOXEL)
    for name, volume in joined(crops(1)).items():
        np.testing.assert_array_equal(image.channel(name), volume)
    assert "what it is" in (tifffile.TiffFile(path).ome_metadata or "")
    assert [p.name for p in tmp_path.iterdir()] == ["field.ome.tiff"], "the temporary file is gone"


def test_a_crop_is_added_to_a_file_that_was_written_before(tmp_path):
    path = tmp_path / "field.ome.tiff"
    pieces = list(crops(2))
    for part, base in ((pieces[:3], None), (pieces[3:], path)):
        with FieldCanvas(SHAPE, tmp_path) as canvas:
            for volumes, offset in part:
                canvas.paste(volumes, offset)
            canvas.write(path, VOXEL, base=base)
    for name, volume in joined(pieces).items():
        np.testing.assert_array_equal(read_image(path).channel(name), volume)


def test_crops_of_other_channels_are_refused(tmp_path):
    with FieldCanvas(SHAPE, tmp_path) as canvas:
        canvas.paste({"dna": np.ones((2, 3, 4), np.uint16)}, (0, 0, 0))
        with pytest.raises(ValueError, match="TOM20, not dna"):
            canvas.paste({"TOM20": np.ones((2, 3, 4), np.uint16)}, (0, 0, 0))
    assert list(tmp_path.iterdir()) == []
