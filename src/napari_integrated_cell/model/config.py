"""Configuration of a model: its box, its channels and the widths of its eight networks. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PositiveInt, ValidationError, model_validator

from napari_integrated_cell.vocabulary import REFERENCE_NAMES, STRUCTURE_NAMES

Shape = tuple[int, int, int]
Widths = tuple[PositiveInt, ...]


def without_deleted_fields(fields: Any, deleted: Mapping[str, Any]) -> Any:
    """Return configuration fields without those that version 0.1 had and later versions do not.

    Parameters
    ----------
    fields : mapping of str to object, or any other object, which is returned unchanged
    deleted : mapping of str to object
        The deleted fields and the values that version 0.1 wrote for them by default.

    Raises
    ------
    ValueError
        If a deleted field has another value.
    """
    if not isinstance(fields, Mapping):
        return fields
    for name, default in deleted.items():
        if fields.get(name, default) != default:
            raise ValueError(
                f"version 0.1 had the option '{name}: {fields[name]}' and later versions do not: use version 0.1 for it"
            )
    return {name: value for name, value in fields.items() if name not in deleted}


class ModelConfig(BaseModel):
    r"""Architecture of an integrated cell. The defaults are those of the paper's text and Tables S1-S8.

    A level halves the grid: a convolution of kernel 4, stride 2 and padding 1 turns n voxels into floor(n / 2).
    Widths are listed in the order of computation.

    Parameters
    ----------
    name : str
        Name of the configuration.
    box : tuple of int
        Grid (Z, Y, X) of every image of the model. The cell's long axis lies along X (section 3.1).
    voxel_size : float
        Edge of the cubic voxels in µm (section 3.1).
    references, structures : tuple of str
        Names of the reference channels r and of the K labelled structures, in the order of the channels and of the
        one-hot label y.
    n_ref, n_struct : int
        \|Z^r\| and \|Z^s\| (section 3.2).
    enc_ref_widths, enc_cond_widths : tuple of int
        Channels after each down-block of Enc^r (Table S1) and Enc^{r,s} (Table S5).
    dec_widths : tuple of int
        Channels on the smallest grid ("1024 FC") and after each up-block but the last of Dec^r and Dec^{r,s}
        (Tables S2, S6). The last up-block has the image's channels, so the decoder has one level per width.
    latent_norm : bool
        Whether Enc^r ends in a batch normalisation without parameters. Every dimension of z^r then has the prior's
        mean and variance from the first step, and EncD^r only has to match the joint distribution. Not in the tables.
    struct_norm : bool
        Whether z^s is transformed to the prior's mean and covariance among the cells of each structure: see
        :class:`~.standardising.WhitenedByStructure`. Not in the tables.
    label_scale : float
        Factor on the one-hot label y before it enters Dec^{r,s}. With 1, as in the tables, each label input has a
        standard deviation of 0.3 beside \|Z^r\| inputs with 1, and the decoder ignores it for thousands of steps.
    enc_d_norm : bool
        Whether EncD has batch normalisation (Tables S3, S7: yes). EncD gets drawn and observed codes in separate
        batches, which the normalisation brings to one mean and variance. In short training, a posterior several
        times wider than the prior is then not penalised.
    enc_d_widths : tuple of int
        Units of the hidden layers of EncD^r and EncD^s (Tables S3, S7).
    dec_d_widths : tuple of int
        Channels after each down-block of DecD^r and DecD^{r,s} (Tables S4, S8).
    dec_d_head : {"conv", "linear"}
        Last layer of DecD: one more strided convolution whose remaining positions are averaged (the tables), or a
        linear layer on all remaining features (the published code).
    dec_d_ref_first_norm, dec_d_cond_first_norm : bool
        Whether the first block of DecD^r and of DecD^{r,s} has batch normalisation (Table S4: no; S8: yes).
    dec_d_noise : float
        Standard deviation of the white noise on DecD's input in training (section 3.2).

    Raises
    ------
    ValueError
        If the box is too small for the levels, or a name is repeated or clashes with another.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = "custom"
    box: tuple[PositiveInt, PositiveInt, PositiveInt] = (64, 96, 128)
    voxel_size: float = Field(default=0.317, gt=0, allow_inf_nan=False)
    references: tuple[str, ...] = REFERENCE_NAMES
    structures: tuple[str, ...] = STRUCTURE_NAMES
    n_ref: PositiveInt = 128
    n_struct: PositiveInt = 128
    enc_ref_widths: Widths = (64, 128, 256, 512, 1024)
    enc_cond_widths: Widths = (64, 128, 256, 512, 1024, 1024)
    dec_widths: Widths = (1024, 1024, 512, 256, 128, 64)
    enc_d_widths: Widths = (1024, 1024, 512)
    latent_norm: bool = False
    struct_norm: bool = False
    label_scale: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    enc_d_norm: bool = True
    dec_d_widths: Widths = (64, 128, 256, 512, 512)
    dec_d_head: Literal["conv", "linear"] = "conv"
    dec_d_ref_first_norm: bool = False
    dec_d_cond_first_norm: bool = True
    dec_d_noise: float = Field(default=0.01, ge=0, allow_inf_nan=False)

    @property
    def n_references(self) -> int:
        """Number of reference channels, R."""
        return len(self.references)

    @property
    def n_structures(self) -> int:
        """Number of structures, K."""
        return len(self.structures)

    def grids(self, levels: int) -> tuple[Shape, ...]:
        """Return the box and its grid (Z, Y, X) after each of ``levels`` halvings, rounded down."""
        z, y, x = self.box
        return tuple((z >> level, y >> level, x >> level) for level in range(levels + 1))

    @model_validator(mode="before")
    @classmethod
    def _open_version_0_1(cls, fields: Any) -> Any:
        return without_deleted_fields(fields, {"struct_given_ref": False})

    @model_validator(mode="after")
    def _check_names(self) -> Self:
        for field in ("references", "structures"):
            names = getattr(self, field)
            if not names or not all(name.strip() for name in names):
                raise ValueError(f"{field} must hold at least one name, and no empty one.")
            if len(set(names)) != len(names):
                raise ValueError(f"{field} names something twice ({', '.join(names)}): name each once.")
        both = set(self.references) & set(self.structures)
        if both:
            raise ValueError(
                f"structures repeats the reference channel {sorted(both)[0]!r}: give it another name."
            )
        return self

    @model_validator(mode="after")
    def _check_levels(self) -> Self:
        for field in ("enc_ref_widths", "enc_cond_widths", "dec_widths", "enc_d_widths", "dec_d_widths"):
            widths = getattr(self, field)
            if not widths:
                raise ValueError(f"{field} must list at least one width.")
            levels = len(widths) + (field == "dec_d_widths" and self.dec_d_head == "conv")
            if field != "enc_d_widths" and min(self.box) >> levels < 1:
                raise ValueError(
                    f"box {self.box} is too small for the {levels} levels of {field}: each halves the grid, "
                    f"so give a box of at least {2**levels} voxels in every axis or list fewer widths."
                )
        return self


PRESETS: dict[str, ModelConfig] = {
    # Tables S1-S8.
    "paper": ModelConfig(name="paper"),
    # The published code: six blocks in both phases and a linear last layer of DecD.
    "paper-code": ModelConfig(
        name="paper-code",
        enc_ref_widths=(64, 128, 256, 512, 1024, 1024),
        dec_d_widths=(64, 128, 256, 512, 1024, 1024),
        dec_d_head="linear",
        dec_d_cond_first_norm=False,
    ),
    # The bundled model: voxels of twice the edge, and a box of 15.2 instead of 20.3 µm along Z.
    "demo": ModelConfig(
        name="demo",
        box=(24, 48, 64),
        voxel_size=0.634,
        n_struct=16,
        enc_ref_widths=(16, 48, 96, 192),
        enc_cond_widths=(16, 48, 96, 192),
        dec_widths=(192, 96, 48, 16),
        latent_norm=True,
        struct_norm=True,
        label_scale=16.0,
        enc_d_widths=(256, 256, 128),
        enc_d_norm=False,
        dec_d_widths=(8, 16, 32, 64),
        dec_d_head="linear",
    ),
    # For tests: a training step takes milliseconds.
    "tiny": ModelConfig(
        name="tiny",
        box=(16, 24, 32),
        voxel_size=1.268,
        n_ref=8,
        n_struct=4,
        enc_ref_widths=(4, 8, 16),
        enc_cond_widths=(4, 8, 16),
        dec_widths=(16, 8, 4),
        enc_d_widths=(16, 16, 8),
        dec_d_widths=(4, 8, 16),
        dec_d_head="linear",
    ),
    # The public WTC-11 cells on one consumer GPU: half the paper's resolution, in its whole box.
    "wtc11": ModelConfig(
        name="wtc11",
        box=(32, 48, 64),
        voxel_size=0.634,
        n_struct=32,
        enc_ref_widths=(32, 96, 192, 384),
        enc_cond_widths=(32, 96, 192, 384),
        dec_widths=(384, 192, 96, 32),
        latent_norm=True,
        struct_norm=True,
        label_scale=16.0,
        enc_d_widths=(512, 512, 256),
        enc_d_norm=False,
        dec_d_widths=(16, 32, 64, 128),
        dec_d_head="linear",
    ),
}


def preset(name: str) -> ModelConfig:
    """Return the configuration called ``"paper"``, ``"paper-code"``, ``"demo"``, ``"tiny"`` or
    ``"wtc11"``.

    Raises
    ------
    ValueError
        If there is no such preset. The message lists the presets.
    """
    if name not in PRESETS:
        raise ValueError(f"No preset is called {name!r}; there are {', '.join(PRESETS)}.")
    return PRESETS[name]


def check_structures(names: Iterable[str], config: ModelConfig, where: str) -> None:
    """Raise a ValueError if the file ``where`` names a structure that the model does not have."""
    foreign = set(names) - set(config.structures)
    if foreign:
        raise ValueError(
            f"{where} names {min(foreign)!r}, which the model does not have: get the model again."
        )


def one_sentence(error: ValidationError) -> str:
    """Return pydantic's errors in one line: ``"box.0: Input should be greater than 0; ..."``."""
    found = []
    for entry in error.errors():
        where = ".".join(str(part) for part in entry["loc"])
        found.append(f"{where}: {entry['msg']}" if where else entry["msg"].removeprefix("Value error, "))
    return "; ".join(found)
