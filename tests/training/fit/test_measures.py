"""The measures on held-out cells match the settings that the phase trains with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toy_training import MODEL, toy_config

from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.measures import measure, warning_signs
from napari_ic_train.fit.phase import initialised
from napari_integrated_cell.model.networks import conditional_networks


def phase_of(**fields: object) -> ConditionalPhase:
    networks = initialised(conditional_networks(MODEL), torch.Generator().manual_seed(0))
    return ConditionalPhase(toy_config(**fields), networks, torch.Generator())


def cells() -> tuple[Tensor, Tensor, Tensor]:
    x, y = torch.rand((4, MODEL.n_references + 1, *MODEL.box)), torch.tensor([0, 1, 0, 1])
    return x, y, torch.randn((4, MODEL.n_ref))


def measured(phase: ConditionalPhase, *cells: Tensor) -> dict[str, float]:
    return measure(phase, lambda indices, flips: tuple(part[indices] for part in cells), 4, held_out=True)


@pytest.mark.parametrize("decoded_at", ["predicted", "target"])
def test_held_out_cells_are_decoded_where_the_others_are(decoded_at: str) -> None:
    phase = phase_of(decoded_at=decoded_at)
    x, y, z_ref = cells()
    asked: list[tuple[Tensor, ...]] = []
    logits = phase.networks.dec.logits
    phase.networks.dec.logits = lambda *code: (asked.append(code), logits(*code))[1]
    measured(phase, x, y, z_ref)
    (told, at, _), known = asked[0], decoded_at == "target"
    assert torch.equal(at, z_ref) == known
    assert torch.equal(told, torch.eye(MODEL.n_structures)[y]) == known


@pytest.mark.parametrize(("own", "at_mode", "told"), [(1, 0, 1), (1, 1, 0), (0, 1, -1), (-1, 1, -2)])
def test_what_z_s_tells_is_what_it_adds_to_the_correlation(own: int, at_mode: int, told: int) -> None:
    """A decoder that draws the observed image (1), its negative (-1) or noise (0), at z^s = 0 and elsewhere."""
    phase, (x, y, z_ref) = phase_of(), cells()
    noise = torch.randn(x.shape)

    def logits(y: Tensor, z_ref: Tensor, z_struct: Tensor) -> Tensor:
        drawn = own if z_struct.any() else at_mode
        return 1e-2 * (drawn * (x - 0.5) if drawn else noise)

    phase.networks.dec.logits = logits
    assert measured(phase, x, y, z_ref)["held_out_told"] == pytest.approx(told, abs=0.05)


@pytest.mark.parametrize(("told", "warned"), [(0.001, True), (-0.2, True), (0.1, False), (None, False)])
def test_a_silent_z_s_is_warned_of(told: float | None, warned: bool) -> None:
    phase = phase_of()
    losses = dict.fromkeys(phase.loss_names, 1.0)
    measures = {"code_mean": 0.0, "code_std": 1.0} | ({} if told is None else {"held_out_told": told})
    signs = warning_signs(phase, losses, measures)
    assert any("z^s holds almost no information" in sign for sign in signs) == warned
