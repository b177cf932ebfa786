"""A preview of the posed cell, as the model sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtGui import QImage, QPixmap, QResizeEvent
from qtpy.QtWidgets import QHBoxLayout, QLabel, QPushButton, QWidget

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.imaging.doubts import doubts_about_stains, warnings_of
from napari_integrated_cell.imaging.pose import PAPER_BOX, Box, Pose, pose_of, posed_references
from napari_integrated_cell.integration import model_box, typicality_of
from napari_integrated_cell.picture import projection
from napari_integrated_cell.plugin.widgets.column import stack
from napari_integrated_cell.plugin.widgets.inputs import described, text_label
from napari_integrated_cell.vocabulary import REFERENCE_NAMES

if TYPE_CHECKING:
    from napari_integrated_cell.cell import Cell
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.model.typicality import Typicality
    from napari_integrated_cell.plugin.integrate.request import CellRequest
    from napari_integrated_cell.plugin.session import Session
    from napari_integrated_cell.plugin.tasks import Task

_WIDEST = 480  # screen pixels
_EMPTY = "The posed cell appears here once a cell is chosen."


@dataclass(frozen=True, eq=False)
class Posing:
    """A posed cell, its posed stains (2, Z, Y, X), their picture, and what is doubtful about the stains."""

    cell: Cell
    pose: Pose
    references: Floats
    picture: NDArray[np.uint8]
    doubts_about_stains: tuple[str, ...] = ()


def preview_box(session: Session) -> Box:
    """Return the box of the chosen model, opened or not. Reads the disk: call it in a task."""
    from napari_integrated_cell.model.catalogue import read_manifest

    if session.model is not None:
        return model_box(session.model.config)
    try:
        return model_box(read_manifest(session.model_source).config)
    except (ValueError, OSError):
        return PAPER_BOX  # any box serves a preview; the error is shown when the model is opened


def posing_of(request: CellRequest, box: Box, task: Task) -> Posing:
    """Cut the cell out, pose it and draw its projections. Slow: call it in a task."""
    cell = request.cut(only=("membrane", "dna"), progress=task.progress, cancel=task.token)
    pose = pose_of(cell, box)
    doubts = doubts_about_stains(
        cell.channels.get("membrane"),
        cell.channels.get("dna"),
        cell.cell_mask,
        cell.nucleus_mask,
        cell.voxel_size,
    )
    references = posed_references(cell, pose)
    return Posing(cell, pose, references, picture_of(references), tuple(doubts))


def typicality_in(model: IntegratedCell, posing: Posing) -> Typicality | None:
    """Return how typical a posed cell is for a model, or None if that is not known or the model has another box."""
    if posing.pose.box != model_box(model.config):
        return None
    z_ref = model.encode(posing.references[None])[0]
    return typicality_of(posing.cell, posing.pose, posing.references, z_ref, model)


def picture_of(references: Floats) -> NDArray[np.uint8]:
    """Return an RGB picture of membrane and DNA: from above, and from the side with the dish at the bottom."""
    cell = dict(zip(REFERENCE_NAMES, references, strict=True))
    above, side = projection(cell, 0), projection(cell, 1)[::-1]
    missing = above.shape[0] - side.shape[0]
    side = np.pad(side, ((missing // 2, missing - missing // 2), (0, 0), (0, 0))) if missing > 0 else side
    rule = np.full((side.shape[0], 1, 3), 0.3)
    above = np.pad(above, ((0, side.shape[0] - above.shape[0]), (0, 0), (0, 0)))
    return (np.concatenate([above, rule, side], axis=1) * 255).astype(np.uint8)


class _Picture(QLabel):
    """An RGB picture that fills the width."""

    def __init__(self) -> None:
        super().__init__(alignment=Qt.AlignmentFlag.AlignCenter)
        self._full = QPixmap()
        self.setMinimumWidth(1)

    def show_rgb(self, rgb: NDArray[np.uint8]) -> None:
        rgb = np.ascontiguousarray(rgb)
        rows, columns = rgb.shape[:2]
        image = QImage(rgb.tobytes(), columns, rows, 3 * columns, QImage.Format.Format_RGB888)
        self._full = QPixmap.fromImage(image)
        self._fit()

    def resizeEvent(self, event: QResizeEvent) -> None:
        super().resizeEvent(event)
        self._fit()

    def _fit(self) -> None:
        if not self._full.isNull():
            width = max(1, min(self.width(), _WIDEST))
            self.setPixmap(self._full.scaledToWidth(width, Qt.TransformationMode.SmoothTransformation))


class PosePreview(QWidget):
    """Projections of the posed cell, with its size and the warnings about the cell and its pose."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._picture = described(
            _Picture(),
            "Preview of the posed cell",
            "The cell as the model sees it (section 3.1): nucleus in the middle, long axis along X,\n"
            "flipped by skew. Left from above, right from the side. Membrane magenta, DNA cyan.",
        )
        self._words = text_label()
        self._buttons = QHBoxLayout()
        stack(self, self._picture, self._words, self._buttons)
        self.say(_EMPTY)

    @property
    def words(self) -> str:
        """The text under the picture."""
        return self._words.text()

    @property
    def buttons(self) -> dict[str, QPushButton]:
        """The buttons under the text, by their titles."""
        items = (self._buttons.itemAt(i) for i in range(self._buttons.count()))
        widgets = [item.widget() for item in items if item is not None]
        return {widget.text(): widget for widget in widgets if isinstance(widget, QPushButton)}

    def say(self, words: str, buttons: Sequence[QPushButton] = ()) -> None:
        """Show text in place of a picture, and buttons that mend what it says."""
        self._picture.hide()
        self._words.setText(words or _EMPTY)
        self._show_buttons(buttons)

    def _show_buttons(self, buttons: Sequence[QPushButton]) -> None:
        for old in self.buttons.values():
            self._buttons.removeWidget(old)
            old.hide()
            old.deleteLater()
        for each in buttons:
            self._buttons.addWidget(each)

    def show_posing(self, posing: Posing, guessed: Sequence[str] = ()) -> None:
        """Show a posed cell. ``guessed`` names the stains that were guessed from what the layers show."""
        self._show_buttons(())
        self._picture.show_rgb(posing.picture)
        self._picture.show()
        cell = posing.cell
        facts = (
            f"{cell.volume:,.0f} µm³, nucleus {cell.nucleus_volume:,.0f} µm³, "
            f"rotated by {posing.pose.angle:.0f}°."
        )
        warnings = list(warnings_of(cell, posing.pose))
        if guessed and posing.doubts_about_stains:
            what = f"{guessed[0]} was" if len(guessed) == 1 else f"{' and '.join(guessed)} were"
            warnings.insert(
                0, f"{what} guessed and may be wrong: choose another layer, or none to render the stain."
            )
        self._words.setText("\n".join([facts, *(f"⚠ {warning}" for warning in warnings)]))

    def show_typicality(self, typical: Typicality | None) -> None:
        """Add to the text how typical the shown cell is for the model."""
        if typical is not None:
            mark = "" if typical.is_typical else "⚠ "
            self._words.setText(f"{self.words}\n{mark}{typical.sentence}")
