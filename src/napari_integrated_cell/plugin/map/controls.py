"""Controls of the dock "Cell map": view, tools, selected cells, and the button that opens cells."""

from __future__ import annotations

from functools import partial

from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QFormLayout,
    QGridLayout,
    QGroupBox,
    QLabel,
    QLineEdit,
    QMenu,
    QSizePolicy,
    QWidget,
)

from napari_integrated_cell.latent.groups import compared
from napari_integrated_cell.latent.population import Population
from napari_integrated_cell.latent.projection import SHAPE, axis_title, has_umap
from napari_integrated_cell.plugin.map import actions
from napari_integrated_cell.plugin.map.colouring import colourable, title_of
from napari_integrated_cell.plugin.map.group_shape import GroupShape
from napari_integrated_cell.plugin.map.state import PRINCIPAL, UMAP
from napari_integrated_cell.plugin.session import Session
from napari_integrated_cell.plugin.widgets.column import row, stack
from napari_integrated_cell.plugin.widgets.inputs import button, combo, described, offer, tool_button
from napari_integrated_cell.vocabulary import STRUCTURES


class MapControls:
    """Controls above and below the map. Its parts are ``view``, ``tools``, ``status`` and ``source``."""

    def __init__(self, session: Session) -> None:
        change = partial(actions.change_view, session)
        self.space = combo(
            "Latent space",
            "z^r: cell and nuclear shape. z^s: a structure's location, beyond the shape.",
            characters=5,
            choose=lambda space: change(space=space),
        )
        self.layout_kind = combo(
            "Layout",
            "Principal axes: as the sliders of the explorer. UMAP: places neighbours together, distorts distances.",
            {PRINCIPAL: "Principal axes", UMAP: "UMAP" if has_umap() else "UMAP (not installed)"},
            characters=5,
            choose=lambda layout: change(layout=layout),
        )
        tip = "The principal axis to the right, with its share of the variance."
        self.x = combo("Horizontal axis", tip, characters=5)
        tip = "The principal axis upwards, with its share of the variance."
        self.y = combo("Vertical axis", tip, characters=5)
        tip = "The column of the cells' table that gives their colours."
        self.colour = combo("Colour by", tip, characters=5, choose=lambda name: change(colour=name))
        self.view = QFormLayout(verticalSpacing=2)
        self.view.addRow("Space", row((self.space, 1), (self.layout_kind, 1)))
        self.view.addRow("Axes", row((self.x, 1), (self.y, 1)))
        self.view.addRow("Colour", self.colour)

        tip = "Draw a line around cells to select them. Or hold Shift while you drag."
        self.lasso = tool_button("Lasso", tip)
        self.lasso.setCheckable(True)
        self.fit = tool_button("Fit", "Bring all cells into view (Home).")
        self.nothing = tool_button("Select none", "Clear the selection.")
        self.find = described(
            QLineEdit(placeholderText="Find a cell"),
            "Find a cell by its name",
            "Type the name of a cell and press Enter to go there.",
        )
        self.find.setMinimumWidth(60)
        self.tools = row(self.lasso, self.nothing, self.fit, (self.find, 1))

        self.status = QLabel(wordWrap=True, alignment=Qt.AlignmentFlag.AlignTop)
        self.status.setMinimumHeight(self.status.fontMetrics().height() * 2)
        self._state = ""
        self._offered: Population | None = None

        self.source = button(
            "Open &cells…",
            "Show other cells: a file that `napari-ic embed` wrote, or a table or store of cells to embed now.",
        )
        menu = QMenu(self.source)  # deleted with the button: without a parent it would keep the dock alive
        self.open_file = menu.addAction("Embedded cells (.parquet)…")
        self.open_table = menu.addAction("Embed a table of cells (.csv)…")
        self.open_store = menu.addAction("Embed a store of cells…")
        self.source.setMenu(menu)

    def offer(self, session: Session) -> None:
        """Fill the combo boxes for the session's model and cells, and select the session's choice."""
        view, population = session.map.view, session.map.population
        structures = () if population is None else population.structures
        labels = {s.name: s.label for s in STRUCTURES}
        spaces = {SHAPE: "Shape, z^r"} | {name: f"{labels.get(name, name)}, z^s" for name in structures}
        offer(self.space, spaces, view.space)
        self.layout_kind.setCurrentIndex(self.layout_kind.findData(view.layout))
        axes = actions.axes_of(session)
        titles = {} if axes is None else {i: axis_title(axes, i) for i in range(len(axes))}
        for box, chosen in zip((self.x, self.y), view.axes, strict=True):
            offer(box, titles, chosen)
            box.setEnabled(view.layout == PRINCIPAL and bool(titles))
        if population is not self._offered:  # reading 200,000 rows takes a moment
            self._offered = population
            columns = [] if population is None else colourable(population.table)
            offer(self.colour, {name: title_of(name) for name in columns}, view.colour)
        self.colour.setCurrentIndex(self.colour.findData(view.colour))

    def describe(self, text: str) -> None:
        """Show text about the cell under the cursor; if ``text`` is empty, show the state of the map."""
        self.status.setText(text or self._state)

    def show_state(self, population: Population | None, message: str) -> None:
        """Show the state of the map: a message, or else which cells are open."""
        if message or population is None:
            self._state = message.partition("\n")[0]
        else:
            n = int((population.table["split"] == "test").sum()) if "split" in population.table else 0
            held_out = f", {n} of them held out from training" if n else ""
            self._state = f"{len(population):,} cells: {population.name}{held_out}"
        self.describe("")


class SelectedCells(QGroupBox):
    """Buttons for the selected cells, and their measured shape."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__("Selected cells", parent)
        self.mean = button("Go to &mean", "Go to the mean position of the selected cells, and decode it.")
        self.medoid = button(
            "Go to me&doid",
            "Go to the selected cell that is nearest to all the others (cityblock distance, as for landmarks).",
        )
        self.open = button("&Open this cell", "")
        self.save = button("&Save as CSV…", "Write the selected cells with their positions as a table.")
        self.shape = GroupShape()
        grid = QGridLayout()
        for i, each in enumerate((self.mean, self.medoid, self.open, self.save)):
            each.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
            grid.addWidget(each, i // 2, i % 2)
        stack(self, grid, self.shape, margin=6)

    def show_cells(self, population: Population | None, cells: NDArray, why_not: str) -> None:
        """Show other selected cells. ``why_not`` says why their images cannot be opened, or is empty."""
        n = len(cells)
        self.setTitle("Selected cells" if not n else f"{n:,} selected cell{'s' if n > 1 else ''}")
        for each in (self.mean, self.medoid, self.save):
            each.setEnabled(n > 0)
        reason = why_not or ("" if n == 1 else "Select one cell to open its images.")
        self.open.setEnabled(not reason)
        self.open.setToolTip(reason or "Open the cell's images as layers.")
        self.shape.show_comparison(compared(population, cells) if population is not None and n else [])
