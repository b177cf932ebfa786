"""Measure how many frames a second the Cell map pans, against a pyqtgraph and a matplotlib scatter plot.

All draw the same points at the same size in a window of the same size. Each frame pans by some pixels and is waited
for. Needs a screen: ``scripts/with-screen python benchmarks/scatter.py``.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from itertools import count, cycle

import numpy as np
import pyqtgraph as pg
from napari.qt import get_qapp
from qtpy.QtCore import QEvent, QObject
from qtpy.QtWidgets import QApplication, QWidget

from napari_integrated_cell.plugin.map.scatter import Mark, Scatter

SIZE = (360, 320)
STEP = 0.02  # of the plane, a frame
Way = tuple[QWidget, Callable[[], None]]


def to_and_fro() -> Iterator[float]:
    """Yield twenty steps to the left, twenty to the right, and so on: the points stay in view."""
    return cycle([-STEP] * 20 + [STEP] * 20)


def dock(points: np.ndarray, rgb: np.ndarray) -> tuple[Scatter, Callable[[], None]]:
    """Pan the dock's own plot."""
    scatter = Scatter()
    scatter.show_points(points, ("PC 1", "PC 2"))
    scatter.show_colours(rgb, None)
    steps = to_and_fro()
    return scatter, lambda: scatter.plane.translateBy(x=next(steps))


def dock_position(points: np.ndarray, rgb: np.ndarray) -> Way:
    """Move the position over points that stay, as a slider of the explorer does."""
    scatter, _ = dock(points, rgb)
    at = count()
    return scatter, lambda: scatter.show_marks([Mark(np.sin(next(at) / 50), 0.0, "cross", "here")])


def pyqtgraph_plain(points: np.ndarray, rgb: np.ndarray) -> Way:
    """Pan a plain ScatterPlotItem with the same points and one brush for each colour."""
    plot = pg.PlotWidget()
    palette, which = np.unique(rgb, axis=0, return_inverse=True)
    brushes = [pg.mkBrush(*colour) for colour in palette]
    size = 6.0 if len(points) <= 2_000 else 3.0
    plot.plot(
        *points.T, pen=None, symbolPen=None, symbolSize=size, symbolBrush=[brushes[i] for i in which.ravel()]
    )
    plot.setRange(xRange=(-4, 4), yRange=(-4, 4))
    steps = to_and_fro()
    return plot, lambda: plot.getViewBox().translateBy(x=next(steps))


def matplotlib_plain(points: np.ndarray, rgb: np.ndarray) -> Way:
    """Pan a plain matplotlib scatter plot."""
    from matplotlib.backends.backend_qtagg import FigureCanvasQTAgg
    from matplotlib.figure import Figure

    figure = Figure()
    canvas = FigureCanvasQTAgg(figure)
    axes = figure.add_subplot(xlim=(-4, 4), ylim=(-4, 4))
    axes.scatter(*points.T, s=9, c=rgb / 255, linewidths=0)
    steps = to_and_fro()

    def pan() -> None:
        axes.set_xlim(np.array(axes.get_xlim()) + next(steps))
        canvas.draw_idle()

    return canvas, pan


class Paints(QObject):
    """Counts how often a widget is painted."""

    def __init__(self, widget: QWidget) -> None:
        super().__init__()
        self.n = 0
        widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Count a paint event, and let it pass."""
        self.n += event.type() == QEvent.Type.Paint
        return False


def frame_time(widget: QWidget, step: Callable[[], None], seconds: float) -> tuple[float, float]:
    """Return the median time until a step is painted, and the mean CPU time of a step, in seconds."""
    widget.resize(*SIZE)
    widget.show()
    paints = Paints(getattr(widget, "viewport", lambda: widget)())
    for duration in (0.0, seconds):  # first without measuring
        times: list[float] = []
        end, cpu = time.perf_counter() + duration, time.process_time()
        while time.perf_counter() < end or len(times) < 3:
            started, painted = time.perf_counter(), paints.n
            step()
            while paints.n == painted:
                QApplication.processEvents()
            times.append(time.perf_counter() - started)
    widget.hide()
    return statistics.median(times), (time.process_time() - cpu) / len(times)


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--points", type=int, nargs="+", default=[2_000, 200_000])
    arguments.add_argument("--seconds", type=float, default=2.0)
    arguments.add_argument("--rounds", type=int, default=3)
    given = arguments.parse_args()
    app = get_qapp()
    random = np.random.default_rng(0)
    palette = random.integers(40, 255, (8, 3), dtype=np.uint8)
    ways: dict[str, Callable[..., Way]] = {
        "dock": dock,
        "dock, position moving": dock_position,
        "pyqtgraph, plain": pyqtgraph_plain,
        "matplotlib": matplotlib_plain,
    }
    print(
        f"Frames a second in {SIZE[0]} x {SIZE[1]} pixels: min, median, max of {given.rounds} rounds' medians."
    )
    print("CPU time of a frame, which other programs disturb less: median of the rounds.")
    for n in given.points:
        points = random.normal(size=(n, 2)).astype(np.float32)
        rgb = palette[random.integers(0, 8, n)]
        made = {name: way(points, rgb) for name, way in ways.items()}
        found: dict[str, list[float]] = {name: [] for name in ways}
        cpu: dict[str, list[float]] = {name: [] for name in ways}
        for _ in range(given.rounds):
            for name, (widget, step) in made.items():
                wall, busy = frame_time(widget, step, given.seconds)
                found[name].append(1 / wall)
                cpu[name].append(1e3 * busy)
        for name, rates in found.items():
            low, middle, high = min(rates), statistics.median(rates), max(rates)
            busy = statistics.median(cpu[name])
            print(f"{n:>8} points  {name:24}{low:8.1f}{middle:8.1f}{high:8.1f}{busy:10.2f} ms")
        for name in ("pyqtgraph, plain", "matplotlib"):
            ratio = statistics.median(found["dock"]) / statistics.median(found[name])
            print(f"{n:>8} points  dock / {name:17}{ratio:8.2f}")
        scatter = made["dock"][0]
        assert isinstance(scatter, Scatter)
        started = time.perf_counter()
        for i in range(100):
            scatter._hover(scatter.plane.frame.center() + scatter.plane.frame.topLeft() * (i / 100))
        print(f"{n:>8} points  {'hovering, ms':24}{(time.perf_counter() - started) * 10:8.2f}")
    del app


if __name__ == "__main__":
    main()
