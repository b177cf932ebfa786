"""How many frames a second the Cell map's scatter pans, against vispy's markers and pyqtgraph's scatter plot.

All three draw the same points at the same size in a window of the same size, one pan a frame, each frame waited
for. Needs a screen: ``scripts/with-screen python benchmarks/scatter.py``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
from napari.qt import get_qapp
from qtpy.QtWidgets import QApplication, QWidget

from napari_integrated_cell.plugin.map.scatter import Mark, Scatter
from napari_integrated_cell.plugin.map.scatter_drawing import diameter_for

SIZE = (360, 320)


def to_and_fro() -> Iterator[int]:
    """Left twenty times, right twenty times, and so on: the points stay in view."""
    for turn in count():
        yield from (1 if turn % 2 else -1 for _ in range(20))


def ours(points: np.ndarray, rgb: np.ndarray) -> tuple[QWidget, Callable[[], None]]:
    """The dock's own."""
    scatter = Scatter()
    scatter.resize(*SIZE)
    scatter.show_points(points, ("PC 1", "PC 2"))
    scatter.show_colours(rgb, None)
    ways = to_and_fro()

    def pan() -> None:
        scatter._look(scatter.view.panned(next(ways), 0))
        scatter.repaint()

    return scatter, pan


def ours_dragging(points: np.ndarray, rgb: np.ndarray) -> tuple[QWidget, Callable[[], None]]:
    """The dock's own, with the position moving over points that stay: a slider is dragged in the explorer."""
    scatter, _ = ours(points, rgb)
    at = count()

    def move() -> None:
        scatter.show_marks([Mark(float(np.sin(next(at) / 50)), 0.0, "cross", (255, 255, 255), "here")])
        scatter.repaint()

    return scatter, move


def by_vispy(points: np.ndarray, rgb: np.ndarray) -> tuple[QWidget, Callable[[], None]]:
    """Markers on the graphics card, or where there is none on the CPU."""
    from vispy.scene import Markers, SceneCanvas

    canvas = SceneCanvas(keys=None, size=SIZE)
    view = canvas.central_widget.add_view()
    view.camera = "panzoom"
    markers = Markers(parent=view.scene, antialias=0)
    colours = np.concatenate([rgb / 255, np.ones((len(rgb), 1))], 1).astype(np.float32)
    markers.set_data(points, size=diameter_for(len(points)), edge_width=0, face_color=colours)
    markers.set_gl_state(depth_test=False)
    view.camera.rect = (-4, -4, 8, 8)
    canvas.native.resize(*SIZE)
    ways = to_and_fro()

    def pan() -> None:
        view.camera.pan((0.02 * next(ways), 0))
        canvas.native.repaint()
        canvas.context.finish()

    canvas.native._canvas_kept = canvas
    return canvas.native, pan


def by_pyqtgraph(points: np.ndarray, rgb: np.ndarray) -> tuple[QWidget, Callable[[], None]]:
    """A point after the other."""
    import pyqtgraph as pg

    plot = pg.PlotWidget()
    plot.resize(*SIZE)
    brushes = [pg.mkBrush(*colour) for colour in np.unique(rgb, axis=0)]
    _, which = np.unique(rgb, axis=0, return_inverse=True)
    size = diameter_for(len(points))
    plot.addItem(
        pg.ScatterPlotItem(
            *points.T, size=size, pen=None, brush=[brushes[i] for i in which.ravel()], pxMode=True
        )
    )
    box = plot.getViewBox()
    box.setRange(xRange=(-4, 4), yRange=(-4, 4))
    ways = to_and_fro()

    def pan() -> None:
        box.translateBy(x=0.02 * next(ways))
        plot.viewport().repaint()

    return plot, pan


def frames_a_second(widget: QWidget, step: Callable[[], None], seconds: float) -> float:
    """One over the median time of a step, the events it causes included."""
    widget.show()
    for _ in range(3):
        step()
        QApplication.processEvents()
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 3:
        started = time.perf_counter()
        step()
        QApplication.processEvents()
        times.append(time.perf_counter() - started)
    widget.close()
    return 1 / statistics.median(times)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--points", type=int, nargs="+", default=[2_000, 200_000])
    arguments.add_argument("--seconds", type=float, default=4.0)
    given = arguments.parse_args()
    app = get_qapp()
    random = np.random.default_rng(0)
    palette = random.integers(40, 255, (8, 3), dtype=np.uint8)
    ways = {
        "dock": ours,
        "dock, position moving": ours_dragging,
        "vispy": by_vispy,
        "pyqtgraph": by_pyqtgraph,
    }
    print(f"frames a second, {SIZE[0]} x {SIZE[1]} pixels")
    for n in given.points:
        points = random.normal(size=(n, 2)).astype(np.float32)
        rgb = palette[random.integers(0, 8, n)]
        for name, way in ways.items():
            widget, step = way(points, rgb)
            print(f"{n:>8} points  {name:24}{frames_a_second(widget, step, given.seconds):8.1f}")
        scatter = Scatter()
        scatter.resize(*SIZE)
        scatter.show_points(points, ("", ""))
        started = time.perf_counter()
        for i in range(100):
            scatter.view.nearest(points, 100 + i, 100, 9)
        print(f"{n:>8} points  {'hovering, ms':24}{(time.perf_counter() - started) * 10:8.2f}")
    del app


if __name__ == "__main__":
    main()
