"""A walk from stage to stage: its positions, its frames against the model's own, and every file it is kept in."""

from __future__ import annotations

import itertools
import json
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import numpy as np
import pytest
import tifffile
import torch
import typer
import zarr
from PIL import Image
from typer.testing import CliRunner

from napari_integrated_cell.commands.traverse import traverse
from napari_integrated_cell.imaging.atomic import atomic_write
from napari_integrated_cell.imaging.reading import read_image
from napari_integrated_cell.imaging.writing import write_ome_tiff
from napari_integrated_cell.integration import integrate_cell
from napari_integrated_cell.model.bundle import load_model, save_bundle
from napari_integrated_cell.model.config import preset
from napari_integrated_cell.model.integrated_cell import IntegratedCell
from napari_integrated_cell.model.latent import Landmark
from napari_integrated_cell.model.runtime import Cancelled, CancelToken
from napari_integrated_cell.simulation import simulate_cell
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES
from napari_integrated_cell.walk.files import ENDINGS, GIF_TILE, film, write_walk
from napari_integrated_cell.walk.paths import PATHS, radial_path
from napari_integrated_cell.walk.pictures import contact_sheet, film_picture, tiles_of
from napari_integrated_cell.walk.traversal import (
    Stop,
    Traversal,
    stages_between,
    stop_at_cell,
    stop_at_stage,
    walk,
)

torch.set_num_threads(1)

CONFIG = preset("tiny")
STAGES = ("interphase", "prophase-1", "prometaphase-1", "metaphase", "anaphase")
CHOSEN = ("TOM20", "lamin-B1")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    """A model that has learnt nothing, but whose weights are large enough that shape matters."""
    model = IntegratedCell.untrained(CONFIG, seed=4)
    with torch.no_grad():
        for network in (model.enc_ref, model.dec_ref, model.dec_cond):
            for parameter in network.parameters():
                if parameter.ndim > 1:
                    parameter.mul_(8)
    random = np.random.default_rng(0)
    model.landmarks = tuple(
        Landmark(
            stage=stage,
            cell_id=f"c{i}",
            z_ref=random.normal(size=CONFIG.n_ref).astype(np.float32),
            metric="cityblock",
            among="all" if stage == "anaphase" else "held-out",
            n_held_out=1 if stage == "anaphase" else 5,
            n_cells=2 if stage == "anaphase" else 9,
        )
        for i, stage in enumerate(STAGES)
    )
    path = tmp_path_factory.mktemp("model") / "walker"
    model.name = "walker"
    return save_bundle(model, path, card={"simulated": True}, model_card_markdown="# walker\n")


@pytest.fixture(scope="module")
def model(bundle):
    return load_model(bundle, device="cpu")


@pytest.fixture(scope="module")
def traversal(model):
    stops = [stop_at_stage(model, name) for name in ("interphase", "prophase-1", "metaphase")]
    return Traversal(model, walk(stops, 5), CHOSEN)


def call(*arguments):
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(traverse)
    return CliRunner().invoke(app, [str(a) for a in arguments])


def z_ref(model, stage):
    return next(mark.z_ref for mark in model.landmarks if mark.stage == stage)


# Stops and walks.


def test_norm_and_turn_of_a_walk(model) -> None:
    stops = [stop_at_stage(model, name) for name in ("interphase", "metaphase")]
    for path in PATHS:
        way = walk(stops, 9, path=path)
        assert way.norm == pytest.approx([np.sqrt((z**2).sum()) for z in way.z_ref])
        turns = [
            np.degrees(np.arccos(a @ b / np.linalg.norm(a) / np.linalg.norm(b)))
            for a, b in itertools.pairwise(way.z_ref)
        ]
        assert np.diff(way.turned) == pytest.approx(turns, rel=1e-6)
        assert way.turned[0] == 0
    circle, straight = (walk(stops, 9, path=path) for path in ("great-circle", "straight"))
    assert np.ptp(np.diff(circle.turned)) < 1e-9
    assert straight.turned[-1] == pytest.approx(circle.turned[-1])
    assert straight.norm.min() < circle.norm.min()
    assert straight.same_positions(walk(stops, 9, path="straight"))
    assert not straight.same_positions(circle)


def test_a_stage_without_landmark_is_refused_with_those_there_are(model) -> None:
    with pytest.raises(
        ValueError, match=r"'walker' has no landmark of telophase-cytokinesis; it has interphase, p"
    ):
        stop_at_stage(model, "Telophase and cytokinesis")
    with pytest.raises(ValueError, match="the stages are interphase"):
        stop_at_stage(model, "metafase")
    bare = IntegratedCell.untrained(CONFIG)
    with pytest.raises(ValueError, match="has no landmarks, and so no metaphase"):
        stop_at_stage(bare, "metaphase")


def test_stages_between_are_met_in_the_order_of_the_walk(model) -> None:
    assert stages_between(model, "interphase", "metaphase") == ["prophase-1", "prometaphase-1"]
    assert stages_between(model, "metaphase", "Interphase") == ["prometaphase-1", "prophase-1"]
    assert stages_between(model, "interphase", "prophase-1") == []
    assert stages_between(model, "interphase", "telophase-cytokinesis") == list(STAGES[1:])


@pytest.mark.parametrize("path", list(PATHS))
@pytest.mark.parametrize("frames", [3, 4, 7, 30])
def test_a_walk_has_as_many_frames_as_asked_for_and_all_stops_among_them(model, path, frames) -> None:
    stops = [stop_at_stage(model, name) for name in STAGES[:3]]
    found = walk(stops, frames, path=path)
    assert len(found) == frames
    assert found.at[0] == 0
    assert found.at[-1] == frames - 1
    for at, stop in zip(found.at, stops, strict=True):
        np.testing.assert_array_equal(found.z_ref[at], stop.z_ref)
        assert found.title(at) == stop.label
    assert max(np.diff(found.at)) - min(np.diff(found.at)) <= 1


def test_segments_are_radial_paths_of_ten_steps(model) -> None:
    found = walk([stop_at_stage(model, name) for name in STAGES[:3]])
    assert found.at == (0, 10, 20)
    for i in range(2):
        expected = radial_path(z_ref(model, STAGES[i]), z_ref(model, STAGES[i + 1]), 11)
        np.testing.assert_array_equal(found.z_ref[10 * i : 10 * i + 11], expected)
    assert found.title(14) == "Prophase 1 to Prometaphase 1"


def test_a_smooth_walk_slows_down_at_every_stop(model) -> None:
    stops = [stop_at_stage(model, name) for name in STAGES[:2]]
    even, smooth = (walk(stops, 21, path="straight", easing=e).z_ref for e in ("linear", "smooth"))
    steps = np.linalg.norm(np.diff(smooth, axis=0), axis=1)
    assert steps[0] < 0.2 * steps[10]
    assert steps[-1] < 0.2 * steps[10]
    np.testing.assert_allclose(smooth[10], even[10], atol=1e-12)


def test_walks_that_are_none_are_refused(model) -> None:
    stops = [stop_at_stage(model, name) for name in STAGES[:3]]
    for wrong, says in (
        (lambda: walk(stops, 2), "2 frames cannot show 3 stops"),
        (lambda: walk(stops[:1]), "two stops"),
        (lambda: walk([stops[0], stops[0]]), "stands still"),
        (lambda: walk(stops, path="scenic"), "choose radial, great-circle, straight"),
        (lambda: walk(stops, easing="bouncy"), "choose linear, smooth"),
    ):
        with pytest.raises(ValueError, match=says):
            wrong()


# Frames.


def test_frames_are_the_models_own_answers(model, traversal) -> None:
    assert traversal.shape == (5, 4, *CONFIG.box)
    assert traversal.channels == ("membrane", "dna", *CHOSEN)
    assert traversal.frame_bytes == traversal[0].nbytes
    for t, frame in enumerate(traversal):
        position = traversal.walk.z_ref[t][None]
        np.testing.assert_allclose(frame[:2], model.decode_reference(position)[0], atol=1e-6)
        for channel, name in enumerate(CHOSEN, 2):
            np.testing.assert_allclose(frame[channel], model.decode(position, name)[0, -1], atol=1e-6)
    assert t == 4
    assert np.abs(traversal[0] - traversal[4]).max() > 0.05, "the walk leads somewhere"
    np.testing.assert_array_equal(traversal[-1], traversal[4])
    with pytest.raises(IndexError, match="the walk has 5"):
        traversal[5]


def test_a_frame_is_decoded_when_asked_for_and_not_before(model, traversal, monkeypatch) -> None:
    decoded = []
    original = Traversal.decoded
    monkeypatch.setattr(Traversal, "decoded", lambda self, t, *a: decoded.append(t) or original(self, t, *a))
    frames = Traversal(model, traversal.walk, CHOSEN).frames()
    assert decoded == []
    next(frames), next(frames)
    assert decoded == [0, 1]


def test_memory_is_that_of_one_frame_however_long_the_walk(model) -> None:
    import tracemalloc

    stops = [stop_at_stage(model, name) for name in STAGES[:2]]
    peaks = []
    for frames in (3, 24):
        found = Traversal(model, walk(stops, frames), CHOSEN)
        tracemalloc.start()
        for _ in found.frames():
            pass
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] + 2 * found.frame_bytes


def test_no_structure_leaves_the_reference_channels_and_none_named_means_all(model, traversal) -> None:
    assert Traversal(model, traversal.walk, []).channels == CONFIG.references
    assert Traversal(model, traversal.walk).channels == (*CONFIG.references, *STRUCTURE_NAMES)
    with pytest.raises(ValueError, match="has no structure 'spleen'"):
        Traversal(model, traversal.walk, ["spleen"])


def test_a_walk_from_a_cell_starts_where_integration_puts_it(model) -> None:
    cell = simulate_cell(3, voxel_size=0.8).cell
    stop = stop_at_cell(model, cell)
    integration = integrate_cell(cell, model, CHOSEN)
    np.testing.assert_allclose(stop.z_ref, integration.z_ref, atol=1e-6)
    assert stop.name == cell.name
    assert len(stop.warnings) == len(integration.pose.warnings)


def test_progress_is_told_and_cancelling_stops(traversal) -> None:
    told, cancel = [], CancelToken()

    def progress(done, total, what):
        told.append((done, total))
        if done == 2:
            cancel.cancel()

    with pytest.raises(Cancelled):
        list(traversal.frames(cancel=cancel, progress=progress))
    assert told == [(1, 5), (2, 5)]


# Pictures.


def test_contrast_is_fixed_over_the_walk() -> None:
    frame = np.zeros((3, 4, 5, 6), np.float32)
    frame[:, 1, 2, 3] = (0.2, 0.4, 0.3)
    most = np.array([0.4, 0.4, 0.6], np.float32)
    tiles = tiles_of(frame, ("membrane", "dna", "TOM20"), 2, most)
    bright = tiles_of(frame * 2, ("membrane", "dna", "TOM20"), 2, most)
    assert list(tiles) == ["membrane and DNA", "TOM20"]
    # Magenta at half brightness and cyan at full brightness add up at the one voxel, seen from above.
    np.testing.assert_array_equal(tiles["membrane and DNA"][2, 3], (128, 255, 255))
    np.testing.assert_array_equal(bright["membrane and DNA"][2, 3], (255, 255, 255))
    assert tiles["TOM20"][2, 3].sum() < bright["TOM20"][2, 3].sum()


def test_the_film_says_the_stage_how_far_it_is_and_what_is_simulated() -> None:
    tiles = {name: np.full((9, 8, 3), 90, np.uint8) for name in ("membrane and DNA", "TOM20", "ZO1")}

    def picture(title="Interphase", note="simulated", share=0.5):
        return film_picture(tiles, title, note, share=share, stops=(0, 1)).astype(int)

    first = picture()
    changed = [
        np.abs(first - other) > 0
        for other in (picture(title="Metaphase"), picture(note="real"), picture(share=1))
    ]
    assert all(c.any() for c in changed)
    rows = [np.flatnonzero(c.any((1, 2))) for c in changed]
    assert rows[0].max() < 44 < rows[2].min(), "the title is above, the line beneath"
    assert rows[1].min() > rows[2].min(), "and the note beneath that"


def test_the_contact_sheet_has_a_row_a_time_point_and_a_column_a_structure(traversal) -> None:
    sheet = contact_sheet(traversal)
    assert sheet.columns == ("membrane and DNA", *CHOSEN)
    assert sheet.rows[:2] == ("0  Interphase", "1  Interphase to Prophase 1")
    assert [len(row) for row in sheet.tiles] == [3] * 5
    assert "simulated cells" in sheet.note
    picture = sheet.to_rgb()
    width, height, left, top, whole = sheet.layout()
    assert picture.shape == (top + 5 * (height + 8), whole, 3)
    brightest = traversal.brightest()
    for i in (0, 4):
        tile = tiles_of(traversal[i], traversal.channels, 2, brightest)["TOM20"]
        there = picture[top + i * (height + 8) :][:height, left + width + 8 :][:, :width]
        small = np.asarray(Image.fromarray(there).resize(tile.shape[1::-1], Image.Resampling.BOX)).astype(int)
        assert np.abs(small - tile).mean() < 12


# Files.


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
    from ome_zarr.io import parse_url
    from ome_zarr.reader import Reader

    (node,) = Reader(parse_url(str(path)))()
    assert node.data[0].shape == traversal.shape
    assert node.metadata["channel_names"] == list(traversal.channels)


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
    with pytest.raises(ValueError, match="0 frames a second"):
        write_walk(traversal, tmp_path / "walk.gif", fps=0)


def test_a_folder_is_put_back_when_its_successor_cannot_take_its_place(tmp_path) -> None:
    path = tmp_path / "old.ome.zarr"
    path.mkdir()
    (path / "kept").write_text("kept")
    with pytest.raises(OSError, match="could not be written"), atomic_write(path):
        pass  # nothing was written, so there is nothing to rename
    assert (path / "kept").read_text() == "kept"
    assert list(tmp_path.iterdir()) == [path]


# The command.


def test_the_command_goes_through_all_stages_there_are(bundle, tmp_path) -> None:
    out = tmp_path / "walk.ome.tiff"
    said = call(
        "--model", bundle, "--from", "interphase", "--to", "metaphase", "--frames", 7,
        "--structures", "mitochondria", "--out", out, "--json",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    summary = json.loads(said.stdout)
    assert [stop["name"] for stop in summary["stops"]] == list(STAGES[:4])
    assert [stop["frame"] for stop in summary["stops"]] == [0, 2, 4, 6]
    assert summary["trained_on"] == "simulated cells"
    assert summary["channels"] == ["membrane", "dna", "TOM20"]
    assert tifffile.imread(out).shape == (7, 3, *CONFIG.box)


@pytest.mark.parametrize(
    ("through", "stops"),
    [
        ("none", ["interphase", "anaphase"]),
        ("metaphase, Prophase 1", ["interphase", "metaphase", "prophase-1", "anaphase"]),
    ],
)
def test_the_stages_between_may_be_chosen(bundle, tmp_path, through, stops) -> None:
    said = call(
        "--model", bundle, "--from", "interphase", "--to", "anaphase", "--through", through, "--path",
        "great-circle", "--easing", "smooth", "--structures", "none", "--out", tmp_path / "walk.png", "--json",
    )  # fmt: skip
    assert said.exit_code == 0, said.output
    summary = json.loads(said.stdout)
    assert [stop["name"] for stop in summary["stops"]] == stops
    assert summary["frames"] == 2 * (len(stops) - 1) + 1
    assert summary["path"] == "great-circle"
    assert "anaphase: Only 1 held out" in said.stderr, "a doubtful landmark is said"


def test_a_walk_may_start_from_a_cell(bundle, model, tmp_path) -> None:
    cell = simulate_cell(3, voxel_size=0.8).cell
    voxel = cell.voxel_size
    write_ome_tiff(tmp_path / "cells.ome.tif", {"labels": cell.cell_mask.astype(np.uint8) * 3}, voxel)
    write_ome_tiff(tmp_path / "nuclei.ome.tif", {"labels": cell.nucleus_mask.astype(np.uint8) * 3}, voxel)
    stains = {name: cell.channels[name].astype(np.float32) for name in ("membrane", "dna")}
    write_ome_tiff(tmp_path / "stack.ome.tif", stains, voxel)
    masks = ("--cells", tmp_path / "cells.ome.tif", "--nuclei", tmp_path / "nuclei.ome.tif")
    found = []
    for start in ("stack.ome.tif", "cells.ome.tif"):
        out = tmp_path / f"from {start}.ome.tiff"
        said = call(
            "--model", bundle, "--from", tmp_path / start, *masks, "--label", 3, "--to", "metaphase",
            "--frames", 3, "--structures", "ZO1", "--out", out, "--json",
        )  # fmt: skip
        assert said.exit_code == 0, said.output
        stops = json.loads(said.stdout)["stops"]
        assert [stop["name"] for stop in stops] == ["cell 3", "metaphase"]
        found.append(tifffile.imread(out).astype(float) / 65535)
    expected = model.decode_reference(stop_at_cell(model, replace(cell, name="cell 3")).z_ref[None])[0]
    np.testing.assert_allclose(found[0][0, :2], expected, atol=0.02)
    np.testing.assert_allclose(found[0][2], found[1][2], atol=1e-4)
    assert np.abs(found[0][0] - found[1][0]).max() > 1e-3, "rendered masks are not the stains"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"--to": "telophase"}, "the stages are interphase"),
        ({"--to": "prophase-2"}, "it has interphase, prophase-1, prometaphase-1, metaphase, anaphase"),
        ({"--from": "metafase"}, "neither a file nor a stage"),
        ({"--from": "lost.tif"}, "lost.tif"),
        ({"--from": "interphase", "--label": "3"}, "need a file there"),
        ({"--through": "telophase-cytokinesis"}, "has no landmark"),
        ({"--to": "interphase"}, "stands still"),
        ({"--frames": "3"}, "3 frames cannot show 4 stops"),
        ({"--path": "scenic"}, "choose radial"),
        ({"--easing": "bouncy"}, "choose linear"),
        ({"--structures": "spleen"}, "spleen"),
        ({"--fps": "0"}, "frames a second"),
        ({"--model": "nowhere"}, "nowhere"),
    ],
)
def test_what_goes_wrong_is_said_in_one_line_and_nothing_is_written(bundle, tmp_path, changes, says) -> None:
    out = tmp_path / "walk.gif"
    options = {"--model": bundle, "--from": "interphase", "--to": "metaphase", "--out": out} | changes
    said = call(*(word for option in options.items() for word in option))
    assert said.exit_code == 1
    assert says in said.stderr
    assert said.stderr.strip().count("\n") == 0, said.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_ctrl_c_leaves_no_half_written_film(bundle, tmp_path) -> None:
    code = (
        "import torch, typer; torch.set_num_threads(1)\n"
        "from napari_integrated_cell.commands.traverse import traverse\n"
        "app = typer.Typer(); app.command()(traverse); app()"
    )
    program = subprocess.Popen(
        [sys.executable, "-c", code, "--model", bundle, "--from", "interphase", "--to", "metaphase",
         "--frames", "100000", "--out", tmp_path / "walk.mp4"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        deadline = time.monotonic() + 240
        while not list(tmp_path.iterdir()):
            assert program.poll() is None, program.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)
        program.send_signal(signal.SIGINT)
        _, said = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 130
    assert "nothing half-written is left behind" in said
    assert list(tmp_path.iterdir()) == []


def test_a_structure_outside_the_vocabulary_is_shown_by_its_name(model, traversal, tmp_path) -> None:
    from napari_integrated_cell.walk.pictures import ContactSheet

    tile = np.zeros((5, 6, 3), np.uint8)
    sheet = ContactSheet("<a> & b", "note", ("0  Interphase",), ("tubes & dots",), ((tile,),))
    assert ElementTree.fromstring(sheet.to_svg()).find("{http://www.w3.org/2000/svg}title").text == "<a> & b"
    assert b"tubes &amp; dots" in sheet.to_svg()


def test_cells_may_have_any_name() -> None:
    stops = [
        Stop("cell 3", "cell 3", np.array([1.0, 0.0], np.float32)),
        Stop("b", "b", np.array([0, 1.0], np.float32)),
    ]
    assert walk(stops, 3).title(1) == "cell 3 to b"
