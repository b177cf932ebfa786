"""What is measured on held-out cells is what the phase teaches its decoder to do."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toy_training import MODEL, toy_config

from napari_ic_train.conditional_phase import ConditionalPhase
from napari_ic_train.measures import measure
from napari_ic_train.phase import initialised
from napari_integrated_cell.model.networks import conditional_networks


@pytest.mark.parametrize("decoded_at", ["predicted", "target"])
def test_held_out_cells_are_decoded_where_the_others_are(decoded_at: str) -> None:
    networks = initialised(conditional_networks(MODEL), torch.Generator().manual_seed(0))
    phase = ConditionalPhase(toy_config(decoded_at=decoded_at), networks, torch.Generator())
    x, y = torch.rand((4, MODEL.n_references + 1, *MODEL.box)), torch.tensor([0, 1, 0, 1])
    z_ref = torch.randn((4, MODEL.n_ref))
    asked: list[tuple[Tensor, ...]] = []
    logits = networks.dec.logits
    networks.dec.logits = lambda *code: (asked.append(code), logits(*code))[1]
    measure(phase, lambda indices, flips: (x[indices], y[indices], z_ref[indices]), 4, held_out=True)
    (told, at, _), known = asked[0], decoded_at == "target"
    assert torch.equal(at, z_ref) == known
    assert torch.equal(told, torch.eye(MODEL.n_structures)[y]) == known
