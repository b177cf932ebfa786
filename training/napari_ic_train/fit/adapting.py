"""Adapt a bundle's networks to a store of few cells: united classes, first weights, and the recipe."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.config import AdaptedFrom, TrainingConfig
from napari_ic_train.data.store import CellStore
from napari_integrated_cell.model.bundle import load_model
from napari_integrated_cell.model.catalogue import list_models
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.fingerprint import fingerprint
from napari_integrated_cell.model.integrated_cell import IntegratedCell

FEWEST_CELLS = 8
"""Training cells below this number cannot both teach a model and choose its epochs."""
CELLS_PER_EPOCH = 480
"""Deformed copies in an epoch, whatever the number of cells, so that adapting fifty or two hundred takes as long."""

RECIPE: dict[str, Any] = {
    "reference": {"epochs": 8, "gamma_enc": 1e-3, "augment_flips": True},
    "conditional": {"epochs": 16, "gamma_enc": 0.33, "reconstruction_weight": 1e4, "augment_flips": True},
    "batch_size": 16,
    "learning_rate": 1e-3,
    "encoding_discriminator_learning_rate": 1e-3,
    "learning_rate_decay": "cosine",
    "warm_up": 30,
    "decoding_discriminator_every": 30,
    "structure_channel_weight": 30,
    "light_weights": "inverse",
    "sampling": "balanced",
    "mode_share": 0.75,
    "decoded_at": "target",
    "latent_moments": "running",
    "precision": "bf16",
    "choosing_share": 0.2,
    "picture_every": 0,
}
"""Fields of the configuration of an adaptation that differ from their defaults; docs/notes/own-cells.md has figures."""

State = dict[str, Tensor]


def adapting_config(bundle: str | Path, store: CellStore) -> TrainingConfig:
    """Return the configuration that adapts a bundle to the training cells of a store.

    The model keeps the bundle's classes, in their order, and gets the store's other structures after them.

    Parameters
    ----------
    bundle : str or path-like
        Name or path of the bundle.
    store : CellStore
        The training split of a store.

    Raises
    ------
    ValueError
        If the bundle is damaged, the store has another box, voxel size or other channels than the bundle, or the
        store has fewer than `FEWEST_CELLS` training cells.
    """
    model = load_model(bundle, device="cpu", exact=True)
    check_store(model.config, store)
    united = (*model.config.structures, *(n for n in store.structures if n not in model.config.structures))
    return TrainingConfig(
        model=ModelConfig.model_validate(model.config.model_dump() | {"structures": united}),
        adapted_from=AdaptedFrom(
            bundle=_place(bundle),
            name=model.name,
            fingerprint=fingerprint(model),
            simulated=bool(model.card.get("simulated", False)),
            structures=model.config.structures,
            nearest=nearest_structures(model, store),
        ),
        deformed_copies=max(1, round(CELLS_PER_EPOCH / len(store))),
        **RECIPE,
    )


def check_store(model: ModelConfig, store: CellStore) -> None:
    """Raise a ValueError if a model cannot be adapted to the cells of a store."""
    if store.box != model.box or not np.isclose(store.voxel_size, model.voxel_size):
        raise ValueError(
            f"The cells of {store.path} are {store.box} voxels of {store.voxel_size:g} µm, but those of the bundle are "
            f"{model.box} voxels of {model.voxel_size:g} µm: prepare the store with --model BUNDLE."
        )
    if store.channels[:-1] != model.references:
        raise ValueError(
            f"The cells of {store.path} have the channels {', '.join(store.channels[:-1])}, but the bundle takes "
            f"{', '.join(model.references)}: prepare another store."
        )
    if len(store) < FEWEST_CELLS:
        raise ValueError(
            f"{store.path} has {len(store)} training cells, and adapting a model needs {FEWEST_CELLS} or "
            "more: add cells."
        )


def nearest_structures(model: IntegratedCell, store: CellStore) -> dict[str, str]:
    """Return for each structure of the store that the model lacks the known one that its cells look most like.

    That is the structure with the largest mean probability ŷ (equation 7) over the cells.
    """
    known, nearest = model.config.structures, {}
    for name in store.structures:
        mine = np.flatnonzero((store.table["structure"] == name).to_numpy())
        if name not in known and len(mine):
            nearest[name] = known[int(model.classify(store.images(mine)).mean(0).argmax())]
        elif name not in known:
            nearest[name] = known[0]
    return nearest


def first_weights(config: TrainingConfig) -> dict[str, dict[str, State]]:
    """Return the weights of the bundle that a run adapts, for its united classes.

    Returns
    -------
    dict
        For each phase, the state of ``"enc"`` and ``"dec"``. A new class starts with the row of Enc^{r,s}, the column
        of Dec^{r,s} and the moments of z^s of the known class that its cells look most like.

    Raises
    ------
    ValueError
        If the bundle is missing, damaged or another one than at the start of the run.
    """
    start = config.adapted_from
    if start is None:
        raise ValueError("The run does not adapt a bundle: it has no first weights.")
    model = load_model(start.bundle, device="cpu", exact=True)
    if fingerprint(model) != start.fingerprint:
        raise ValueError(
            f"The bundle {start.bundle} is another one than at the start of the run: put it back."
        )
    enc, dec = model.enc_cond.state_dict(), model.dec_cond.state_dict()
    known = list(start.structures)
    source = [known.index(start.nearest.get(name, name)) for name in config.model.structures]
    return {
        "reference": {"enc": model.enc_ref.state_dict(), "dec": model.dec_ref.state_dict()},
        "conditional": {"enc": united_encoder(enc, source), "dec": united_decoder(dec, source, len(known))},
    }


def united_encoder(state: State, source: Sequence[int]) -> State:
    """Return the state of Enc^{r,s} for other classes; class i starts as class ``source[i]``.

    The running moments of z^s start as known, but count as moments of no cell, so the first real cells replace them.
    """
    rows = torch.tensor(source)
    of_classes = {"y.weight", "y.bias", "standardise.seen", "standardise.mean", "standardise.covariance"}
    united = {name: value[rows] if name in of_classes else value for name, value in state.items()}
    if "standardise.seen" in united:
        united["standardise.seen"] = torch.zeros_like(united["standardise.seen"])
    return united


def united_decoder(state: State, source: Sequence[int], n_known: int) -> State:
    """Return the state of Dec^{r,s} for other classes; class i starts as class ``source[i]`` of ``n_known``.

    The inputs of the first layer are y, z^r and z^s (equation 12), so the classes are its first columns.
    """
    weight = state["project.weight"]
    columns = torch.cat([torch.tensor(source), torch.arange(n_known, weight.shape[1])])
    return {**state, "project.weight": weight[:, columns]}


def _place(bundle: str | Path) -> str:
    """Return a bundle's name, or its absolute path, which still holds in another working directory."""
    if isinstance(bundle, str) and bundle in dict(list_models()):
        return bundle
    return str(Path(bundle).expanduser().resolve())
