"""Fingerprint of a model: a digest of its weights. It shows which latent positions belong to which model."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from napari_integrated_cell.model.integrated_cell import IntegratedCell


def fingerprint(model: IntegratedCell) -> str:
    """Return the SHA-256 of a model's weights and running statistics in float32, the same on every device.

    A bundle with half-precision weights has a different fingerprint from the run that it was exported from.
    """
    digest = hashlib.sha256()
    for network, module in model.networks.items():
        for name, tensor in module.state_dict().items():
            if tensor.is_floating_point():
                digest.update(f"{network}.{name}{tuple(tensor.shape)}".encode())
                digest.update(tensor.detach().float().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()
