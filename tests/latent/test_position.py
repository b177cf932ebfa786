"""Positions in the latent spaces: as values, as JSON, as tables, and decoded."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from napari_integrated_cell.latent.position import Position, decode, read_positions, write_positions
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell

finite = st.floats(-1e6, 1e6, width=32)
names = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs")), max_size=12)


def vectors(size):
    return arrays.arrays(np.float32, size, elements=finite)


@st.composite
def positions(draw):
    of = draw(st.sets(st.sampled_from(["TOM20", "lamin-B1", "Sec61-beta"])))
    weights = draw(st.sampled_from(["", "a1f0"]))
    return Position(draw(vectors(5)), {name: draw(vectors(3)) for name in sorted(of)}, draw(names), weights)


@given(positions())
def test_json_gives_a_position_back(position):
    again = Position.from_json(position.to_json())
    assert again == position
    assert (again.name, again.weights) == (position.name, position.weights)


@settings(max_examples=50)
@given(st.lists(positions(), min_size=1, max_size=4))
def test_a_table_gives_positions_back(tmp_path_factory, several):
    path = write_positions(tmp_path_factory.mktemp("table") / "mine.csv", several)
    again = read_positions(path)
    assert again == several
    assert [(p.name, p.weights) for p in again] == [(p.name, p.weights) for p in several]


def test_a_position_does_not_change_with_the_array_it_was_made_of():
    z = np.ones(3, np.float32)
    position = Position(z)
    z[0] = 7
    assert position.z_ref[0] == 1
    with pytest.raises(ValueError, match="read-only"):
        position.z_ref[0] = 7


def test_a_structure_at_its_mode_is_as_good_as_none():
    assert Position(np.ones(3), {"TOM20": np.zeros(2)}) == Position(np.ones(3))
    assert Position(np.ones(3), {"TOM20": np.ones(2)}) != Position(np.ones(3))
    np.testing.assert_array_equal(Position(np.ones(3)).z_struct_of("TOM20", 2), [0, 0])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[1, 2]",
        "12",
        '{"kind": "something else", "z_ref": [1]}',
        '{"kind": "napari-integrated-cell position"}',
        '{"kind": "napari-integrated-cell position", "z_ref": ["a"]}',
        '{"kind": "napari-integrated-cell position", "z_ref": [NaN]}',
        '{"kind": "napari-integrated-cell position", "z_ref": [1], "z_struct": 3}',
    ],
)
def test_what_is_no_position_is_refused_in_a_sentence(text):
    with pytest.raises(ValueError, match="not a latent position"):
        Position.from_json(text)


def test_another_models_position_is_refused(model):
    z_ref, z_struct = np.ones(model.config.n_ref), np.ones(model.config.n_struct)
    same, other = fingerprint(model), fingerprint(IntegratedCell.untrained(model.config, seed=9))
    for weights in ("", same):  # a position without a fingerprint is accepted
        Position(z_ref, {"TOM20": z_struct}, weights=weights).check_fits(model)
    for position, why in (
        (Position(z_ref[1:]), f"{len(z_ref) - 1} of {len(z_ref)}"),
        (Position(z_ref, {"TOM20": z_struct[1:]}), f"{len(z_struct) - 1} of {len(z_struct)}"),
        (Position(z_ref, {"centrin": z_struct}), "no centrin"),
        (Position(z_ref, weights=other), "other weights"),
    ):
        with pytest.raises(ValueError, match=why):
            position.check_fits(model)


def test_a_table_made_by_hand_needs_no_weights(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("name,weights,z_ref_0,z_ref_1\na,0.5,1,2\n")  # of another kind: it is the user's own
    assert [(p.name, p.weights) for p in read_positions(table)] == [("a", "")]


def test_tables_that_are_none(tmp_path):
    table = tmp_path / "table.csv"
    table.write_text("name,x\na,1\n")
    with pytest.raises(ValueError, match="not a table of positions"):
        read_positions(table)
    table.write_text("name,z_ref_0,z_ref_1\na,1,2\nb,1,\n")
    with pytest.raises(ValueError, match="Row 3"):
        read_positions(table)
    with pytest.raises(ValueError, match="several models"):
        write_positions(table, [Position(np.ones(2)), Position(np.ones(3))])
    assert table.read_text().startswith("name")  # what was there is kept


def test_the_clipboard_holds_plain_json():
    copied = json.loads(Position(np.ones(2), {"ZO1": [0, 1]}, "mine").to_json())
    assert copied["z_ref"] == [1, 1]
    assert copied["z_struct"] == {"ZO1": [0, 1]}
    assert copied["name"] == "mine"


def test_decoding_answers_what_the_networks_answer(model):
    draw = np.random.default_rng(0)
    z_ref, z_struct = (
        draw.normal(size=n).astype(np.float32) for n in (model.config.n_ref, model.config.n_struct)
    )
    wanted = ["ZO1", "dna", "TOM20", "lamin-B1"]
    found = decode(model, Position(z_ref, {"TOM20": z_struct}), wanted)
    assert list(found) == wanted
    np.testing.assert_array_equal(found["dna"], model.decode_reference(z_ref[None])[0, 1])
    for name, z in (("ZO1", None), ("lamin-B1", None), ("TOM20", z_struct[None])):
        np.testing.assert_allclose(found[name], model.decode(z_ref[None], name, z)[0, -1], atol=1e-5)
    assert np.abs(found["TOM20"] - model.decode(z_ref[None], "TOM20")[0, -1]).max() > 1e-3  # z^s counts


def test_nothing_that_is_not_asked_for_is_decoded(model, monkeypatch):
    position = Position(np.zeros(model.config.n_ref))
    monkeypatch.setattr(model, "decode_structures", lambda *_, **__: pytest.fail("structures were decoded"))
    assert list(decode(model, position, ["membrane"])) == ["membrane"]
    monkeypatch.undo()
    monkeypatch.setattr(model, "decode_reference", lambda *_, **__: pytest.fail("references were decoded"))
    assert list(decode(model, position, ["TOM20"])) == ["TOM20"]
