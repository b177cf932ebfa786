"""Files of a walk: movies, volumes and contact sheets, complete or absent."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import tifffile
import zarr
from PIL import Image
from walk_models import CONFIG

from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.walk.files import ENDINGS, GIF_TILE, film, write_walk
from napari_integrated_cell.walk.pictures import contact_sheet
from napari_integrated_cell.walk.traversal import (
    Traversal,
)


def reference(traversal):
    return np.round(np.stack(list(traversal)) * 65535)


def test_ome_tiff_has_a_time_axis(traversal, tmp_path) -> None:
    path = write_walk(traversal, tmp_path / "walk.ome.tiff")
    with tifffile.TiffFile(path) as tiff:
        assert tiff.series[0].axes == "TCZYX"
        np.testing.assert_allclose(tiff.asarray(), reference(traversal), atol=1)
        assert "trained on simulated cells" in tiff.ome_metadata
        assert "0 interphase, 2 prophase-1, 4 metaphase" in tiff.ome_metadata
    image = read_image(path, time=3)
    assert image.channel_names == traversal.channels
    assert image.voxel_size == pytest.approx(traversal.voxel_size)
    np.testing.assert_allclose(image.data, reference(traversal)[3], atol=1)


def test_ome_zarr_is_ngff_0_4(traversal, tmp_path) -> None:
    path = write_walk(traversal, tmp_path / "walk.ome.zarr")
    group = zarr.open_group(str(path), mode="r")
    (scales,) = group.attrs["multiscales"]
    assert scales["version"] == "0.4"
    assert [axis["name"] for axis in scales["axes"]] == list("tczyx")
    assert scales["axes"][2] == {"name": "z", "type": "space", "unit": "micrometer"}
    (dataset,) = scales["datasets"]
    assert dataset["coordinateTransformations"][0]["scale"] == [1, 1, *traversal.voxel_size]
    assert "simulated cells" in scales["metadata"]["description"]
    channels = group.attrs["omero"]["channels"]
    assert [channel["label"] for channel in channels] == list(traversal.channels)
    assert all(re.fullmatch("[0-9a-f]{6}", channel["color"]) for channel in channels)
    np.testing.assert_allclose(group[dataset["path"]][:], reference(traversal), atol=1)
    array = json.loads((path / "0" / ".zarray").read_text())
    assert array["zarr_format"] == 2
    assert array["dimension_separator"] == "/"
    assert array["chunks"] == [1, 1, *CONFIG.box]
    assert (path / "0" / "4" / "3" / "0" / "0" / "0").is_file()


def test_ome_zarr_is_read_by_others(traversal, tmp_path) -> None:
    path = write_walk(traversal, tmp_path / "walk.ome.zarr")
    from bioio_ome_zarr import Reader

    image = Reader(str(path))
    assert image.shape == traversal.shape
    assert image.channel_names == list(traversal.channels)
    sizes = [getattr(image.physical_pixel_sizes, axis) for axis in "ZYX"]
    assert sizes == pytest.approx(traversal.voxel_size)


def test_mp4_has_a_picture_a_frame(traversal, tmp_path) -> None:
    from imageio_ffmpeg import count_frames_and_secs, read_frames

    path = write_walk(traversal, tmp_path / "walk.mp4", fps=5)
    assert count_frames_and_secs(str(path)) == (5, pytest.approx(1.0, abs=0.01))
    frames = read_frames(str(path))
    columns, rows = next(frames)["size"]
    first = np.frombuffer(next(frames), np.uint8).reshape(rows, columns, 3)
    assert rows % 2 == columns % 2 == 0
    assert first.max() > 150
    frames.close()
    assert b"simulated cells" in path.read_bytes()


def test_gif_has_a_picture_a_frame(traversal, tmp_path) -> None:
    path = write_walk(traversal, tmp_path / "walk.gif", fps=20)
    with Image.open(path) as gif:
        assert gif.n_frames == 5
        assert gif.info["duration"] == 50
        assert gif.info["loop"] == 0
        assert b"simulated cells" in gif.info["comment"]
        shown = [np.asarray(gif.convert("RGB")).astype(int) for t in range(5) if gif.seek(t) is None]
    drawn = list(film(traversal, tile_width=GIF_TILE))
    assert max(np.abs(s - d).mean() for s, d in zip(shown, drawn, strict=True)) < 8
    still = (np.ptp(drawn, axis=0) == 0).all(-1)
    assert still.any()
    assert np.ptp(shown, axis=0)[still].max() == 0, "what stays the same does not flicker"


def test_png_and_svg_are_the_contact_sheet(traversal, tmp_path) -> None:
    sheet = contact_sheet(traversal)
    with Image.open(write_walk(traversal, tmp_path / "walk.png")) as png:
        np.testing.assert_array_equal(np.asarray(png), sheet.to_rgb())
        assert "simulated cells" in png.info["Description"]
    root = ElementTree.parse(write_walk(traversal, tmp_path / "walk.svg")).getroot()
    space = "{http://www.w3.org/2000/svg}"
    texts = [element.text for element in root.iter(f"{space}text")]
    assert "Interphase to Metaphase" in texts
    assert "lamin B1" in texts, "with the paper's spelling"
    assert "simulated cells" in " ".join(texts)
    images = list(root.iter(f"{space}image"))
    assert len(images) == 15
    assert all(image.get("href").startswith("data:image/png;base64,") for image in images)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_half_written_is_left(traversal, tmp_path, monkeypatch, ending, error) -> None:
    path = tmp_path / f"walk{ending}"
    original = Traversal.decoded

    def stops_at_the_last(self, t, *rest):
        if t == 4 and len(seen) > 4:
            raise error
        seen.append(t)
        return original(self, t, *rest)

    for before in (False, True):
        if before:
            write_walk(traversal, path)
        kept = {p.relative_to(path): p.read_bytes() for p in (path, *path.rglob("*")) if p.is_file()}
        seen: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(Traversal, "decoded", stops_at_the_last)
            with pytest.raises(error if isinstance(error, type) else OSError):
                write_walk(traversal, path)
        left = {p.relative_to(path): p.read_bytes() for p in (path, *path.rglob("*")) if p.is_file()}
        assert left == kept
        assert list(tmp_path.iterdir()) == ([path] if before else [])


@pytest.mark.parametrize("ending", [".ome.zarr", ".svg"])
def test_an_older_file_is_replaced(traversal, model, tmp_path, ending) -> None:
    path = tmp_path / f"walk{ending}"
    write_walk(Traversal(model, traversal.walk, ["ZO1"]), path)
    write_walk(traversal, path)
    assert list(tmp_path.iterdir()) == [path]
    if ending == ".ome.zarr":
        assert zarr.open_group(str(path), mode="r")["0"].shape == traversal.shape


def test_a_folder_of_other_things_is_not_replaced(traversal, tmp_path) -> None:
    (tmp_path / "thesis.ome.zarr").mkdir()
    (tmp_path / "thesis.ome.zarr" / "chapter.txt").write_text("years of work")
    with pytest.raises(FileExistsError, match="choose another name"):
        write_walk(traversal, tmp_path / "thesis.ome.zarr")
    assert (tmp_path / "thesis.ome.zarr" / "chapter.txt").read_text() == "years of work"


def test_bad_places_endings_and_speeds_are_refused(traversal, tmp_path) -> None:
    with pytest.raises(ValueError, match=r"'walk.avi' has no known format: end it in \.mp4"):
        write_walk(traversal, tmp_path / "walk.avi")
    with pytest.raises(FileNotFoundError, match="nowhere does not exist"):
        write_walk(traversal, tmp_path / "nowhere" / "walk.mp4")
    (tmp_path / "folder.png").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder"):
        write_walk(traversal, tmp_path / "folder.png")
    with pytest.raises(ValueError, match="0 frames per second"):
        write_walk(traversal, tmp_path / "walk.gif", fps=0)


def test_a_folder_is_put_back_when_its_successor_cannot_take_its_place(tmp_path) -> None:
    path = tmp_path / "old.ome.zarr"
    path.mkdir()
    (path / "kept").write_text("kept")
    with pytest.raises(OSError, match="could not be written"), atomic_write(path):
        pass  # nothing was written, so there is nothing to rename
    assert (path / "kept").read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]
