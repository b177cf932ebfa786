"""An error of a library is one sentence about the file, also when pixels are computed after the file was opened."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import numpy as np
import pytest
from microscope_files import stack, write_lif, write_nd2

from napari_integrated_cell.imaging.formats import libraries
from napari_integrated_cell.imaging.reading import read_image

READS = (
    {"nd2": "nd2", "lif": "readlif"}
    if os.environ.get("IMAGE_READER") == "aicsimageio"
    else {"nd2": "bioio_nd2", "lif": "bioio_lif"}
)
SIZES = (0.6, 0.4, 0.4)
SENTENCE = r"^a\.(lif|nd2|czi) could not be read \([^\n]*\): it is damaged, [^\n]*\.$"


def plane_or_error(block_id: tuple[int, ...] = ()) -> np.ndarray:
    if block_id[1] == 2:
        raise RuntimeError("the chunk\nis broken")
    return np.full((1, 1, 6, 5), block_id[1], np.uint16)


class Container:
    """What the libraries' readers have in common. The plane Z 2 cannot be read."""

    scenes = ("one",)
    dims = SimpleNamespace(order="CZYX", shape=(2, 4, 6, 5))
    dtype = np.dtype(np.uint16)
    channel_names = ("a", "b")
    physical_pixel_sizes = SimpleNamespace(Z=0.6, Y=0.4, X=0.4)
    wrong = ""

    def set_scene(self, index: int) -> None:
        if self.wrong == "scene":
            raise KeyError("scene")

    def get_image_dask_data(self, axes: str) -> Any:
        if self.wrong == "array":
            raise IndexError("no such block")
        chunks = ((1, 1), (1, 1, 1, 1), (6,), (5,))
        return da.map_blocks(
            plane_or_error, chunks=chunks, dtype=np.uint16, meta=np.empty((0,) * 4, np.uint16)
        )


@pytest.fixture
def container(tmp_path, monkeypatch):
    found = Container()
    monkeypatch.setattr(libraries, "container_of", lambda *args: found)
    monkeypatch.setattr(libraries, "library_for", lambda *args: "bioio")
    (tmp_path / "a.czi").write_bytes(b"made up")
    return found


@pytest.mark.parametrize("scheduler", ["synchronous", "threads"])
def test_pixels_that_are_computed_later(tmp_path, container, scheduler):
    data = read_image(tmp_path / "a.czi", lazy=True).data
    assert data.chunks == ((1, 1), (1, 1, 1, 1), (6,), (5,))
    assert (data[:, 1].compute(scheduler=scheduler) == 1).all()  # only what is asked for is read
    with pytest.raises(ValueError, match=SENTENCE):
        data.compute(scheduler=scheduler)


def test_lazy_pixels_can_be_sent_to_another_process(tmp_path, container):
    data = pickle.loads(pickle.dumps(read_image(tmp_path / "a.czi", lazy=True).data))
    assert (data[:, 3].compute(scheduler="synchronous") == 3).all()


@pytest.mark.parametrize("wrong", ["scene", "array"])
def test_what_is_read_before_the_pixels(tmp_path, container, wrong):
    container.wrong = wrong
    with pytest.raises(ValueError, match=SENTENCE):
        read_image(tmp_path / "a.czi", lazy=True)


@pytest.mark.parametrize(("extension", "write"), [("lif", write_lif), ("nd2", write_nd2)])
def test_a_file_that_is_replaced_by_another_one_after_it_was_opened(tmp_path, extension, write):
    pytest.importorskip(READS[extension])
    path: Path = write(tmp_path / f"a.{extension}", stack(), ("dna", "membrane"), SIZES)
    data = read_image(path, lazy=True).data
    np.testing.assert_array_equal(data.compute(scheduler="synchronous"), stack())
    (tmp_path / "other").write_bytes(b"no image")
    os.replace(tmp_path / "other", path)
    with pytest.raises(ValueError, match=SENTENCE) as raised:
        data.compute(scheduler="synchronous")
    assert "it was changed, moved or removed after it was opened" in str(raised.value)
