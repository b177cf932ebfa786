"""Model configuration: presets, checks, and no import of torch."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import ValidationError

from napari_integrated_cell.model.config import PRESETS, ModelConfig, one_sentence, preset
from napari_integrated_cell.vocabulary import STRUCTURE_NAMES


def test_the_paper_preset_is_section_3() -> None:
    paper = preset("paper")
    assert paper.box == (64, 96, 128)
    assert paper.voxel_size == 0.317
    assert paper.n_ref == paper.n_struct == 128
    assert paper.references == ("membrane", "dna")
    assert paper.structures == STRUCTURE_NAMES
    assert paper.n_structures == 11
    assert paper.dec_d_noise == 0.01


@pytest.mark.parametrize("name", PRESETS)
def test_presets_carry_their_name_and_survive_json(name: str) -> None:
    config = preset(name)
    assert config.name == name
    assert ModelConfig.model_validate_json(config.model_dump_json()) == config


def test_every_preset_holds_the_same_cell() -> None:
    extents = {name: [round(n * c.voxel_size, 3) for n in c.box] for name, c in PRESETS.items()}
    assert {tuple(e[1:]) for e in extents.values()} == {(30.432, 40.576)}
    assert {e[0] for name, e in extents.items() if name != "demo"} == {20.288}
    assert extents["demo"][0] == 15.216  # lower: cells are 8 to 11 µm high


def test_an_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"'papre'.*paper, paper-code, demo, tiny"):
        preset("papre")


def test_grids_round_down_as_strided_convolutions_do() -> None:
    grids = preset("paper").grids(6)
    assert [grid[1] for grid in grids] == [96, 48, 24, 12, 6, 3, 1]
    assert grids[-1] == (1, 1, 2)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"box": (32, 96, 128)}, r"box \(32, 96, 128\) is too small for the 6 levels of enc_cond_widths"),
        ({"box": (0, 96, 128)}, r"box\.0"),
        ({"box": (96, 128)}, r"box\.2"),
        ({"voxel_size": -1}, "voxel_size"),
        ({"voxel_size": float("nan")}, "voxel_size"),
        ({"structures": ()}, "structures must hold at least one name"),
        ({"structures": ("TOM20", "TOM20")}, "structures names something twice"),
        ({"structures": ("dna",)}, "structures repeats the reference channel 'dna'"),
        ({"references": ("membrane", " ")}, "references must hold"),
        ({"enc_d_widths": ()}, "enc_d_widths must list"),
        ({"dec_d_head": "pool"}, "dec_d_head"),
        ({"dec_d_noise": -0.1}, "dec_d_noise"),
        ({"n_ref": 0}, "n_ref"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_what_is_wrong_is_said_with_the_field(fields: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message) as raised:
        ModelConfig(**fields)
    assert "\n" not in one_sentence(raised.value)


def test_the_final_convolution_of_dec_d_counts_as_a_level() -> None:
    small = {"box": (8, 8, 8), "enc_ref_widths": (4,), "enc_cond_widths": (4,), "dec_widths": (4,)}
    ModelConfig(**small, dec_d_widths=(4, 4, 4), dec_d_head="linear")
    with pytest.raises(ValidationError, match="4 levels of dec_d_widths"):
        ModelConfig(**small, dec_d_widths=(4, 4, 4), dec_d_head="conv")


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        preset("tiny").n_ref = 3


@pytest.mark.parametrize(
    "module", ["", ".model.config", ".model.runtime", ".model.archive", ".model.catalogue", ".vocabulary"]
)
def test_importing_needs_neither_torch_nor_qt(module: str) -> None:
    code = (
        f"import sys, napari_integrated_cell{module}\n"
        "found = {'torch', 'qtpy', 'napari', 'PySide6'} & set(sys.modules)\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
