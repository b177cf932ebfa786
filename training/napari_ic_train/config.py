"""What a training run is: one validated model, the same for the command line, YAML and the run's folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from napari_ic_train.fit.losses import LossScaling
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.config import preset as model_preset

PRESET_FOLDER = Path(__file__).parent / "presets"

Generated = Literal["paper", "paper-code"]
"""Which images phase 2 calls generated; see `conditional_phase`."""


Sampling = Literal["plain", "balanced"]
"""Which cells an epoch of phase 2 is made of; see `TrainingConfig`."""


class PhaseConfig(BaseModel):
    """How long one phase trains.

    Attributes
    ----------
    epochs : int
        Passes over the training cells (section 3.3: 150).
    max_minutes : float, optional
        Stop when this time is up, within an epoch too, which then counts as one; what changes over the phase (learning
        rates that decay, a share that grows) comes to its end by then. A run that a clock ends is not reproducible;
        the presets leave it out.
    gamma_enc : float, optional
        Weight of EncD's signal in this phase, if not that of both. z^s has far less to tell of an image than
        z^r: an EncD that is loud enough for one can drown the other.
    reconstruction_weight : float, optional
        Weight of L_x in this phase, if not that of both. In phase 1 the image is all that there is to learn; in
        phase 2 the encoder hears it beside the label and z^r, which are easier.
    augment_flips : bool, optional
        Whether this phase flips cells, if not as both. A decoder that meets a shape z^r with one cell's structure
        alone learns that cell by heart, and has no need of z^s; flips give every structure four times the shapes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(default=150, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    gamma_enc: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    reconstruction_weight: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    augment_flips: bool | None = None

    def ended(self, epoch: int, seconds: float) -> bool:
        """Whether a phase that has done so many epochs in so many seconds has run its course."""
        return self.done(epoch, seconds) >= 1

    def done(self, epoch: float, seconds: float) -> float:
        """How much of the phase lies behind, 0 to 1, by its epochs or by its clock, whichever is further on."""
        by_clock = 0.0 if self.max_minutes is None else seconds / (60 * self.max_minutes)
        return min(1.0, max(epoch / self.epochs, by_clock))


class TrainingConfig(BaseModel):
    """One training run: the model, both phases and what they share (section 3.3).

    Attributes
    ----------
    model : ModelConfig
        The networks. In YAML: a preset's name, or a mapping of fields, which may start from ``preset: NAME``.
    reference, conditional : PhaseConfig
        Phase 1 (Algorithm 1) and phase 2 (Algorithm 2).
    seed : int
        Of initial weights, order of cells, draws from the priors and noise.
    batch_size : int
        Cells per batch at most; an epoch is cut into batches of equal size, give or take one cell.
    learning_rate : float
        Adam's, of encoders, decoders and decoding discriminators.
    encoding_discriminator_learning_rate : float
        Adam's, of EncD^r and EncD^s.
    betas : tuple of float
        Adam's (the paper gives none; its code has these).
    gamma_enc, gamma_dec : float
        Weights γ of the discriminators' signals in the encoder's and the decoder's loss (equations 15-18).
    reconstruction_weight : float
        Weight of L_x in the encoder's and the decoder's loss; 1 in the paper.
    loss_scaling : {"paper", "paper-code"}
        The algorithms' sums, or the published code's halves of them.
    generated : {"paper", "paper-code"}
        Which images phase 2 calls generated: Algorithm 2's, or the published code's.
    decoding_discriminator_every : int
        DecD takes part in every so many batches. The paper's 1 spends two thirds of a step on DecD and on images
        generated for it, of which γ_Dec = 1e-5 lets the decoder hear little.
    structure_channel_weight : float
        Weight of the structure's channel in L_x of phase 2 against that of one reference channel; 1 in the paper.
        Structures are faint and sparse: unweighted, membrane and DNA make up nine tenths of the loss.
    light_weights : {"none", "inverse", "dimmed"}
        Weight of a cell's structure channel in L_x of phase 2: 1 as in the paper; by the inverse of how much light
        its structure has, with a mean over structures of 1; or so for bright structures alone, which are dimmed to
        the structures' median light. A structure's part in the loss goes with its light, and a few nucleoli are
        drowned by a cell full of membranes.
    mode_share : float
        Share of the cells that phase 2 decodes with z^s at the prior's mode instead of their own. Structures are
        integrated there (Algorithm 3), where the paper's decoder meets no cell: draws from a prior of many
        dimensions keep away from its mode. With some cells there it learns their mean. 0 in the paper.
    mode_share_grows : bool
        Whether that share grows over the phase, in proportion from 0 to its value: what z^s = 0 asks for keeps a
        decoder from beginning to listen to z^s at all.
    decoded_at : {"predicted", "target"}
        Which label and which z^r phase 2 decodes a cell at: ŷ and ẑ^r, which Enc^{r,s} reads off all of its channels,
        as in Algorithm 2; or the known label and the z^r of phase 1's encoder, which has not seen the structure. In
        ŷ and ẑ^r the encoder can tell the decoder of the structure what should go through z^s.
    class_weights : {"none", "inverse"}
        Weight of a cell in the encoder's label loss (equation 9): 1 as in the paper, or by the inverse of its
        structure's number of cells.
    warm_start : bool
        Start phase 2 from phase 1's encoder and decoder wherever the networks agree. The paper starts it afresh.
    latent_moments : {"batch", "running"}
        By what mean and variance `latent_norm` standardises z^r in phase 1: each batch's, as batch normalisation has
        it, or running ones, as in use. What a batch of few cells happens to have in common jitters the codes of all
        of them (by 1 / sqrt(16) of their spread in batches of 16), and Dec^r learns images as coarse as that.
    mean_bias : bool
        Start the decoders' last biases where the mean intensity of each channel is predicted. The paper starts at
        0, half of full intensity in every voxel.
    warm_up : int
        Batches over which the learning rates rise to their value at the beginning of each phase.
    learning_rate_decay : {"none", "cosine"}
        ``"cosine"`` lets all four rates fall to zero over the phase. The paper keeps them.
    augment_flips : bool
        Flip cells at random along Y and along X. A departure from the paper, whose cells are all posed with
        the same skew, that helps where cells are few.
    precision : {"fp32", "bf16"}
        ``"bf16"`` runs the networks under autocast; losses, gradients' sums and weights stay float32.
    accumulate : int
        Passes that a batch is cut into, where it is too large for the device: their gradients are added up
        before the step. Batch normalisation sees each pass by itself.
    clip_gradients : float, optional
        Largest norm of each network's gradient; the paper does not clip.
    sampling : {"plain", "balanced"}
        In phase 2, every cell once an epoch, as in the paper; or as many cells drawn at random, with
        repetition, all structures equally often.
    keep_checkpoints : int
        How many of a phase's checkpoints are kept, beside the best.
    checkpoint_minutes : float, optional
        Longest time between two checkpoints: long epochs are saved on the way.
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
    decoding_discriminator_every: int = Field(default=1, ge=1)
    structure_channel_weight: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    light_weights: Literal["none", "inverse", "dimmed"] = "none"
    mode_share: float = Field(default=0.0, ge=0, lt=1)
    mode_share_grows: bool = False
    decoded_at: Literal["predicted", "target"] = "predicted"
    class_weights: Literal["none", "inverse"] = "none"
    warm_start: bool = False
    latent_moments: Literal["batch", "running"] = "batch"
    mean_bias: bool = False
    warm_up: int = Field(default=0, ge=0)
    learning_rate_decay: Literal["none", "cosine"] = "none"
    augment_flips: bool = False
    precision: Literal["fp32", "bf16"] = "fp32"
    accumulate: int = Field(default=1, ge=1)
    clip_gradients: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    sampling: Sampling = "plain"
    keep_checkpoints: int = Field(default=2, ge=1)
    checkpoint_minutes: float | None = Field(default=30.0, gt=0, allow_inf_nan=False)
    picture_every: int = Field(default=5, ge=0)

    @field_validator("model", mode="before")
    @classmethod
    def _from_preset(cls, value: Any) -> Any:
        if isinstance(value, str):
            return model_preset(value)
        if isinstance(value, Mapping) and "preset" in value:
            fields = {name: field for name, field in value.items() if name != "preset"}
            return model_preset(value["preset"]).model_dump() | fields
        return value

    def in_phase(self, phase: str, field: str) -> Any:
        """A phase's own value of a field of `PhaseConfig`, or where it has none that of both phases."""
        own = getattr(getattr(self, phase), field)
        return getattr(self, field) if own is None else own


def presets() -> tuple[str, ...]:
    """Names of the presets that come with the package."""
    return tuple(sorted(path.stem for path in PRESET_FOLDER.glob("*.yaml")))


def preset(name: str) -> TrainingConfig:
    """A preset by name; ValueError lists the presets there are."""
    if name not in presets():
        raise ValueError(f"There is no training preset {name!r}; choose one of {', '.join(presets())}.")
    return read_config(PRESET_FOLDER / f"{name}.yaml")


def read_config(path: str | Path) -> TrainingConfig:
    """Read a configuration from a YAML file.

    Raises
    ------
    ValueError
        If the file cannot be read, is no YAML mapping, or a field is unknown or has a bad value; the
        sentence names the file and every such field.
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
    """A configuration from plain fields; one ValueError names every field that is wrong."""
    try:
        return TrainingConfig.model_validate(dict(fields))
    except ValidationError as error:
        wrong = [_in_words(problem) for problem in error.errors()]
        raise ValueError("The training configuration is wrong: " + "; ".join(wrong) + ".") from error


def write_config(config: TrainingConfig, path: str | Path) -> None:
    """Write the whole configuration, every default spelt out, as YAML that `read_config` gives back equal."""
    text = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    Path(path).write_text(text, encoding="utf-8")


def _in_words(problem: Any) -> str:
    field = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        return f"there is no field '{field}'"
    message = problem["msg"].removeprefix("Value error, ").rstrip(".")
    if problem["type"] == "missing":
        return f"the field '{field}' is missing"
    # Of fields that do not go together, all of them would be shown.
    given = "" if isinstance(problem["input"], Mapping) else f" is {problem['input']!r}"
    return f"'{field}'{given}: {message[:1].lower()}{message[1:]}"
