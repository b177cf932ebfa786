"""Every few epochs a picture: held-out cells, their reconstructions, drawn cells, and where the codes lie."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_ic_train.fit.batches import Cells, to_device
from napari_ic_train.fit.conditional_phase import ConditionalPhase
from napari_ic_train.fit.phase import Phase
from napari_ic_train.run.watching import EpochReport, StepReport, TensorBoard, missing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SHOWN = 6
SCATTERED = 256

Image = NDArray[np.float32]


class Pictures:
    """A watcher that draws a PNG into ``RUN/pictures`` every few epochs and after the last.

    Parameters
    ----------
    folder : path
        Of the pictures.
    cells : Cells
        Held-out cells.
    every : int
        Epochs between two pictures; 0 draws none.
    curves : TensorBoard, optional
        Gets each picture too.

    Raises
    ------
    ImportError
        Where matplotlib is not installed.
    """

    def __init__(self, folder: Path, cells: Cells, every: int, curves: TensorBoard | None = None) -> None:
        try:
            import matplotlib.figure  # noqa: F401
        except ImportError as error:
            raise ImportError(missing("matplotlib")) from error
        self.folder, self.cells, self.every, self.curves = folder, cells, every, curves

    def step(self, report: StepReport) -> None:
        """Nothing: a picture belongs to an epoch."""

    def epoch(self, report: EpochReport, phase: Phase) -> None:
        """Draw, when it is time to."""
        if not self.every or (report.epoch % self.every and report.epoch != report.epochs):
            return
        figure = draw(phase, self.cells, f"{report.phase} phase, epoch {report.epoch}")
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

    def close(self) -> None:
        """Nothing is open."""


def draw(phase: Phase, cells: Cells, title: str) -> Figure:
    """The picture: rows of held-out cells, reconstructions and drawn cells, and a scatter of their codes.

    Cells are shown by their maxima along Z: membrane magenta, DNA blue, structure green. Drawn cells come from
    the prior; in phase 2 each keeps a held-out cell's shape and structure, and its z^s is drawn.
    """
    from matplotlib.figure import Figure

    n_shown, n_codes = min(SHOWN, len(cells)), min(SCATTERED, len(cells))
    rows, codes, labels = _compute(phase, cells, n_shown, n_codes)
    figure = Figure(figsize=(2 * n_shown + 4, 2.2 * len(rows)), layout="constrained")
    figure.suptitle(title)
    pictures, scatter = cast("Any", figure.subfigures(1, 2, width_ratios=[2 * n_shown, 4]))
    axes = pictures.subplots(len(rows), n_shown, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        for ax, image in zip(line, images, strict=True):
            ax.imshow(composite(image))
            ax.set(xticks=[], yticks=[])
        line[0].set_ylabel(name)
    _scatter(scatter.subplots(), codes, labels, phase)
    return figure


def composite(cell: Image) -> Image:
    """(C, Z, Y, X), membrane, DNA and perhaps structure, as one colour picture (Y, X, 3) of maxima along Z."""
    membrane, dna, *structure = cell.max(1)
    colours = [(membrane, (1, 0, 1)), (dna, (0.2, 0.4, 1)), *((s, (0.3, 1, 0.3)) for s in structure)]
    mixed = sum(np.asarray(colour, np.float32) * plane[..., None] for plane, colour in colours)
    return np.clip(np.asarray(mixed, np.float32), 0, 1)


@torch.no_grad()
def _compute(
    phase: Phase, cells: Cells, n_shown: int, n_codes: int
) -> tuple[dict[str, Image], NDArray[Any], NDArray[Any]]:
    enc, dec = phase.networks.enc, phase.networks.dec
    enc.eval()
    dec.eval()
    conditional = isinstance(phase, ConditionalPhase)
    # A generator of its own: a picture changes no run, and the same cells are drawn in every picture.
    source = torch.Generator().manual_seed(0)
    shown = np.linspace(0, len(cells) - 1, n_shown).round().astype(np.int64)
    model = phase.config.model

    def normal(n_latent: int) -> Tensor:
        return torch.randn(n_shown, n_latent, generator=source).to(phase.device)

    def read(indices: NDArray[np.int64]) -> Tensor:
        return to_device(cells.images(indices) if conditional else cells.references(indices), phase.device)

    x = read(shown)
    codes = [_code(phase, read(part)) for part in np.array_split(np.arange(n_codes), -(-n_codes // 16))]
    labels = np.asarray(cells.labels)
    if conditional:
        y_logits, z_ref, z_struct = enc(x)
        y = torch.eye(model.n_structures, device=phase.device, dtype=x.dtype)[torch.from_numpy(labels[shown])]
        reconstructed = dec(y_logits.softmax(1), z_ref, z_struct)
        drawn = dec(y, z_ref, normal(model.n_struct).to(x.dtype))
    else:
        reconstructed, drawn = dec(enc(x)), dec(normal(model.n_ref).to(x.dtype))
    enc.train()
    dec.train()
    rows = {"held out": x, "reconstructed": reconstructed, "drawn": drawn}
    images = {name: row.float().cpu().numpy() for name, row in rows.items()}
    return images, torch.cat(codes).float().cpu().numpy(), labels[:n_codes]


def _code(phase: Phase, x: Tensor) -> Tensor:
    code = phase.networks.enc(x)
    return code.z_struct if isinstance(phase, ConditionalPhase) else code


def _scatter(ax: Any, codes: NDArray[Any], labels: NDArray[Any], phase: Phase) -> None:
    """The codes in the plane of their two principal axes."""
    name = "z^s" if isinstance(phase, ConditionalPhase) else "z^r"
    centred = codes - codes.mean(0)
    axes = np.linalg.svd(centred, full_matrices=False)[2][:2]
    plane = centred @ axes.T
    ax.set(title=f"${name}$ of held-out cells", xlabel="first principal axis", ylabel="second")
    structures = phase.config.model.structures
    for index in np.unique(labels):
        mine = labels == index
        ax.scatter(*plane[mine].T, s=8, color=f"C{index % 10}", label=structures[index])
    ax.set_aspect("equal", "datalim")
    ax.legend(fontsize=6, loc="upper left", bbox_to_anchor=(0, -0.15), ncols=2)
