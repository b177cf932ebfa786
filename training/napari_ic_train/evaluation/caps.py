"""Maximum numbers of cells of the experiments that take long, as options."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caps:
    """Maximum numbers of cells in single experiments.

    Attributes
    ----------
    variation : int
        Cells of each side and each group in ``structure-variation`` (Figures S7 and S8).
    correlations : int
        Cells of each structure and each side in ``pairwise-correlations`` (Figure S6).
    inception : int
        Training cells in ``inception`` (Table S10), in all structures together.
    """

    variation: int = 6
    correlations: int = 60
    inception: int = 1100

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if value < 1:
                raise ValueError(f"The maximum number of cells for {name} is {value}: give 1 or more.")
