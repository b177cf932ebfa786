"""Controls of the dock "Cell map": view, tools, selected cells, and the button that opens cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import Qt
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QMenu,
    QPushButton,
    QSizePolicy,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_integrated_cell.latent.groups import compared
from napari_integrated_cell.latent.projection import SHAPE, axis_title, has_umap
from napari_integrated_cell.plugin.map import actions
from napari_integrated_cell.plugin.map.colouring import colourable, title_of
from napari_integrated_cell.plugin.map.group_shape import GroupShape
from napari_integrated_cell.plugin.map.state import PRINCIPAL, UMAP
from napari_integrated_cell.vocabulary import STRUCTURES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from napari_integrated_cell.latent.population import Population
    from napari_integrated_cell.plugin.session import Session


class MapControls:
    """Controls above and below the map. Its parts are ``view``, ``tools``, ``status`` and ``source``."""

    def __init__(self) -> None:
        self.space = _combo(
            "Latent space", "z^r: cell and nuclear shape. z^s: a structure's location, beyond the shape."
        )
        self.layout_kind = _combo(
            "Layout",
            "Principal axes: as the sliders of the explorer. UMAP: places neighbours together, distorts distances.",
        )
        for kind, label in (
            (PRINCIPAL, "Principal axes"),
            (UMAP, "UMAP" if has_umap() else "UMAP (not installed)"),
        ):
            self.layout_kind.addItem(label, kind)
        self.x = _combo("Horizontal axis", "The principal axis to the right, with its share of the variance.")
        self.y = _combo("Vertical axis", "The principal axis upwards, with its share of the variance.")
        self.colour = _combo("Colour by", "The column of the cells' table that gives their colours.")
        self.view = QWidget()
        form = QFormLayout(self.view)
        form.setContentsMargins(0, 0, 0, 0)
        form.setVerticalSpacing(2)
        form.addRow("Space", _side_by_side(self.space, self.layout_kind))
        form.addRow("Axes", _side_by_side(self.x, self.y))
        form.addRow("Colour", self.colour)

        self.lasso = QToolButton()
        self.lasso.setText("Lasso")
        self.lasso.setCheckable(True)
        self.lasso.setToolTip("Draw a line around cells to select them. Or hold Shift while you drag.")
        self.fit = QToolButton()
        self.fit.setText("Fit")
        self.fit.setToolTip("Bring all cells into view (Home).")
        self.nothing = QToolButton()
        self.nothing.setText("Select none")
        self.nothing.setToolTip("Clear the selection.")
        self.find = QLineEdit()
        self.find.setPlaceholderText("Find a cell")
        self.find.setAccessibleName("Find a cell by its name")
        self.find.setToolTip("Type the name of a cell and press Enter to go there.")
        self.find.setMinimumWidth(60)
        self.tools = QWidget()
        row = QHBoxLayout(self.tools)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.lasso, self.nothing, self.fit):
            row.addWidget(widget)
        row.addWidget(self.find, 1)

        self.status = QLabel()
        self.status.setWordWrap(True)
        self.status.setMinimumHeight(self.status.fontMetrics().height() * 2)
        self.status.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._state = ""
        self._offered: Population | None = None

        self.source = QPushButton("Open &cells…")
        menu = QMenu(self.source)  # deleted with the button: without a parent it would keep the dock alive
        self.open_file = QAction("Embedded cells (.parquet)…", menu)
        self.open_table = QAction("Embed a table of cells (.csv)…", menu)
        self.open_store = QAction("Embed a store of cells…", menu)
        for action in (self.open_file, self.open_table, self.open_store):
            menu.addAction(action)
        self.source.setMenu(menu)
        self.source.setToolTip(
            "Show other cells: a file that `napari-ic embed` wrote, or a table or store of cells to embed now."
        )

    def offer(self, session: Session) -> None:
        """Fill the combo boxes for the session's model and cells, and select the session's choice."""
        view, population = session.map.view, session.map.population
        structures = () if population is None else population.structures
        labels = {s.name: s.label for s in STRUCTURES}
        spaces = {SHAPE: "Shape, z^r"} | {name: f"{labels.get(name, name)}, z^s" for name in structures}
        _fill(self.space, spaces, view.space)
        self.layout_kind.setCurrentIndex(self.layout_kind.findData(view.layout))
        axes = actions.axes_of(session)
        titles = {} if axes is None else {i: axis_title(axes, i) for i in range(len(axes))}
        for combo, chosen in zip((self.x, self.y), view.axes, strict=True):
            _fill(combo, titles, chosen)
            combo.setEnabled(view.layout == PRINCIPAL and bool(titles))
        if population is not self._offered:  # reading 200,000 rows takes a moment
            self._offered = population
            columns = [] if population is None else colourable(population.table)
            _fill(self.colour, {name: title_of(name) for name in columns}, view.colour)
        self.colour.setCurrentIndex(self.colour.findData(view.colour))

    def describe(self, text: str) -> None:
        """Show text about the cell under the cursor; if ``text`` is empty, show the state of the map."""
        self.status.setText(text or self._state)

    def show_state(self, population: Population | None, message: str) -> None:
        """Show the state of the map: a message, or else which cells are open."""
        held_out = ""
        if population is not None and "split" in population.table:
            n = int((population.table["split"] == "test").sum())
            held_out = f", {n} of them held out from training" if n else ""
        known = "" if population is None else f"{len(population):,} cells: {population.name}{held_out}"
        self._state = (
            known if population is not None and not message else message.splitlines()[0] if message else ""
        )
        self.describe("")


class SelectedCells(QGroupBox):
    """Buttons for the selected cells, and their measured shape."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Selected cells", parent)
        self.mean = _button("Go to &mean", "Go to the mean position of the selected cells, and decode it.")
        self.medoid = _button(
            "Go to me&doid",
            "Go to the selected cell that is nearest to all the others (cityblock distance, as for landmarks).",
        )
        self.open = _button("&Open this cell", "")
        self.save = _button("&Save as CSV…", "Write the selected cells with their positions as a table.")
        self.shape = GroupShape()
        grid = QGridLayout()
        for i, button in enumerate((self.mean, self.medoid, self.open, self.save)):
            grid.addWidget(button, i // 2, i % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addLayout(grid)
        column.addWidget(self.shape)

    def show_cells(self, population: Population | None, cells: NDArray, why_not: str) -> None:
        """Show other selected cells. ``why_not`` says why their images cannot be opened, or is empty."""
        n = len(cells)
        self.setTitle("Selected cells" if not n else f"{n:,} selected cell{'s' if n > 1 else ''}")
        for button in (self.mean, self.medoid, self.save):
            button.setEnabled(n > 0)
        reason = why_not or ("" if n == 1 else "Select one cell to open its images.")
        self.open.setEnabled(not reason)
        self.open.setToolTip(reason or "Open the cell's images as layers.")
        self.shape.show_comparison(compared(population, cells) if population is not None and n else [])


def _combo(name: str, tip: str) -> QComboBox:
    combo = QComboBox()
    combo.setAccessibleName(name)
    combo.setToolTip(tip)
    combo.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    combo.setMinimumContentsLength(5)
    return combo


def _button(text: str, tip: str) -> QPushButton:
    button = QPushButton(text)
    button.setToolTip(tip)
    button.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return button


def _side_by_side(left: QWidget, right: QWidget) -> QWidget:
    both = QWidget()
    row = QHBoxLayout(both)
    row.setContentsMargins(0, 0, 0, 0)
    row.addWidget(left, 1)
    row.addWidget(right, 1)
    return both


def _fill(combo: QComboBox, entries: dict, chosen: object) -> None:
    """Offer entries, labels by value, unless they are offered already; and select one."""
    if [combo.itemData(i) for i in range(combo.count())] != list(entries) or [
        combo.itemText(i) for i in range(combo.count())
    ] != list(entries.values()):
        combo.clear()
        for value, label in entries.items():
            combo.addItem(label, value)
    combo.setCurrentIndex(combo.findData(chosen))
