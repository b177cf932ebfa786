"""Integrate a cell: layers lie over the cell and are updated, not duplicated. Also the commands of the palette."""

from __future__ import annotations

import numpy as np
import pytest
from integrate_window import (
    EchoModel,
    add_cell,
    command,
    fields,
    finished,
    inside,
    needs_display,
    opened_dock,
    run,
    sampled,
)

from napari_integrated_cell.imaging.pose import posed_mask
from napari_integrated_cell.plugin.layers.marks import result_layers
from napari_integrated_cell.plugin.session import session_of
from napari_integrated_cell.vocabulary import structure

pytestmark = [pytest.mark.gui, needs_display]


@pytest.mark.slow
@pytest.mark.parametrize(
    "place",
    [
        {},
        {"translate": (10.0, -20.0, 30.0)},
        {"affine": np.array([[1, 0, 0, 3], [0, 0, -1, 40], [0, 1, 0, -7], [0, 0, 0, 1.0]])},
    ],
    ids=["as it is", "translated", "turned"],
)
def test_structures_lie_over_the_cell(viewer, qtbot, simulated, place):
    """The stand-in model predicts the posed DNA, so each layer must lie over the nucleus, in any place."""
    layers = add_cell(viewer, simulated, **place)
    dock = opened_dock(viewer)
    dock.structures.tick(["fibrillarin"])
    run(qtbot, viewer, dock)
    made = result_layers(viewer, f"{session_of(viewer).key}/{dock.cell.request().key}")
    assert list(made) == ["fibrillarin"]
    nucleus, outside = inside(simulated, layers)
    fibrillarin = made["fibrillarin"]
    assert sampled(fibrillarin, nucleus).mean() > 0.3
    assert sampled(fibrillarin, outside).mean() < 0.02
    # Its centre of mass is the nucleus's, to within half a voxel of the image.
    weights = fibrillarin.data / fibrillarin.data.sum()
    centre = fibrillarin.data_to_world(
        np.tensordot(weights, np.indices(weights.shape), ([0, 1, 2], [1, 2, 3]))
    )
    true = layers["cells"].data_to_world(np.argwhere(simulated.nucleus_mask).mean(axis=0))
    np.testing.assert_allclose(centre, true, atol=0.4)


@pytest.mark.slow
def test_layers_carry_colour_unit_scale_and_where_they_come_from(dock, viewer, qtbot, echo):
    dock.structures.tick(["TOM20", "lamin-B1"])
    run(qtbot, viewer, dock)
    session = session_of(viewer)
    assert [fields(layer)["structure"] for layer in result_layers(viewer).values()] == ["lamin-B1", "TOM20"]
    for layer in result_layers(viewer).values():
        about = fields(layer)
        colour = structure(about["structure"]).colour
        rgb = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        np.testing.assert_allclose(layer.colormap.colors[-1][:3], rgb, atol=1e-3)
        np.testing.assert_allclose(layer.colormap.colors[0][:3], 0)
        assert layer.blending == "additive"
        assert [str(u) for u in layer.units] == ["micrometer"] * 3
        assert layer.axis_labels == ("z", "y", "x")
        np.testing.assert_allclose(layer.scale, echo.config.voxel_size)
        np.testing.assert_allclose(
            layer.affine.affine_matrix, session.integrate.integration.pose.layer_affine, atol=1e-9
        )
        assert layer.contrast_limits[0] == pytest.approx(layer.contrast_limits[1] / 3)
        assert about["model"] == "echo"
        assert about["cell"] == "cell 1"
        assert about["label"] == 1
        assert about["source"] == "membrane"
        assert about["pose_warnings"] == list(session.integrate.integration.pose.warnings)
        np.testing.assert_allclose(about["z_ref"], session.integrate.integration.z_ref)
    assert session.model is echo
    assert set(session.integrate.integration.volumes) == {"lamin-B1", "TOM20"}


@pytest.mark.slow
def test_running_again_updates_what_it_made_and_nothing_else(dock, viewer, qtbot):
    dock.structures.tick(["TOM20", "ZO1"])
    mine = viewer.add_image(np.ones((4, 5, 6)), name="TOM20 · cell 1")
    run(qtbot, viewer, dock)
    first = result_layers(viewer)
    others = [layer for layer in viewer.layers if layer not in first.values()]
    tom20, zo1 = first.values()
    tom20.name = "mitochondria"  # found by its metadata, not by its name
    tom20.data = np.zeros_like(tom20.data)
    tom20.visible = False
    tom20.contrast_limits = (0.2, 0.4)
    viewer.layers.remove(zo1)
    count = len(viewer.layers)
    run(qtbot, viewer, dock)
    again = result_layers(viewer)
    assert next(iter(again.values())) is tom20
    assert tom20.data.max() > 0.5
    assert tuple(tom20.contrast_limits) == (0.2, 0.4)
    assert not tom20.visible
    assert len(viewer.layers) == count + 1  # the removed layer is made again
    assert [layer for layer in viewer.layers if layer not in again.values()] == others
    assert mine.data.max() == 1
    assert mine.data.shape == (4, 5, 6)


@pytest.mark.slow
def test_eleven_layers_do_not_add_up_to_white_in_3d(dock, viewer, qtbot):
    run(qtbot, viewer, dock)
    first, *others = result_layers(viewer).values()
    share = 2 / 11
    assert [layer.opacity for layer in (first, *others)] == pytest.approx([share**0.5] * 11)
    first.opacity = 0.9  # what the user has set stays as it is
    viewer.dims.ndisplay = 3
    assert [layer.opacity for layer in others] == pytest.approx([share] * 10)
    dock.structures.tick(["fibrillarin", "TOM20"])
    run(qtbot, viewer, dock)
    tom20 = next(layer for layer in others if fields(layer)["structure"] == "TOM20")
    assert tom20.opacity == 1
    viewer.dims.ndisplay = 2
    assert tom20.opacity == 1
    rest = [layer.opacity for layer in others if fields(layer)["structure"] not in ("fibrillarin", "TOM20")]
    assert rest == pytest.approx([share**0.5] * len(rest))
    assert first.opacity == 0.9


@pytest.mark.slow
def test_another_model_s_box_updates_the_same_layers(dock, viewer, qtbot):
    dock.structures.tick(["TOM20"])
    run(qtbot, viewer, dock)
    (layer,) = result_layers(viewer).values()
    other = EchoModel("tiny")
    session_of(viewer).open_model = lambda source, device: other
    session_of(viewer).choose_model("other")
    run(qtbot, viewer, dock)
    assert list(result_layers(viewer).values()) == [layer]
    assert layer.data.shape == other.config.box
    np.testing.assert_allclose(layer.scale, other.config.voxel_size)


@pytest.mark.slow
def test_the_library_s_own_untrained_model_runs(dock, viewer, qtbot, tmp_path):
    """All parts are real except the training: a bundle on the disk, opened by its path, on the CPU."""
    import torch

    from napari_integrated_cell.model.bundle import load_model, save_bundle
    from napari_integrated_cell.model.config import preset
    from napari_integrated_cell.model.integrated_cell import IntegratedCell

    torch.set_num_threads(1)
    path = tmp_path / "tiny"
    save_bundle(
        IntegratedCell.untrained(preset("tiny"), 0), path, card={"simulated": True}, model_card_markdown="x"
    )
    session = session_of(viewer)
    session.open_model = lambda source, device: load_model(source, device=device)
    session.choose_model(str(path))
    session.choose_device("cpu")
    run(qtbot, viewer, dock)
    made = result_layers(viewer)
    assert len(made) == 11
    done = session.integrate.integration
    decoded = session.model.integrate(done.references[None], ["TOM20"])["TOM20"][0]
    expected = decoded * posed_mask(done.cell, done.pose)
    layer = next(layer for layer in made.values() if fields(layer)["structure"] == "TOM20")
    np.testing.assert_allclose(layer.data, expected, atol=1e-5)


@pytest.mark.slow
def test_the_classifier_is_asked_about_a_structure_layer(dock, viewer, qtbot, simulated):
    layer = viewer.add_image(
        simulated.channels["membrane"], name="unknown", scale=simulated.voxel_size, units=("µm",) * 3
    )
    dock.structure_layer.layer = layer
    qtbot.waitUntil(lambda: bool(dock.classification.ranked), timeout=60_000)
    assert dock.classification.ranked[0][0] == "TOM20"
    assert not dock.classification.isHidden()
    assert "not measured" in dock.classification.sentence  # the stand-in has no limits
    dock.structure_layer.setCurrentIndex(0)
    qtbot.waitUntil(lambda: dock.classification.isHidden(), timeout=60_000)


@pytest.mark.slow
def test_commands_of_the_palette(viewer, qtbot, simulated, echo, notified):
    add_cell(viewer, simulated)
    command("integrate")
    finished(qtbot, viewer)
    assert len(result_layers(viewer)) == 11
    viewer.add_image(np.zeros((3, 3, 3)), name="keep me")
    command("cancel")
    assert notified[-1] == ("info", "No structures are being integrated.")
    command("remove")
    assert result_layers(viewer) == {}
    assert "keep me" in viewer.layers
