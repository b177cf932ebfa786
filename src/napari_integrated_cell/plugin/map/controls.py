"""The controls around the map: what it shows, tools, where cells come from, and the selected ones."""

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
    """What stands above and below the map; ``view``, ``tools``, ``told`` and ``source`` are its parts."""

    def __init__(self) -> None:
        self.space = _combo(
            "Latent space", "z^r: cell and nuclear shape. z^s: what is left of a structure's place."
        )
        self.layout_kind = _combo(
            "Layout",
            "Principal axes: straight, as the sliders of the explorer. UMAP: neighbours together, distances bent.",
        )
        for kind, label in (
            (PRINCIPAL, "Principal axes"),
            (UMAP, "UMAP" if has_umap() else "UMAP (not installed)"),
        ):
            self.layout_kind.addItem(label, kind)
        self.x = _combo("Axis across", "The principal axis across the map, with its share of the variance.")
        self.y = _combo("Axis upwards", "The principal axis up the map, with its share of the variance.")
        self.colour = _combo("Colour by", "The column of the cells' table that colours them.")
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
        self.lasso.setToolTip("Draw a line around cells to select them; or hold Shift while dragging.")
        self.fit = QToolButton()
        self.fit.setText("Fit")
        self.fit.setToolTip("Bring all cells into view (Home).")
        self.nothing = QToolButton()
        self.nothing.setText("Select none")
        self.nothing.setToolTip("Forget the selection.")
        self.find = QLineEdit()
        self.find.setPlaceholderText("Find a cell")
        self.find.setAccessibleName("Find a cell by its name")
        self.find.setToolTip("Type a cell's name and press Enter to go there.")
        self.find.setMinimumWidth(60)
        self.tools = QWidget()
        row = QHBoxLayout(self.tools)
        row.setContentsMargins(0, 0, 0, 0)
        for widget in (self.lasso, self.nothing, self.fit):
            row.addWidget(widget)
        row.addWidget(self.find, 1)

        self.told = QLabel()
        self.told.setWordWrap(True)
        self.told.setMinimumHeight(self.told.fontMetrics().height() * 2)
        self.told.setAlignment(Qt.AlignmentFlag.AlignTop)
        self._state = ""
        self._offered: Population | None = None

        self.source = QPushButton("Open &cells…")
        menu = QMenu(self.source)  # it goes with the button: without a parent it would keep the dock alive
        self.open_file = QAction("Embedded cells (.parquet)…", menu)
        self.open_table = QAction("Embed a table of cells (.csv)…", menu)
        self.open_store = QAction("Embed a store of cells…", menu)
        for action in (self.open_file, self.open_table, self.open_store):
            menu.addAction(action)
        self.source.setMenu(menu)
        self.source.setToolTip(
            "Look at other cells: a file that `napari-ic embed` wrote, or a table or store of cells to embed now."
        )

    def offer(self, session: Session) -> None:
        """Offer what the session's model and cells have, and choose what it has chosen."""
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
        if population is not self._offered:  # looking through 200,000 rows takes a moment
            self._offered = population
            columns = [] if population is None else colourable(population.table)
            _fill(self.colour, {name: title_of(name) for name in columns}, view.colour)
        self.colour.setCurrentIndex(self.colour.findData(view.colour))

    def tell(self, text: str) -> None:
        """Say what lies under the cursor; nothing there, how things stand."""
        self.told.setText(text or self._state)

    def tell_state(self, population: Population | None, message: str) -> None:
        """Say how things stand."""
        held_out = ""
        if population is not None and "split" in population.table:
            n = int((population.table["split"] == "test").sum())
            held_out = f", {n} of them held out from training" if n else ""
        known = "" if population is None else f"{len(population):,} cells: {population.name}{held_out}"
        self._state = (
            known if population is not None and not message else message.splitlines()[0] if message else ""
        )
        self.tell("")


class SelectedCells(QGroupBox):
    """The selected cells: what can be done with them, and their measured shape."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Selected cells", parent)
        self.mean = _button(
            "Go to &mean", "Go to the mean of the selected cells' positions, and decode it there."
        )
        self.medoid = _button(
            "Go to me&doid",
            "Go to the selected cell that is nearest to all the others (cityblock), as landmarks are chosen.",
        )
        self.open = _button("&Open this cell", "")
        self.save = _button("&Save as CSV…", "Write the selected cells, with their positions, as a table.")
        self.shape = GroupShape()
        grid = QGridLayout()
        for i, button in enumerate((self.mean, self.medoid, self.open, self.save)):
            grid.addWidget(button, i // 2, i % 2)
        column = QVBoxLayout(self)
        column.setContentsMargins(6, 6, 6, 6)
        column.addLayout(grid)
        column.addWidget(self.shape)

    def show_cells(self, population: Population | None, cells: NDArray, why_closed: str) -> None:
        """Draw another selection."""
        n = len(cells)
        self.setTitle("Selected cells" if not n else f"{n:,} selected cell{'s' if n > 1 else ''}")
        for button in (self.mean, self.medoid, self.save):
            button.setEnabled(n > 0)
        reason = why_closed or ("" if n == 1 else "Select one cell to open its images.")
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
    """Offer the entries, label by value, if they are others than before; and choose one."""
    if [combo.itemData(i) for i in range(combo.count())] != list(entries) or [
        combo.itemText(i) for i in range(combo.count())
    ] != list(entries.values()):
        combo.clear()
        for value, label in entries.items():
            combo.addItem(label, value)
    combo.setCurrentIndex(combo.findData(chosen))
