"""Pictures of held-out cells, their reconstructions, drawn cells and latent codes, every few epochs."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from napari_ic_train.config import TrainingConfig
from napari_ic_train.data.training_cells import Cells, to_device
from napari_ic_train.run.fitted_networks import Networks
from napari_ic_train.run.watching import EpochReport, TensorBoard, Watcher, missing
from napari_integrated_cell.arrays import Floats, Indices
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.networks import ConditionalNetworks

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6
SCATTERED = 256


class Pictures(Watcher):
    """Watcher that draws a PNG into ``RUN/pictures`` every few epochs and after the last one.

    Parameters
    ----------
    folder : path
        The folder of the pictures.
    cells : Cells
        Held-out cells.
    config : TrainingConfig
        Gives the model, and the epochs between two pictures (0 draws none).
    curves : TensorBoard, optional
        Also shows each picture.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """

    def __init__(
        self, folder: Path, cells: Cells, config: TrainingConfig, curves: TensorBoard | None = None
    ) -> None:
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise ImportError(missing("matplotlib")) from error
        self.folder, self.cells, self.config, self.curves = folder, cells, config, curves

    def epoch(self, report: EpochReport, networks: Networks) -> None:
        """Draw a picture if one is due after this epoch."""
        every = self.config.picture_every
        if not every or (report.epoch % every and report.epoch != report.epochs):
            return
        title = f"{report.phase} phase, epoch {report.epoch}"
        figure = draw(networks, self.config.model, self.cells, title)
        path = self.folder / f"{report.phase}-{report.epoch:06d}.png"
        aside = path.with_suffix(".part")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            figure.savefig(aside, format="png", dpi=110)
            aside.replace(path)
        except OSError as error:
            warnings.warn(f"The picture {path} could not be written ({error}).", stacklevel=2)
        if self.curves is not None:
            self.curves.writer.add_figure("held-out cells", figure, report.epoch)


def draw(networks: Networks, model: ModelConfig, cells: Cells, title: str) -> Figure:
    """Draw rows of held-out cells, reconstructions and drawn cells, and a scatter plot of latent codes.

    Cells are maximum projections along Z: membrane magenta, DNA blue, structure green. Drawn cells come from
    the prior; in phase 2 each keeps a held-out cell's shape and structure, and its z^s is drawn.
    """
    from matplotlib.figure import Figure

    n_shown, n_codes = min(SHOWN, len(cells)), min(SCATTERED, len(cells))
    rows, codes, labels = _compute(networks, model, cells, n_shown, n_codes)
    figure = Figure(figsize=(2 * n_shown + 4, 2.2 * len(rows)), layout="constrained")
    figure.suptitle(title)
    pictures, scatter = cast("Any", figure.subfigures(1, 2, width_ratios=[2 * n_shown, 4]))
    axes = pictures.subplots(len(rows), n_shown, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, images, strict=True):
            ax.imshow(composite(image))
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    code = "z^s" if isinstance(networks, ConditionalNetworks) else "z^r"
    _scatter(scatter.subplots(), codes, labels, code, model.structures)
    return figure


def composite(cell: Floats) -> Floats:
    """Return a colour picture (Y, X, 3) of a cell (C, Z, Y, X): maxima along Z of membrane, DNA and any structure."""
    membrane, dna, *structure = cell.max(1)
    colours = [(membrane, (1, 0, 1)), (dna, (0.2, 0.4, 1)), *((s, (0.3, 1, 0.3)) for s in structure)]
    mixed = sum(np.asarray(colour, np.float32) * plane[..., None] for plane, colour in colours)
    return np.clip(np.asarray(mixed, np.float32), 0, 1)


@torch.no_grad()
def _compute(
    networks: Networks, model: ModelConfig, cells: Cells, n_shown: int, n_codes: int
) -> tuple[dict[str, Floats], Floats, Indices]:
    networks.enc.eval()
    networks.dec.eval()
    device = next(networks.enc.parameters()).device
    # Its own random generator: a picture does not change the run, and every picture draws the same cells.
    source = torch.Generator().manual_seed(0)
    shown = np.linspace(0, len(cells) - 1, n_shown).round().astype(np.int64)
    parts = np.array_split(np.arange(n_codes), -(-n_codes // 16))
    labels = np.asarray(cells.labels)

    def normal(n_latent: int, like: Tensor) -> Tensor:
        return torch.randn(n_shown, n_latent, generator=source).to(device).to(like.dtype)

    if isinstance(networks, ConditionalNetworks):
        enc, dec = networks.enc, networks.dec
        x = to_device(cells.images(shown), device)
        codes = [enc(to_device(cells.images(part), device)).z_struct for part in parts]
        y_logits, z_ref, z_struct = enc(x)
        y = torch.eye(model.n_structures, device=device, dtype=x.dtype)[torch.from_numpy(labels[shown])]
        reconstructed = dec(y_logits.softmax(1), z_ref, z_struct)
        drawn = dec(y, z_ref, normal(model.n_struct, like=x))
    else:
        x = to_device(cells.references(shown), device)
        codes = [networks.enc(to_device(cells.references(part), device)) for part in parts]
        reconstructed, drawn = networks.dec(networks.enc(x)), networks.dec(normal(model.n_ref, like=x))
    networks.enc.train()
    networks.dec.train()
    rows = {"held out": x, "reconstructed": reconstructed, "drawn": drawn}
    images = {name: row.float().cpu().numpy() for name, row in rows.items()}
    return images, torch.cat(codes).float().cpu().numpy(), labels[:n_codes]


def _scatter(ax: Any, codes: Floats, labels: Indices, code: str, structures: Sequence[str]) -> None:
    """Plot codes in the plane of their two principal axes."""
    centred = codes - codes.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    plane = centred @ axes.T
    ax.set(title=f"${code}$ of held-out cells", xlabel="first principal axis", ylabel="second")
    for index in np.unique(labels):
        mine = labels == index
        ax.scatter(*plane[mine].T, s=8, color=f"C{index % 10}", label=structures[index])
    ax.set_aspect("equal", "datalim")
    ax.legend(fontsize=6, loc="upper left", bbox_to_anchor=(0, -0.15), ncols=2)
