"""List the installed models and read their cards. Importing this module imports no torch."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from platformdirs import user_data_path
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from napari_integrated_cell.model.archive import MANIFEST, Archive, open_archive
from napari_integrated_cell.model.config import ModelConfig, one_sentence

FORMAT_VERSION = 1
MODEL_CARD = "MODEL_CARD.md"
PACKAGED_MODELS = Path(__file__).resolve().parents[1] / "models"


class Card(BaseModel):
    """What is known about a model. Further fields are allowed.

    Parameters
    ----------
    simulated : bool
        Whether the model was trained on simulated cells.
    licence : str
        Licence of the weights, e.g. ``"BSD-3-Clause"``.
    provenance, metrics, preprocessing : dict
        Training data and procedure; results; preparation of the images.
    stages : tuple of str
        Mitotic stages among the training cells.
    """

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    simulated: bool = False
    licence: str = ""
    provenance: dict[str, JsonValue] = {}
    metrics: dict[str, JsonValue] = {}
    preprocessing: dict[str, JsonValue] = {}
    stages: tuple[str, ...] = ()


class Manifest(BaseModel):
    """Content of ``model.json``: the architecture (box, voxel size, structures in order) and the card."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: Literal[1] = 1
    name: str
    config: ModelConfig
    card: Card


def checked_card(card: dict[str, Any], config: ModelConfig) -> Card:
    """Return ``card`` as a :class:`Card`. If it names ``structures``, they must be the model's.

    Raises
    ------
    ValueError
        If a field has the wrong type, or the structures are not the model's in order.
    """
    fields = dict(card)
    structures = fields.pop("structures", config.structures)
    if tuple(structures) != config.structures:
        raise ValueError(
            f"The card lists the structures {', '.join(structures)} but the model has "
            f"{', '.join(config.structures)}: leave them out of the card."
        )
    try:
        return Card.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"The model's card is not valid: {one_sentence(error)}.") from None


def models_folder() -> Path:
    """Return the folder of the user's own models, each a folder or a .zip."""
    return user_data_path("napari-integrated-cell", appauthor=False) / "models"


def list_models() -> list[tuple[str, Path]]:
    """Return names and paths of the packaged models, ``"demo"`` first, and of those in :func:`models_folder`."""
    found: dict[str, Path] = {}
    for folder in (PACKAGED_MODELS, models_folder()):
        for path in sorted(folder.iterdir()) if folder.is_dir() else []:
            if path.name.startswith("."):
                continue
            if (path / MANIFEST).is_file() or path.suffix.lower() == ".zip":
                found.setdefault(path.stem if path.suffix.lower() == ".zip" else path.name, path)
    return list(found.items())


def locate(model: str | Path) -> Path:
    """Return the path of a model from :func:`list_models`, or of a bundle at a path.

    Raises
    ------
    ValueError
        If there is no such model. The message lists the known names.
    """
    known = dict(list_models())
    if isinstance(model, str) and model in known:
        return known[model]
    path = Path(model).expanduser()
    if path.exists():
        return path
    if model == "demo":
        raise ValueError("The demo model is not part of this installation: train it with `make demo-model`.")
    names = ", ".join(known) or "none installed"
    raise ValueError(
        f"There is no model {str(model)!r}: give a name ({names}) or the path of a bundle's folder or .zip."
    )


def read_manifest(model: str | Path) -> Manifest:
    """Read a model's configuration and card, without its weights.

    Raises
    ------
    ValueError
        If there is no such model, or it is damaged, not a model, or of a newer version.
    """
    with open_archive(locate(model)) as archive:
        return manifest_of(archive)


def read_model_card(model: str | Path) -> str:
    """Read a model's ``MODEL_CARD.md``.

    Raises
    ------
    ValueError
        If there is no such model, or it is damaged.
    """
    with open_archive(locate(model)) as archive:
        return archive.read(MODEL_CARD).decode("utf-8", errors="replace")


def manifest_of(archive: Archive) -> Manifest:
    """Return the checked ``model.json`` of an open bundle; see :func:`read_manifest`."""
    content = archive.unverified(MANIFEST)
    try:
        fields = json.loads(content)
    except ValueError:
        raise ValueError(
            f"{MANIFEST} of {archive.path} is damaged (no valid JSON): get the model again."
        ) from None
    version = fields.get("format_version") if isinstance(fields, dict) else None
    if not isinstance(version, int):
        raise ValueError(f"{archive.path} is not an integrated-cell model: {MANIFEST} has no format_version.")
    if version > FORMAT_VERSION:
        raise ValueError(
            f"{archive.path} has format version {version} but this napari-integrated-cell reads up to "
            f"{FORMAT_VERSION}: update it."
        )
    archive.verify(MANIFEST, content)
    try:
        return Manifest.model_validate(fields)
    except ValidationError as error:
        raise ValueError(f"{MANIFEST} of {archive.path} is not valid: {one_sentence(error)}.") from None
