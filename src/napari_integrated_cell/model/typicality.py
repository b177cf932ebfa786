"""How typical a cell is among the cells that a model was fitted on. Importing this module imports no torch.

A model predicts something for every cell, also for one that is unlike all it has learnt from. Three things tell such a
cell: its z^r lies far from the others' (Mahalanobis distance), Dec^r(Enc^r(x^r)) does not give back its outline, and a
measure of its shape is outside the known range. Each is compared with its distribution among known cells, held out if
possible.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Any

import numpy as np
from numpy.typing import ArrayLike
from pydantic import BaseModel, ConfigDict, Field

from napari_integrated_cell.arrays import Doubles
from napari_integrated_cell.model.archive import Archive, read_json
from napari_integrated_cell.model.latent import LatentDistribution

TYPICALITY = "typicality.json"
"""The bundle's file with the distributions of known cells. Bundles of older versions have none."""

DISTANCE, CELL_OVERLAP, NUCLEUS_OVERLAP = "distance", "cell_overlap", "nucleus_overlap"
OVERLAPS = (CELL_OVERLAP, NUCLEUS_OVERLAP)

SHAPE_WORDS: Mapping[str, tuple[str, str, str]] = MappingProxyType(
    {
        "height": ("taller", "flatter", "µm"),
        "cell_volume": ("larger", "smaller", "µm³"),
        "length": ("longer", "shorter", "µm"),
        "width": ("wider", "narrower", "µm"),
        "elongation": ("more elongated", "rounder", ""),
        "nucleus_volume": ("a larger nucleus", "a smaller nucleus", "µm³"),
    }
)
"""For each measure of shape: what a cell with a large and with a small value is, and the unit."""

UNTYPICAL = 95.0
"""Above this percentile of the distance a cell is called untypical; one known cell in twenty is."""
POOR = 1.0
"""Below this percentile of an overlap a cell is called untypical too."""
_RARE = 2.5  # a measure is unusual below this percentile, and above 100 minus it
_SHRINKAGE = 0.7
QUANTILES = 201


@dataclass(frozen=True)
class Typicality:
    """Where a cell lies among the cells that the model knows.

    Attributes
    ----------
    percentile : float
        Percentage of the known cells whose z^r lies nearer to their mean.
    distance : float
        Squared Mahalanobis distance of z^r from that mean, divided by the number of dimensions: about 1 for a known
        cell.
    cell_overlap, nucleus_overlap : float
        Intersection over union of the cell in x^r and in Dec^r(Enc^r(x^r)), and of the nucleus: 1 if they agree.
    cell_overlap_percentile, nucleus_overlap_percentile : float
        Percentage of the known cells that agree less.
    measure : str
        The most unusual measure of shape, a key of :data:`SHAPE_WORDS`; empty if none was measured.
    value : float
        Its value, in µm or µm³.
    measure_percentile : float
        Percentage of the known cells with a smaller value.
    """

    percentile: float
    distance: float
    cell_overlap: float
    nucleus_overlap: float
    cell_overlap_percentile: float
    nucleus_overlap_percentile: float
    measure: str
    value: float
    measure_percentile: float

    @property
    def is_typical(self) -> bool:
        """Whether the model knows cells like this one."""
        return self.percentile <= UNTYPICAL and min(self.overlap_percentiles) >= POOR

    @property
    def overlap_percentiles(self) -> tuple[float, float]:
        """Percentages of the known cells whose cell, and whose nucleus, agree less."""
        return self.cell_overlap_percentile, self.nucleus_overlap_percentile

    @property
    def sentence(self) -> str:
        """One sentence for people: whether the model knows cells like this one, and what is most unusual."""
        unusual = self._unusual()
        if self.is_typical:
            but = f", though it {unusual}" if unusual else ""
            return f"The model knows cells like this one (percentile {self.percentile:.0f} of 100){but}."
        reasons = [f"it {unusual}"] if unusual else []
        if self.percentile > UNTYPICAL:
            reasons.append(f"its shape is farther from the mean than that of {_share(self.percentile)}")
        for name, percentile in zip(("outline", "nucleus"), self.overlap_percentiles, strict=True):
            if percentile < POOR:
                reasons.append(
                    f"the model reproduces its {name} worse than that of {_share(100 - percentile)}"
                )
        return f"This cell is unlike the cells that the model knows: {' and '.join(reasons[:2])}."

    def _unusual(self) -> str:
        """Return a predicate on the most unusual measure; empty if it is not unusual."""
        if not self.measure or _RARE <= self.measure_percentile <= 100 - _RARE:
            return ""
        large, small, unit = SHAPE_WORDS[self.measure]
        is_large = self.measure_percentile > 50
        than = _share(self.measure_percentile if is_large else 100 - self.measure_percentile)
        word = large if is_large else small
        verb = "has" if word.endswith("nucleus") else "is"
        value = f"{self.value:,.0f}" if self.value >= 100 else f"{self.value:.3g}"
        return f"{verb} {word} than {than} ({value}{' ' + unit if unit else ''})"

    def to_dict(self) -> dict[str, Any]:
        """Return all values and the sentence, for JSON; None stands for what is not known."""
        rounded = {name: v if isinstance(v, str) else round(v, 4) for name, v in vars(self).items()}
        known = {name: None if v != v else v for name, v in rounded.items()}
        return {**known, "typical": self.is_typical, "sentence": self.sentence}


def _share(percentage: float) -> str:
    return "all of them" if percentage >= 99.95 else f"{min(percentage, 99.9):.3g} % of them"


@dataclass(frozen=True, eq=False)
class TypicalityReference:
    """Distributions of what typicality is measured by, among known cells.

    Attributes
    ----------
    n : int
        Number of cells.
    held_out : bool
        Whether these cells were not trained on.
    quantiles : mapping of str to array (201,)
        Quantiles at equal steps from the smallest to the largest value, for :data:`DISTANCE`, the overlaps and the
        measures of shape.
    """

    n: int
    held_out: bool
    quantiles: Mapping[str, Doubles]

    @classmethod
    def of_cells(cls, measured: Mapping[str, ArrayLike], *, held_out: bool) -> TypicalityReference:
        """Return the distributions of cells, from one array (n,) for each measure. Not finite values are left out."""
        arrays = {name: np.asarray(values, np.float64) for name, values in measured.items()}
        steps = np.linspace(0, 1, QUANTILES)
        found = {
            name: np.quantile(values[np.isfinite(values)], steps)
            for name, values in arrays.items()
            if np.isfinite(values).any()
        }
        return cls(max(map(len, arrays.values())), held_out, found)

    def percentile(self, name: str, value: float) -> float:
        """Return the percentage of known cells with a smaller value, 0 to 100; NaN if it is not known."""
        known = self.quantiles.get(name)
        if known is None or not np.isfinite(value):
            return float("nan")
        at = np.linspace(0, 100, len(known))
        # Among equal quantiles, as of counted voxels, the middle one counts.
        below, above = np.searchsorted(known, value, "left"), np.searchsorted(known, value, "right")
        if above > below + 1:
            return float(at[below] + at[above - 1]) / 2
        return float(np.interp(value, known, at))

    def typicality(
        self, distance: float, overlaps: tuple[float, float], shape: Mapping[str, float]
    ) -> Typicality:
        """Return where a cell lies, from its distance, the overlaps of cell and nucleus, and measures of its shape."""
        places = {m: self.percentile(m, shape[m]) for m in SHAPE_WORDS if m in shape and m in self.quantiles}
        places = {m: percentile for m, percentile in places.items() if np.isfinite(percentile)}
        most = max(places, key=lambda m: abs(places[m] - 50), default="")
        cell, nucleus = (self.percentile(n, v) for n, v in zip(OVERLAPS, overlaps, strict=True))
        return Typicality(
            self.percentile(DISTANCE, distance),
            distance,
            *overlaps,
            cell,
            nucleus,
            most,
            float(shape[most]) if most else float("nan"),
            places.get(most, float("nan")),
        )

    def to_json(self) -> bytes:
        """Return the content of the file :data:`TYPICALITY`."""
        quantiles = {name: [float(f"{v:.6g}") for v in values] for name, values in self.quantiles.items()}
        content = {"n": self.n, "held_out": self.held_out, "quantiles": quantiles}
        return (json.dumps(content, allow_nan=False) + "\n").encode()


def mahalanobis(z_ref: ArrayLike, known: LatentDistribution) -> Doubles:
    """Return the squared Mahalanobis distance of codes (N, d) from known cells, divided by d, (N,).

    The covariance is drawn towards a multiple of the identity by seven tenths, so that a direction in which the known
    cells hardly vary does not decide alone.
    """
    covariance = np.asarray(known.covariance, np.float64)
    d = len(covariance)
    scale = np.trace(covariance) / d
    regular = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * scale * np.eye(d)
    offsets = np.atleast_2d(np.asarray(z_ref, np.float64)) - known.mean
    return np.einsum("nd,dn->n", offsets, np.linalg.solve(regular, offsets.T)) / d


def read_typicality(archive: Archive) -> TypicalityReference | None:
    """Return the distributions in an open bundle, or None if it has none.

    Raises
    ------
    ValueError
        If they are damaged.
    """
    if not archive.holds(TYPICALITY):
        return None
    where = f"{TYPICALITY} of {archive.path}"
    file = read_json(archive, TYPICALITY, _File)
    quantiles = {name: np.array(values) for name, values in file.quantiles.items()}
    for name, values in quantiles.items():
        if (np.diff(values) < 0).any():
            raise ValueError(
                f"{where} is not valid: the quantiles of {name!r} decrease. Get the model again."
            )
    missing = {DISTANCE, *OVERLAPS} - quantiles.keys()
    if missing:
        raise ValueError(f"{where} is not valid: {min(missing)!r} is missing. Get the model again.")
    return TypicalityReference(file.n, file.held_out, quantiles)


class _File(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    n: Annotated[int, Field(ge=2)]
    held_out: bool
    quantiles: dict[str, Annotated[list[float], Field(min_length=2, max_length=10_000)]]
