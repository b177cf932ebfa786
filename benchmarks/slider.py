"""Measure how fast the window follows a slider of the dock "Latent explorer": pictures a second, and latency.

The script drags a slider to and fro with 125 events a second, as a mouse does. Membrane, DNA and two structures are
shown. A picture counts when the canvas is on the screen (Qt's ``frameSwapped``) with a new position. Its latency is the
time from the slider's event to that moment.

Four ways are compared in the same window with the same drag:

- the dock;
- the dock without blends: every position is decoded;
- a plain handler that decodes every channel and sets the data of the layers;
- a plain handler that removes the layers and adds new ones.

The script also prints how many cells the dock decoded, how long the exact cell takes after the slider is released, and
the error of a blend half-way between two cells. ``--untrained paper --dock-only`` measures the paper's network size.

It needs a display. Without one, run ``scripts/with-screen python benchmarks/slider.py``.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

from measuring import replaced

_EVENT = 8  # ms between two events of a mouse


class Watch:
    """Records when each position was requested and shown. Create it first, so that it receives each event first."""

    def __init__(self, session: Any) -> None:
        self._asked: dict[int, tuple[float, Any]] = {}
        self._last: Any = None
        self.latencies: list[float] = []
        self.showing: Callable[[], Any] = lambda: None
        session.scene.events.position.connect(self._hear)

    def _hear(self, position: Any) -> None:
        self._asked[id(position)] = (
            time.perf_counter(),
            position,
        )  # keep a reference, so that no other object gets its id

    def seen(self) -> None:
        """Record that the canvas has been drawn."""
        position = self.showing()
        if position is not self._last and id(position) in self._asked:
            self.latencies.append(time.perf_counter() - self._asked[id(position)][0])
            self._last = position


def drag(slider: Any, seconds: float) -> None:
    """Press the slider's handle and move it left and right."""
    from qtpy.QtCore import QEventLoop, QTimer

    loop, begun = QEventLoop(), time.perf_counter()
    reach = slider.maximum() // 2

    def move() -> None:
        passed = time.perf_counter() - begun
        slider.setSliderPosition(round(reach * math.sin(1.5 * passed)))
        if passed > seconds:
            loop.quit()

    timer = QTimer()
    timer.setInterval(_EVENT)
    timer.timeout.connect(move)
    slider.setSliderDown(True)
    timer.start()
    loop.exec()
    timer.stop()
    slider.setSliderDown(False)


def rest(app: Any, seconds: float) -> None:
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        app.processEvents()
        time.sleep(0.005)


def blend_errors(model: Any, axes: Any, shown: tuple[str, ...], step: float) -> dict[str, float]:
    """Return each channel's RMS error of a blend half-way, over its RMS change from -2 to 2 on the first axis."""
    import numpy as np

    from napari_integrated_cell.latent.position import Position, decode

    def at(value: float) -> Any:
        position = Position(axes.moved(np.zeros(model.config.n_ref, np.float32), {0: value}))
        return np.stack(list(decode(model, position, shown).values()))

    starts = np.arange(-2, 2, step)
    errors = [((at(v) + at(v + step)) / 2 - at(v + step / 2)) ** 2 for v in starts]
    change = ((at(2) - at(-2)) ** 2).mean((1, 2, 3))
    return dict(zip(shown, np.sqrt(np.mean(errors, axis=(0, 2, 3, 4)) / change), strict=True))


def main() -> int:
    arguments = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    arguments.add_argument("--model", default="demo")
    arguments.add_argument("--untrained", metavar="PRESET", help="a model of this size with random weights")
    arguments.add_argument("--3d", dest="in_3d", action="store_true", help="show the volumes in 3D")
    arguments.add_argument("--dock-only", action="store_true", help="leave out the other ways, and the error")
    arguments.add_argument("--seconds", type=float, default=5.0)
    arguments.add_argument("--structures", default="fibrillarin,TOM20")
    given = arguments.parse_args()
    if sys.platform.startswith("linux") and not (
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    ):
        print("benchmarks/slider.py needs a display: run it under scripts/with-screen.")
        return 0

    import napari
    import torch
    from qtpy.QtWidgets import QApplication

    from napari_integrated_cell.latent.position import decode
    from napari_integrated_cell.model.config import preset
    from napari_integrated_cell.model.integrated_cell import IntegratedCell
    from napari_integrated_cell.plugin.explore.actions import axes_of
    from napari_integrated_cell.plugin.explore.dock import ExploreWidget
    from napari_integrated_cell.plugin.scene import decoder as scenes
    from napari_integrated_cell.plugin.scene.decoder import scene_of
    from napari_integrated_cell.plugin.scene.key_frames import STEPS
    from napari_integrated_cell.plugin.scene.state import SceneState
    from napari_integrated_cell.plugin.session import session_of

    viewer = napari.Viewer()
    viewer.window._qt_window.resize(1280, 800)
    session = session_of(viewer)
    session.choose_model(given.model)
    if given.untrained:
        session.open_model = lambda source, device: IntegratedCell.untrained(preset(given.untrained))
    shown = ("membrane", "dna", *given.structures.split(","))
    session.scene.shown = shown
    watch = Watch(session)
    dock = ExploreWidget(viewer)
    viewer.window.add_dock_widget(dock, name="Latent explorer")
    app, scene = QApplication.instance(), scene_of(viewer, session)
    while scene.showing is None:
        rest(app, 0.1)
    viewer.dims.ndisplay = 3 if given.in_3d else 2
    rest(app, 1.0)
    canvas, slider = viewer.window._qt_viewer.canvas.native, dock.sliders.rows[0].slider
    canvas.frameSwapped.connect(watch.seen)
    model = session.load()
    everything = (*model.config.references, *model.config.structures)
    own: list[Any] = []
    answered: list[Any] = [None]

    def add(volumes: dict[str, Any]) -> None:
        options = {"blending": "additive", "interpolation2d": "linear", "contrast_limits": (0, 1)}
        own.extend(
            viewer.add_image(volumes[c], name=c, scale=(model.config.voxel_size,) * 3, **options)
            for c in shown
        )

    def in_place(position: Any) -> None:
        volumes = decode(model, position, everything)
        for channel, layer in zip(shown, own, strict=True):
            layer.data = volumes[channel]
        answered[0] = position

    def new_layers(position: Any) -> None:
        volumes = decode(model, position, everything)
        while own:
            viewer.layers.remove(own.pop())
        add(volumes)
        answered[0] = position

    print(
        f"model {model.name}, {', '.join(shown)}; {torch.get_num_threads()} threads; canvas {canvas.width()} x "
        f"{canvas.height()}; an event every {_EVENT} ms"
    )
    print(f"{'':32} {'drawn/s':>8} {'median':>8} {'95 %':>8}  ms from slider event to screen")
    results: dict[str, list[float]] = {}
    decoded: list[Any] = []

    def counted(model: Any, position: Any, *arguments: Any, **options: Any) -> Any:
        decoded.append(position)
        return decode(model, position, *arguments, **options)

    def measure(name: str, showing: Callable[[], Any]) -> None:
        drag(slider, 1.0)
        decoded.clear()
        watch.showing, watch.latencies = showing, []
        drag(slider, given.seconds)
        results[name] = ordered = sorted(watch.latencies)
        watch.showing = lambda: None
        late, rate = ordered[int(0.95 * (len(ordered) - 1))], len(ordered) / given.seconds
        print(f"{name:32} {rate:8.1f} {1e3 * statistics.median(ordered):8.1f} {1e3 * late:8.1f}", flush=True)

    def until_exact() -> float:
        began = time.perf_counter()
        while not scene.exact:
            app.processEvents()
            time.sleep(0.002)
        return time.perf_counter() - began

    scenes.decode = counted
    measure("latent explorer", lambda: scene.showing)
    n_decoded = len(decoded)
    print(f"the exact cell is shown {1e3 * until_exact():.0f} ms after the slider is released")
    if given.dock_only:
        viewer.close()
        print(f"{n_decoded} cells were decoded")
        return 0
    with replaced(SceneState, "line", None):
        measure("every position decoded", lambda: scene.showing)
        until_exact()
    viewer.layers.clear()  # the explorer then shows nothing and decodes nothing
    add(decode(model, scene.showing, everything))
    for name, handler in (("plain, in place", in_place), ("plain, new layers", new_layers)):
        session.scene.events.position.connect(handler)
        measure(name, lambda: answered[0])
        rest(app, 0.5)
        session.scene.events.position.disconnect(handler)
    viewer.close()
    ours = results["latent explorer"]
    print(f"for the {len(ours)} pictures of the latent explorer {n_decoded} cells were decoded")
    for channel, share in blend_errors(model, axes_of(session), shown, STEPS[-1]).items():
        print(
            f"half-way between two of them, {channel} is wrong by {100 * share:.1f} % of the change during the drag"
        )
    for name in ("plain, in place", "plain, new layers"):
        theirs = results[name]
        print(
            f"against {name!r}: {len(ours) / len(theirs):.1f} times the updates, "
            f"{statistics.median(theirs) / statistics.median(ours):.1f} times shorter latency"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
