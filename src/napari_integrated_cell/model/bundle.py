"""Save and load models: ``model.json``, ``weights/<network>.safetensors``, ``MODEL_CARD.md`` and checksums.

If they are known, a bundle also contains ``latent/statistics.*``, ``landmarks.json``, ``landmarks/thumbnails/*.png``,
``latent/conditional_prior.safetensors``, ``latent/decoding_residuals.safetensors``, ``variation.json``,
``typicality.json``, ``novelty.json`` and ``cells.parquet``. Weights are safetensors: loading a bundle executes no code
from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import copy, deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from napari_integrated_cell.model import archive
from napari_integrated_cell.model.catalogue import (
    MODEL_CARD,
    Manifest,
    checked_card,
    list_models,
    locate,
    manifest_of,
    read_manifest,
    read_model_card,
)
from napari_integrated_cell.model.conditional_prior import CONDITIONAL_PRIOR, read_conditional_prior
from napari_integrated_cell.model.decoding_residuals import DECODING_RESIDUALS
from napari_integrated_cell.model.integrated_cell import NETWORK_NAMES, IntegratedCell
from napari_integrated_cell.model.latent_files import (
    OPTIONAL_FILES,
    landmark_files,
    read_landmarks,
    read_statistics,
    statistics_files,
)
from napari_integrated_cell.model.networks import model_networks
from napari_integrated_cell.model.novelty import NOVELTY, read_known_structures
from napari_integrated_cell.model.runtime import choose_device
from napari_integrated_cell.model.typicality import TYPICALITY, read_typicality
from napari_integrated_cell.model.variation_reference import VARIATION, read_variation

__all__ = [
    "as_stored",
    "list_models",
    "load_model",
    "read_manifest",
    "read_model_card",
    "replace_files",
    "save_bundle",
    "update_card",
]

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def save_bundle(
    model: IntegratedCell,
    path: str | Path,
    *,
    card: Mapping[str, Any],
    model_card_markdown: str,
    dtype: str | torch.dtype = "float32",
) -> Path:
    """Save a model as a folder, or as a .zip if ``path`` ends with it. An existing bundle is replaced.

    Parameters
    ----------
    model : IntegratedCell
        The model. Its latent statistics, landmarks and references are saved too, if it has any.
    path : path
        Destination. Parent folders are created.
    card : mapping
        Fields of :class:`~.catalogue.Card`, and any others.
    model_card_markdown : str
        The text of ``MODEL_CARD.md``.
    dtype : {"float32", "bfloat16", "float16"}
        Type of the stored matrices and kernels. Biases and statistics are stored as float32. Everything is float32
        after loading.

    Returns
    -------
    Path
        ``path``.

    Raises
    ------
    ValueError
        If the card or the dtype is not valid, or ``path`` cannot be written.
    """
    kind = _dtype(dtype)
    manifest = Manifest(name=model.name, config=model.config, card=checked_card(dict(card), model.config))

    def files() -> Iterator[tuple[str, bytes]]:
        yield archive.MANIFEST, _json(manifest)
        yield MODEL_CARD, model_card_markdown.encode()
        for name, network in model.networks.items():
            yield _weights(name), save(_stored(network, kind))
        if model.latent is not None:
            yield from statistics_files(model.latent)
        if model.landmarks:
            yield from landmark_files(model.landmarks)
        if model.variation is not None:
            yield VARIATION, model.variation.to_json()
        if model.typicality is not None:
            yield TYPICALITY, model.typicality.to_json()
        if model.known_structures is not None:
            yield NOVELTY, model.known_structures.to_json()
        if model.conditional_prior is not None:
            yield CONDITIONAL_PRIOR, model.conditional_prior.to_bytes()
            if model.conditional_prior.residuals is not None:
                yield DECODING_RESIDUALS, model.conditional_prior.residuals.to_bytes()

    archive.write(Path(path), files())
    return Path(path)


def load_model(model: str | Path = "demo", device: str = "auto", *, exact: bool = False) -> IntegratedCell:
    """Load a model by name (``"demo"``; see :func:`~.catalogue.list_models`) or path, onto a device.

    With ``exact`` it computes as it was trained, layer by layer in float32, which is slower on a CPU.

    Raises
    ------
    ValueError
        If there is no such model or device, or the bundle is damaged, not a model, or of a newer version.
    """
    target = choose_device(device)
    with archive.open_archive(locate(model)) as bundle:
        manifest = manifest_of(bundle)
        bundle.read(MODEL_CARD)
        with torch.device("meta"):
            networks = model_networks(manifest.config)
        for name, network in zip(NETWORK_NAMES, networks, strict=True):
            _fill(network, bundle, _weights(name))
        latent = read_statistics(bundle, manifest.config)
        landmarks = read_landmarks(bundle, manifest.config)
        variation = read_variation(bundle, manifest.config)
        typicality = read_typicality(bundle)
        known_structures = read_known_structures(bundle, manifest.config)
        conditional_prior = read_conditional_prior(bundle, manifest.config)
    card = {"structures": manifest.config.structures, **manifest.card.model_dump()}
    return IntegratedCell(
        manifest.config,
        *networks,
        card=card,
        name=manifest.name,
        latent=latent,
        landmarks=landmarks,
        variation=variation,
        typicality=typicality,
        known_structures=known_structures,
        conditional_prior=conditional_prior,
        exact=exact,
    ).to(target)


def as_stored(model: IntegratedCell, dtype: str | torch.dtype) -> IntegratedCell:
    """Return a copy of the model with weights rounded to ``dtype``, as after saving and loading.

    Raises
    ------
    ValueError
        If the weights cannot be stored as ``dtype``.
    """
    kind = _dtype(dtype)
    stored = copy(model)
    for name, network in model.networks.items():
        network = deepcopy(network)
        setattr(stored, name, network)
        tensors = network.state_dict()
        for key, tensor in _stored(network, kind).items():
            if not _is_finite(tensor):
                raise ValueError(
                    f"The weights {key!r} of {name} cannot be stored as {str(kind).removeprefix('torch.')}: "
                    "some are beyond its range or not finite."
                )
            tensors[key].copy_(tensor)
    return stored


def update_card(path: str | Path, *, card: Mapping[str, Any], model_card_markdown: str) -> None:
    """Replace the card of the bundle at ``path``. All other files stay the same, byte for byte.

    Raises
    ------
    ValueError
        If there is no complete bundle at ``path``, the card is not valid, or ``path`` cannot be written.
    """
    with archive.open_archive(Path(path)) as bundle:
        old = manifest_of(bundle)
    new = old.model_copy(update={"card": checked_card(dict(card), old.config)})
    replace_files(path, {archive.MANIFEST: _json(new), MODEL_CARD: model_card_markdown.encode()})


def replace_files(path: str | Path, files: Mapping[str, bytes]) -> None:
    """Give the bundle at ``path`` some other files, or new ones of ``OPTIONAL_FILES``; the rest is kept.

    Raises
    ------
    ValueError
        If there is no complete bundle at ``path``, or ``path`` cannot be written.
    """
    with archive.open_archive(Path(path)) as bundle:
        wanted = (archive.MANIFEST, MODEL_CARD, *map(_weights, NETWORK_NAMES))
        names = [*wanted, *(name for name in OPTIONAL_FILES if name in files or bundle.holds(name))]
        new = [(n, files[n] if n in files else bundle.read(n, limit=1 << 40)) for n in names]
    archive.write(Path(path), new)


def _dtype(dtype: str | torch.dtype) -> torch.dtype:
    name = str(dtype).removeprefix("torch.")
    if name not in DTYPES:
        raise ValueError(f"Weights cannot be stored as {name}: choose {', '.join(DTYPES)}.")
    return DTYPES[name]


def _weights(network: str) -> str:
    return f"weights/{network}.safetensors"


def _json(manifest: Manifest) -> bytes:
    return (manifest.model_dump_json(indent=2) + "\n").encode()


def _tensors(network: nn.Module) -> dict[str, Tensor]:
    """Return parameters and running statistics by name, without batch normalisation's counters."""
    return {name: t for name, t in network.state_dict().items() if t.is_floating_point()}


def _stored(network: nn.Module, dtype: torch.dtype) -> dict[str, Tensor]:
    """Return matrices and kernels as ``dtype``, the rest as float32. Covariances can exceed half precision's range."""
    statistics = {name for name, _ in network.named_buffers()}
    return {
        name: tensor.detach()
        .to("cpu", torch.float32 if tensor.ndim == 1 or name in statistics else dtype)
        .contiguous()
        for name, tensor in _tensors(network).items()
    }


def _is_finite(tensor: Tensor) -> bool:
    """Return whether all values are finite. The two extremes tell, in one pass and without a mask in memory."""
    return tensor.numel() == 0 or bool(torch.stack(tensor.aminmax()).isfinite().all())


def _fill(network: nn.Module, bundle: archive.Archive, file: str) -> None:
    """Give a network on the meta device the weights in ``file``, after checking names, shapes and values."""
    wanted = _tensors(network)
    header = 1 << 20
    content = bundle.read(file, limit=header + 4 * sum(tensor.numel() for tensor in wanted.values()))
    where = f"{file} of {bundle.path}"
    try:
        found = load(content)
    except (SafetensorError, ValueError, KeyError) as error:
        raise ValueError(f"{where} is not a safetensors file ({error}): get the model again.") from None
    for name in sorted(wanted.keys() ^ found.keys()):
        problem = "lacks" if name in wanted else "has a tensor that the network does not have,"
        raise ValueError(f"{where} does not fit the model: it {problem} {name!r}.")
    for name, tensor in found.items():
        if tensor.shape != wanted[name].shape:
            raise ValueError(
                f"{where} does not fit the model: {name!r} has shape {tuple(tensor.shape)} "
                f"instead of {tuple(wanted[name].shape)}."
            )
        if tensor.dtype not in DTYPES.values():
            raise ValueError(f"{where} does not fit the model: {name!r} is of type {tensor.dtype}.")
        if not _is_finite(tensor):
            raise ValueError(f"{where} cannot be used: {name!r} holds NaN or infinite values.")
    state = {name: tensor.float() for name, tensor in found.items()}
    for name in network.state_dict().keys() - state.keys():
        state[name] = torch.zeros((), dtype=torch.int64)
    network.load_state_dict(state, assign=True)
