"""Cells in a model's latent spaces: an embedding with a table of what is known of each cell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Population:
    """Embedded cells.

    Attributes
    ----------
    z_ref : array of float32, (N, n_ref)
        z^r = Enc^r(x^r) (equation 1).
    z_struct : array of float32, (N, n_struct), or None
        z^s of Enc^{r,s} (equation 7), NaN for cells without a structure channel; None where none has one.
    table : pandas.DataFrame
        A row per cell: ``cell_id``, and where known ``stage``, ``structure``, ``split`` and any others.
    name : str
        Where the cells come from, as the user reads it.
    """

    z_ref: Floats
    z_struct: Floats | None
    table: pd.DataFrame
    name: str = ""

    def __len__(self) -> int:
        return len(self.z_ref)
