"""Read and write latent statistics and landmarks in a bundle: safetensors, JSON and PNG. Imports no torch."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from napari_integrated_cell.model.archive import Archive, read_json
from napari_integrated_cell.model.conditional_prior import CONDITIONAL_PRIOR
from napari_integrated_cell.model.config import ModelConfig, check_structures
from napari_integrated_cell.model.decoding_residuals import DECODING_RESIDUALS
from napari_integrated_cell.model.latent import Landmark, LatentDistribution, LatentStatistics
from napari_integrated_cell.model.novelty import NOVELTY
from napari_integrated_cell.model.typicality import TYPICALITY
from napari_integrated_cell.model.variation_reference import VARIATION
from napari_integrated_cell.vocabulary import STAGE_NAMES

STATISTICS = "latent/statistics.safetensors"
COUNTS = "latent/statistics.json"
LANDMARKS = "landmarks.json"
CELLS = "cells.parquet"  # embedded cells, written and read by napari_integrated_cell.latent.population

ARRAYS = tuple(f.name for f in fields(LatentDistribution) if f.name != "n")
LARGEST_THUMBNAIL = 1024  # pixels per side
_LARGEST = float(np.finfo(np.float32).max)


def thumbnail_names(stage: str) -> tuple[str, str]:
    """Return the file names of a landmark's reference image and of its decoded image."""
    return f"landmarks/thumbnails/{stage}.png", f"landmarks/thumbnails/{stage}-decoded.png"


OPTIONAL_FILES: tuple[str, ...] = (
    STATISTICS,
    COUNTS,
    LANDMARKS,
    CELLS,
    VARIATION,
    TYPICALITY,
    NOVELTY,
    CONDITIONAL_PRIOR,
    DECODING_RESIDUALS,
    *(name for stage in STAGE_NAMES for name in thumbnail_names(stage)),
)
"""Files that a bundle may contain. Bundles of older versions have none of them."""


def statistics_files(latent: LatentStatistics) -> Iterator[tuple[str, bytes]]:
    """Yield the file of means, covariances, axes and variances, and the file of cell counts."""
    spaces = {"z_ref": latent.z_ref} | {_space(name): d for name, d in latent.z_struct.items()}
    tensors = {f"{name}/{key}": getattr(d, key) for name, d in spaces.items() for key in ARRAYS}
    yield STATISTICS, save(tensors)
    counts = _Counts(z_ref=latent.z_ref.n, z_struct={name: d.n for name, d in latent.z_struct.items()})
    yield COUNTS, _json(counts.model_dump())


def landmark_files(landmarks: tuple[Landmark, ...]) -> Iterator[tuple[str, bytes]]:
    """Yield each landmark's pictures, and the list of landmarks in the order of the stages."""
    entries = []
    for landmark in landmarks:
        entry = {name: getattr(landmark, name) for name in _Entry.model_fields if name != "z_ref"}
        entries.append({**entry, "z_ref": [float(value) for value in landmark.z_ref]})
        pictures = (landmark.thumbnail, landmark.decoded_thumbnail)
        for name, picture in zip(thumbnail_names(landmark.stage), pictures, strict=True):
            if picture:
                yield name, picture
    yield LANDMARKS, _json({"landmarks": entries})


def read_statistics(archive: Archive, config: ModelConfig) -> LatentStatistics | None:
    """Return the statistics in an open bundle, or None if it has none.

    Raises
    ------
    ValueError
        If they are damaged or do not fit the model.
    """
    if not (archive.holds(STATISTICS) or archive.holds(COUNTS)):
        return None
    counts = read_json(archive, COUNTS, _Counts)
    check_structures(counts.z_struct, config, f"{COUNTS} of {archive.path}")
    sizes = {"z_ref": config.n_ref} | {_space(name): config.n_struct for name in counts.z_struct}
    limit = (1 << 20) + sum(4 * d * (2 * d + 2) for d in sizes.values())
    try:
        tensors = load(archive.read(STATISTICS, limit))
    except (SafetensorError, TypeError, KeyError) as error:
        raise ValueError(
            f"{STATISTICS} of {archive.path} is not a safetensors file ({error}): get the model again."
        ) from None
    where = f"{STATISTICS} of {archive.path}"
    return LatentStatistics(
        _distribution(tensors, "z_ref", counts.z_ref, config.n_ref, where),
        {
            name: _distribution(tensors, _space(name), counts.z_struct[name], config.n_struct, where)
            for name in config.structures
            if name in counts.z_struct
        },
    )


def read_landmarks(archive: Archive, config: ModelConfig) -> tuple[Landmark, ...]:
    """Return the landmarks in an open bundle, in the order of the stages; empty if it has none.

    Raises
    ------
    ValueError
        If they are damaged or do not fit the model.
    """
    if not archive.holds(LANDMARKS):
        return ()
    entries = {entry.stage: entry for entry in read_json(archive, LANDMARKS, _Entries).landmarks}
    where = f"{LANDMARKS} of {archive.path}"
    for entry in entries.values():
        if entry.stage not in STAGE_NAMES:
            raise ValueError(f"{where} has a landmark of the unknown stage {entry.stage!r}.")
        if len(entry.z_ref) != config.n_ref:
            raise ValueError(
                f"{where} does not fit the model: z_ref of {entry.stage} has {len(entry.z_ref)} numbers "
                f"instead of {config.n_ref}."
            )
    found = []
    for stage in filter(entries.__contains__, STAGE_NAMES):
        thumbnail, decoded = (_picture(archive, name) for name in thumbnail_names(stage))
        facts = entries[stage].model_dump() | {"z_ref": np.array(entries[stage].z_ref, np.float32)}
        found.append(Landmark(**facts, thumbnail=thumbnail, decoded_thumbnail=decoded))
    return tuple(found)


class _Counts(BaseModel):
    model_config = ConfigDict(extra="ignore")

    z_ref: int = Field(ge=0)
    z_struct: dict[str, int] = {}


class _Entry(BaseModel):
    model_config = ConfigDict(extra="ignore", allow_inf_nan=False)

    stage: str
    cell_id: str
    metric: str
    among: Literal["held-out", "all"]
    n_held_out: int = Field(ge=0)
    n_cells: int = Field(ge=0)
    z_ref: list[Annotated[float, Field(ge=-_LARGEST, le=_LARGEST)]]


class _Entries(BaseModel):
    landmarks: list[_Entry]


def _space(structure: str) -> str:
    return f"z_struct/{structure}"


def _json(content: Any) -> bytes:
    return (json.dumps(content, indent=2, allow_nan=False) + "\n").encode()


def _distribution(
    tensors: Mapping[str, NDArray[Any]], space: str, n: int, size: int, where: str
) -> LatentDistribution:
    shapes = dict.fromkeys(("mean", "variances"), (size,)) | dict.fromkeys(
        ("covariance", "axes"), (size, size)
    )
    arrays = {}
    for key in ARRAYS:
        array = tensors.get(f"{space}/{key}")
        if array is None or array.shape != shapes[key] or array.dtype.kind != "f":
            raise ValueError(
                f"{where} does not fit the model: {space}/{key} is not {shapes[key]} floating-point numbers."
            )
        if not np.isfinite(array).all():
            raise ValueError(f"{where} cannot be used: {space}/{key} holds NaN or infinite values.")
        arrays[key] = array.astype(np.float32, copy=False)
    return LatentDistribution(n, **arrays)


def _picture(archive: Archive, name: str) -> bytes:
    """Return a picture's bytes after checking that it is a small PNG; empty if there is no such file."""
    if not archive.holds(name):
        return b""
    content = archive.read(name, limit=1 << 21)
    if len(content) < 24 or content[:8] != b"\x89PNG\r\n\x1a\n" or content[12:16] != b"IHDR":
        raise ValueError(f"{name} of {archive.path} is not a PNG picture: get the model again.")
    if max(struct.unpack(">II", content[16:24])) > LARGEST_THUMBNAIL:
        raise ValueError(f"{name} of {archive.path} is larger than {LARGEST_THUMBNAIL} pixels a side.")
    return content
