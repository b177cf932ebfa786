"""Reference scores of how much each structure varies in many cells, in interphase and in mitosis.

Importing this module imports no torch.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.model.archive import Archive, read_json
from napari_integrated_cell.model.conditional_prior import PRIOR, DrawFrom
from napari_integrated_cell.model.config import ModelConfig, check_structures
from napari_integrated_cell.vocabulary import STAGE_NAMES

VARIATION = "variation.json"
"""The bundle's file with the reference scores. Bundles of older versions have none."""

GROUPS = ("interphase", "mitosis")

ComparedIn = Literal["cell", "box"]

_WORDS: Mapping[str, str] = {
    "prior": "the prior N(0, I)",
    "conditional": "p(z^s | z^r, y)",
    "observed": "p(z^s | z^r, y) and what decoding leaves out",
}


def group_of(stage: str) -> str:
    """Return ``"interphase"`` or ``"mitosis"``, the group of a stage."""
    return GROUPS[0] if stage == STAGE_NAMES[0] else GROUPS[1]


@dataclass(frozen=True, eq=False)
class VariationReference:
    """Scores of Algorithm 4 in cells outside the training data, by structure and group.

    Attributes
    ----------
    n : int
        Number of draws of each structure in each cell. Only scores from the same number of draws can be compared.
    seed : int
        Random seed of the draws.
    ridge : float
        Number that was added to the diagonal of ρ.
    compared_in : {"cell", "box"}
        Where draws were compared: inside the cell, or in the model's whole box.
    cells : mapping of str to tuple of str
        The cells' ids by group, ``"interphase"`` and ``"mitosis"``. Groups without cells are left out.
    scores : mapping of str to mapping of str to array of float64
        Scores by structure and group, one per cell in the order of ``cells``.
    draw_from : {"prior", "conditional", "observed"}
        Where the draws are from; in all files of older versions the prior.
    """

    n: int
    seed: int
    ridge: float
    compared_in: ComparedIn
    cells: Mapping[str, tuple[str, ...]]
    scores: Mapping[str, Mapping[str, Doubles]]
    draw_from: DrawFrom = PRIOR

    def __post_init__(self) -> None:
        for structure, groups in self.scores.items():
            for group, scores in groups.items():
                if len(scores) != len(self.cells.get(group, ())) or not np.isfinite(scores).all():
                    raise ValueError(
                        f"The reference scores of {structure} in {group} are not one finite number for each of "
                        f"its {len(self.cells.get(group, ()))} cells."
                    )
        # Store checked values. In a frozen dataclass, object.__setattr__ is the documented way to do that.
        object.__setattr__(self, "cells", MappingProxyType(dict(self.cells)))
        object.__setattr__(self, "scores", MappingProxyType(dict(self.scores)))

    def why_not_comparable(
        self, n: int, ridge: float, compared_in: ComparedIn = "cell", draw_from: DrawFrom = PRIOR
    ) -> str:
        """Return why a score cannot be compared with these, in a sentence, or an empty string if it can.

        Parameters
        ----------
        n : int
            Draws of the score.
        ridge : float
            Ridge of the score.
        compared_in : {"cell", "box"}
            Where its draws were compared.
        draw_from : {"prior", "conditional", "observed"}
            Where its draws are from.
        """
        if n != self.n:
            return (
                f"The model's reference scores are from {self.n} draws, this score is from {n} draws: take {self.n} "
                "draws to compare them."
            )
        if ridge != self.ridge:
            return (
                f"The model's reference scores have a ridge of {self.ridge:g}, this score has {ridge:g}: use the "
                "same ridge to compare them."
            )
        if compared_in != self.compared_in:
            return (
                f"The model's reference scores compare draws in the {self.compared_in}, this score in the "
                f"{compared_in}: use the same region to compare them."
            )
        if draw_from != self.draw_from:
            return (
                f"The model's reference scores are of draws from {_WORDS[self.draw_from]}, this score from "
                f"{_WORDS[draw_from]}: draw from the same to compare them."
            )
        return ""

    def to_json(self) -> bytes:
        """Return the content of the file :data:`VARIATION`."""
        content = {
            "n": self.n,
            "seed": self.seed,
            "ridge": self.ridge,
            "compared_in": self.compared_in,
            "draw_from": self.draw_from,
            "cells": {group: list(ids) for group, ids in self.cells.items()},
            "scores": {
                structure: {group: [round(float(s), 6) for s in scores] for group, scores in groups.items()}
                for structure, groups in self.scores.items()
            },
        }
        return (json.dumps(content, indent=1, allow_nan=False) + "\n").encode()


def read_variation(archive: Archive, config: ModelConfig) -> VariationReference | None:
    """Return the reference scores in an open bundle, or None if it has none.

    Raises
    ------
    ValueError
        If they are damaged or do not fit the model.
    """
    if not archive.holds(VARIATION):
        return None
    where = f"{VARIATION} of {archive.path}"
    file = read_json(archive, VARIATION, _File)
    check_structures(file.scores, config, where)
    try:
        return VariationReference(
            file.n,
            file.seed,
            file.ridge,
            file.compared_in,
            {group: tuple(file.cells[group]) for group in GROUPS if group in file.cells},
            {
                name: {
                    group: np.array(file.scores[name][group])
                    for group in GROUPS
                    if group in file.scores[name]
                }
                for name in config.structures
                if name in file.scores
            },
            file.draw_from,
        )
    except ValueError as error:
        raise ValueError(f"{where} cannot be used: {error}") from None


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    n: Annotated[int, Field(ge=2)]
    seed: Annotated[int, Field(ge=0)]
    ridge: Annotated[float, Field(ge=0)]
    compared_in: ComparedIn
    draw_from: DrawFrom = PRIOR
    cells: dict[str, list[str]]
    scores: dict[str, dict[str, list[float]]]
