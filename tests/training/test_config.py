"""The training configuration: presets, YAML, and errors that name the field."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError
from toy_training import toy_config

from napari_ic_train.config import TrainingConfig, preset, presets, read_config, validated, write_config
from napari_integrated_cell.model.config import preset as model_preset


def test_presets_are_files_that_validate() -> None:
    assert set(presets()) >= {"paper", "paper-code", "demo", "tiny"}
    for name in presets():
        assert preset(name).model == model_preset(name)


def test_paper_is_section_3_3() -> None:
    paper = preset("paper")
    assert (paper.reference.epochs, paper.conditional.epochs, paper.batch_size) == (150, 150, 30)
    assert (paper.learning_rate, paper.encoding_discriminator_learning_rate) == (2e-4, 0.01)
    assert (paper.gamma_enc, paper.gamma_dec) == (1e-4, 1e-5)
    assert (paper.loss_scaling, paper.generated, paper.learning_rate_decay) == ("paper", "paper", "none")
    assert (paper.reconstruction_weight, paper.augment_flips, paper.precision) == (1.0, False, "fp32")
    assert (paper.reference.max_minutes, paper.conditional.max_minutes) == (None, None)
    assert paper == TrainingConfig(model=model_preset("paper"))


def test_paper_code_differs_where_the_published_code_does() -> None:
    paper, code = preset("paper").model_dump(), preset("paper-code").model_dump()
    assert {field for field in paper if paper[field] != code[field]} == {
        "model", "loss_scaling", "generated", "discriminator_gradients"
    }  # fmt: skip


def test_presets_that_are_shipped_do_not_depend_on_the_clock() -> None:
    for name in presets():
        config = preset(name)
        assert config.reference.max_minutes is None
        assert config.conditional.max_minutes is None


def test_unknown_preset_lists_those_there_are() -> None:
    with pytest.raises(ValueError, match=r"no training preset 'papr'.*demo, paper, paper-code, tiny"):
        preset("papr")


def test_yaml_gives_back_the_same_configuration(tmp_path: Path) -> None:
    config = toy_config(betas=(0.1, 0.9), learning_rate=3e-5, augment_flips=True, precision="bf16")
    write_config(config, tmp_path / "config.yaml")
    assert read_config(tmp_path / "config.yaml") == config


def test_model_may_be_a_preset_changed_in_places() -> None:
    config = validated({"model": {"preset": "demo", "n_struct": 9}})
    assert config.model == model_preset("demo").model_copy(update={"n_struct": 9})
    assert validated({"model": "demo"}).model == model_preset("demo")


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"learning_rat": 1}, "there is no field 'learning_rat'"),
        ({"batch_size": 1}, "'batch_size' is 1: input should be greater than or equal to 2"),
        ({"reference": {"epochs": 0}}, "'reference.epochs' is 0"),
        ({"conditional": {"epoch": 3}}, "there is no field 'conditional.epoch'"),
        ({"conditional": {"max_minutes": -1}}, "'conditional.max_minutes' is -1"),
        ({"learning_rate": float("nan")}, "'learning_rate' is nan"),
        ({"betas": [0.5, 1.0]}, "'betas.1' is 1.0"),
        ({"precision": "fp8"}, "'precision' is 'fp8': input should be 'fp32' or 'bf16'"),
        ({"model": "tinny"}, "'model' is 'tinny': no preset is called 'tinny'"),
        ({"model": {"preset": "tiny", "n_struct": 0}}, "'model.n_struct' is 0"),
        ({"model": {"preset": "tiny", "widths": 3}}, "there is no field 'model.widths'"),
    ],
)
def test_a_wrong_field_is_named(fields: dict, words: str) -> None:
    with pytest.raises(ValueError, match="The training configuration is wrong: ") as error:
        validated({"model": "tiny"} | fields)
    assert words in str(error.value)
    assert "\n" not in str(error.value)


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"'seed' is -1.*'gamma_enc' is -1.*the field 'model' is missing|missing.*seed"
    ):
        validated({"seed": -1, "gamma_enc": -1})


def test_fields_that_do_not_go_together_are_told_without_showing_all_the_others() -> None:
    model = toy_config().model.model_dump() | {"structures": ["dna"]}
    with pytest.raises(ValueError, match=r"wrong: 'model': structures repeats .* give it another name\.$"):
        validated({"model": model})


def test_a_file_that_is_no_configuration_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    with pytest.raises(ValueError, match=r"run\.yaml cannot be read"):
        read_config(path)
    path.write_text("model: [tiny")
    with pytest.raises(ValueError, match=r"run\.yaml is not valid YAML"):
        read_config(path)
    path.write_text("- tiny")
    with pytest.raises(ValueError, match=r"run\.yaml must be a mapping"):
        read_config(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(ValueError, match=r"run\.yaml cannot be read"):
        read_config(path)
    path.write_text("model: tiny\nepochs: 3\n")
    with pytest.raises(ValueError, match=r"run\.yaml: .*there is no field 'epochs'"):
        read_config(path)


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        toy_config().seed = 4  # type: ignore[misc]


def test_stepped_discriminators_need_whole_batches():
    assert preset("paper-code").discriminator_gradients == "stepped"
    assert preset("paper").discriminator_gradients == "before"
    fields = preset("paper-code").model_dump() | {"accumulate": 2}
    with pytest.raises(
        ValueError, match="'stepped' needs all cells of a batch in one pass: set accumulate to 1"
    ):
        validated(fields)
