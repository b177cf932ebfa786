"""Configuration of a training run: one validated model for the command line, YAML files and run folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from napari_integrated_cell.model.config import ModelConfig, without_deleted_fields
from napari_integrated_cell.model.config import preset as model_preset

PRESET_FOLDER = Path(__file__).parent / "presets"

LossScaling = Literal["paper", "paper-code"]
"""``"paper"``: the sums that Algorithms 1 and 2 print; ``"paper-code"``: half of them, as in the published code."""

Generated = Literal["paper", "paper-code"]
"""Which images phase 2 calls generated; see `conditional_phase`."""

DiscriminatorGradients = Literal["before", "stepped"]
"""Which discriminators encoder and decoder learn from: those before the step, or those that took it; see
`TrainingConfig`."""

Sampling = Literal["plain", "balanced"]
"""How phase 2 chooses the cells of an epoch; see `TrainingConfig`."""


class PhaseConfig(BaseModel):
    """Length of one phase, and its own values of some fields of `TrainingConfig`.

    Attributes
    ----------
    epochs : int
        Passes over the training cells (section 3.3: 150).
    max_minutes : float, optional
        Stop after this time, also in the middle of an epoch, which then counts as one. Learning rates that decay and
        a share that grows reach their last value by then. Such a run cannot be repeated exactly; no preset sets it.
    gamma_enc : float, optional
        Weight of EncD's signal in this phase; left out, that of both phases. z^s holds far less information about an
        image than z^r does, so the weight that suits one phase can be too large for the other.
    reconstruction_weight : float, optional
        Weight of L_x in this phase; left out, that of both phases. In phase 1 the image is the only target; in phase
        2 the encoder also learns the label and z^r, which are easier.
    augment_flips : bool, optional
        Whether this phase flips cells; left out, as in both phases. If a decoder sees each shape z^r with one
        structure only, it memorises that cell and ignores z^s. Flips give each structure four times the shapes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=150, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    gamma_enc: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    reconstruction_weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    augment_flips: bool | None = None

    def ended(self, epoch: int, seconds: float) -> bool:
        """Return whether a phase is finished after this many epochs and seconds."""
        return self.done(epoch, seconds) >= 1

    def done(self, epoch: float, seconds: float) -> float:
        """Return the finished share of the phase, 0 to 1: by its epochs or by its time, the larger of the two."""
        by_clock = 0.0 if self.max_minutes is None else seconds / (60 * self.max_minutes)
        return min(1.0, max(epoch / self.epochs, by_clock))


class AdaptedFrom(BaseModel):
    """The bundle that a run starts from (``napari-ic-train fit --from``).

    Attributes
    ----------
    bundle : str
        Its name, or its path on this machine.
    name, fingerprint : str
        The model's name, and the digest of its weights.
    simulated : bool
        Whether the bundle was trained on simulated cells.
    structures : tuple of str
        The bundle's classes. The run's model has them first, in this order, and then the store's other structures.
    nearest : dict of str to str
        For each new class the known class whose weights it starts from.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bundle: str
    name: str
    fingerprint: str
    simulated: bool
    structures: tuple[str, ...]
    nearest: dict[str, str] = {}


class TrainingConfig(BaseModel):
    """Configuration of one training run: the model, both phases and what they share (section 3.3).

    Attributes
    ----------
    model : ModelConfig
        The networks. In YAML: the name of a preset, or a mapping of fields, which may start from ``preset: NAME``.
    reference, conditional : PhaseConfig
        Phase 1 (Algorithm 1) and phase 2 (Algorithm 2).
    seed : int
        Random seed of the initial weights, the order of cells, the draws from the priors and the noise.
    batch_size : int
        Largest number of cells in a batch. All batches of an epoch have the same size, give or take one cell.
    learning_rate : float
        Adam's learning rate of encoders, decoders and decoding discriminators.
    encoding_discriminator_learning_rate : float
        Adam's learning rate of EncD^r and EncD^s.
    betas : tuple of float
        Adam's betas. The paper gives none; these are its code's.
    gamma_enc, gamma_dec : float
        Weights γ of the discriminators' signals in the encoder's and the decoder's loss (equations 15-18).
    reconstruction_weight : float
        Weight of L_x in the encoder's and the decoder's loss; 1 in the paper.
    loss_scaling : {"paper", "paper-code"}
        The sums of the algorithms, or half of them as in the published code.
    generated : {"paper", "paper-code"}
        Which images phase 2 calls generated: Algorithm 2's, or the published code's.
    discriminator_gradients : {"before", "stepped"}
        Which discriminators give encoder and decoder their gradients. ``"before"``: those before their step, because
        Algorithms 1 and 2 compute all outputs V̂ and Ŷ before the first update. ``"stepped"``: those that already took
        the step of this batch, as in the published code. Every batch then has one more pass through EncD and two more
        through DecD, each with its own noise, and ``accumulate`` must be 1.
    decoding_discriminator_every : int
        DecD takes part in one of this many batches. With the paper's 1, two thirds of a step's time go to DecD and to
        images generated for it, and γ_Dec = 1e-5 makes its signal in the decoder's loss small.
    structure_channel_weight : float
        Weight of the structure's channel in L_x of phase 2, relative to one reference channel; 1 in the paper.
        Structures are faint and sparse: unweighted, membrane and DNA are nine tenths of the loss.
    light_weights : {"none", "inverse"}
        Further weight of a cell's structure channel in L_x of phase 2: 1 as in the paper, or the inverse of the mean
        intensity of its structure, scaled to a mean of 1 over structures. Unweighted, bright structures dominate L_x.
    mode_share : float
        Share of cells that phase 2 decodes at z^s = 0, the mode of the prior, instead of at their own z^s. Structures
        are integrated there (Algorithm 3), but with the paper's 0 the decoder sees no cell there: draws from a prior
        of many dimensions are far from its mode. With a share of cells the decoder learns their mean at z^s = 0.
    mode_share_grows : bool
        Whether that share grows from 0 to its value, in proportion to the finished share of the phase. A decoder that
        sees z^s = 0 from the start does not learn to use z^s.
    decoded_at : {"predicted", "target"}
        The label and z^r at which phase 2 decodes a cell: ŷ and ẑ^r, which Enc^{r,s} predicts from all channels, as in
        Algorithm 2; or the known label and the z^r of phase 1's encoder, which does not see the structure. In ŷ and
        ẑ^r the encoder can pass on information about the structure that belongs in z^s.
    class_weights : {"none", "inverse"}
        Weight of a cell in the encoder's label loss (equation 9): 1 as in the paper, or the inverse of the number of
        cells of its structure.
    latent_moments : {"batch", "running"}
        Which mean and variance `latent_norm` uses in phase 1: those of each batch, as batch normalisation does, or
        running ones, as in inference. The moments of a small batch add noise to the codes of all its cells (in batches
        of 16 it is 1 / sqrt(16) of their standard deviation), and Dec^r then learns coarse images.
    mean_bias : bool
        Set the decoders' last biases so that they predict the mean intensity of each channel at the start. The paper
        starts at 0, which is half of full intensity in every voxel.
    warm_up : int
        Batches over which the learning rates rise to their value at the start of each phase.
    learning_rate_decay : {"none", "cosine"}
        ``"cosine"`` lowers all four learning rates to zero over the phase. The paper keeps them constant.
    augment_flips : bool
        Flip cells at random along Y and along X. The paper does not: it poses all cells with the same skew. It helps
        if there are few cells.
    adapted_from : AdaptedFrom, optional
        The bundle whose networks the run starts from; left out, the run starts from random weights.
    deformed_copies : int
        Number of deformed copies of each cell that an epoch consists of; with 0 the cells are used as they are, as in
        the paper. The first copy is the cell itself. With few cells the decoder otherwise memorises each shape.
    choosing_share : float
        Share of the training cells that the networks do not learn from. They choose the best epoch of each phase, and
        a finished run consists of the networks of these epochs. With 0, as in the paper, the networks of the last
        epochs are used.
    precision : {"fp32", "bf16"}
        ``"bf16"`` runs the networks under autocast; losses, sums of gradients and weights stay float32.
    tf32 : bool
        Let a GPU round the inputs of float32 products to TF32 (10 bits of mantissa instead of 23): faster, and no
        longer float32. It does nothing on other devices, and with ``"bf16"`` next to nothing.
    accumulate : int
        Number of passes that a batch is split into if it is too large for the device: their gradients are summed
        before the step. Batch normalisation sees one pass at a time.
    clip_gradients : float, optional
        Largest norm of each network's gradient; the paper does not clip.
    sampling : {"plain", "balanced"}
        In phase 2, every cell once per epoch, as in the paper; or as many cells drawn at random with repetition, each
        structure equally often.
    keep_checkpoints : int
        Number of checkpoints of a phase to keep, besides the best one.
    checkpoint_minutes : float, optional
        Longest time between two checkpoints, also within a long epoch.
    picture_every : int
        Epochs between two pictures of held-out cells; 0 draws none.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: ModelConfig
    reference: PhaseConfig = PhaseConfig()
    conditional: PhaseConfig = PhaseConfig()
    seed: int = Field(default=0, ge=0, lt=2**31)
    batch_size: int = Field(default=30, ge=2)
    learning_rate: float = Field(default=2e-4, gt=0, allow_inf_nan=False)
    encoding_discriminator_learning_rate: float = Field(default=0.01, gt=0, allow_inf_nan=False)
    betas: tuple[Annotated[float, Field(ge=0, lt=1)], Annotated[float, Field(ge=0, lt=1)]] = (0.5, 0.999)
    gamma_enc: float = Field(default=1e-4, ge=0, allow_inf_nan=False)
    gamma_dec: float = Field(default=1e-5, ge=0, allow_inf_nan=False)
    reconstruction_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    loss_scaling: LossScaling = "paper"
    generated: Generated = "paper"
    discriminator_gradients: DiscriminatorGradients = "before"
    decoding_discriminator_every: int = Field(default=1, ge=1)
    structure_channel_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    light_weights: Literal["none", "inverse"] = "none"
    mode_share: float = Field(default=0.0, ge=0, lt=1)
    mode_share_grows: bool = False
    decoded_at: Literal["predicted", "target"] = "predicted"
    class_weights: Literal["none", "inverse"] = "none"
    latent_moments: Literal["batch", "running"] = "batch"
    mean_bias: bool = False
    warm_up: int = Field(default=0, ge=0)
    learning_rate_decay: Literal["none", "cosine"] = "none"
    augment_flips: bool = False
    adapted_from: AdaptedFrom | None = None
    deformed_copies: int = Field(default=0, ge=0)
    choosing_share: float = Field(default=0.0, ge=0, lt=0.9)
    precision: Literal["fp32", "bf16"] = "fp32"
    tf32: bool = False
    accumulate: int = Field(default=1, ge=1)
    clip_gradients: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sampling: Sampling = "plain"
    keep_checkpoints: int = Field(default=2, ge=1)
    checkpoint_minutes: float | None = Field(default=30.0, gt=0, allow_inf_nan=False)
    picture_every: int = Field(default=5, ge=0)

    @model_validator(mode="before")
    @classmethod
    def _open_version_0_1(cls, fields: Any) -> Any:
        return without_deleted_fields(fields, {"warm_start": False})

    @field_validator("light_weights", mode="before")
    @classmethod
    def _not_dimmed(cls, value: Any) -> Any:
        if value == "dimmed":
            raise ValueError("version 0.1 had this option and later versions do not: use 'inverse' or 'none'")
        return value

    @field_validator("model", mode="before")
    @classmethod
    def _from_preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            return model_preset(value)
        if isinstance(value, Mapping) and "preset" in value:
            fields = {name: field for name, field in value.items() if name != "preset"}
            return model_preset(value["preset"]).model_dump() | fields
        return value

    @model_validator(mode="after")
    def _one_pass_if_stepped(self) -> TrainingConfig:
        if self.discriminator_gradients == "stepped" and self.accumulate > 1:
            raise ValueError(
                "discriminator_gradients 'stepped' needs all cells of a batch in one pass: set accumulate to 1, or "
                "discriminator_gradients to 'before'"
            )
        return self

    def in_phase(self, phase: str, field: str) -> Any:
        """Return a field's value in one phase: the phase's own value, or that of both phases."""
        own = getattr(getattr(self, phase), field)
        return getattr(self, field) if own is None else own


def presets() -> tuple[str, ...]:
    """Return the names of the presets in this package."""
    return tuple(sorted(path.stem for path in PRESET_FOLDER.glob("*.yaml")))


def preset(name: str) -> TrainingConfig:
    """Return a preset by name; ValueError lists the presets that exist."""
    if name not in presets():
        raise ValueError(f"There is no training preset {name!r}; choose one of {', '.join(presets())}.")
    return read_config(PRESET_FOLDER / f"{name}.yaml")


def read_config(path: str | Path) -> TrainingConfig:
    """Read a configuration from a YAML file.

    Raises
    ------
    ValueError
        If the file cannot be read, is not a YAML mapping, or has an unknown field or a wrong value. The sentence
        names the file and every such field.
    """
    try:
        fields = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The training configuration {path} cannot be read: {error}.") from error
    except yaml.YAMLError as error:
        raise ValueError(f"The training configuration {path} is not valid YAML: {error}") from error
    if not isinstance(fields, dict):
        raise ValueError(f"The training configuration {path} must be a mapping of fields to values.")
    try:
        return validated(fields)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def validated(fields: Mapping[str, Any]) -> TrainingConfig:
    """Return a configuration from plain fields; one ValueError names every wrong field."""
    try:
        return TrainingConfig.model_validate(dict(fields))
    except ValidationError as error:
        wrong = [_in_words(problem) for problem in error.errors()]
        raise ValueError("The training configuration is wrong: " + "; ".join(wrong) + ".") from error


def write_config(config: TrainingConfig, path: str | Path) -> None:
    """Write the whole configuration as YAML, with every default; `read_config` reads it back unchanged."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    Path(path).write_text(text, encoding="utf-8")


def _in_words(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no field '{field}'"
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if problem["type"] == "missing":
        return f"the field '{field}' is missing"
    # An error about several fields has all fields as its input: do not print them.
    if not field:
        return message
    given = "" if isinstance(problem["input"], Mapping) else f" is {problem['input']!r}"
    return f"'{field}'{given}: {message[:1].lower()}{message[1:]}"
