"""Wait for the first picture in the dock *Integrate structures*, from the click on, on the interphase sample.

It needs a display. Without one, run ``scripts/with-screen python benchmarks/first_picture.py``.
"""

from __future__ import annotations

import os
import statistics
import sys
import time
from collections.abc import Callable, Iterator

from measuring import Row


def has_display() -> bool:
    return not sys.platform.startswith("linux") or bool(
        os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")
    )


def rows() -> Iterator[Row]:
    if not has_display():
        return
    import napari
    from qtpy.QtWidgets import QApplication, QPushButton

    viewer = napari.Viewer()
    viewer.window._qt_window.show()
    viewer.open_sample("napari-integrated-cell", "interphase")
    _, dock = viewer.window.add_plugin_dock_widget("napari-integrated-cell", "Integrate structures")
    app = QApplication.instance()

    def wait(done: Callable[[], bool]) -> float:
        started = time.perf_counter()
        while not done() and time.perf_counter() < started + 60:
            app.processEvents()
            time.sleep(0.002)
        return time.perf_counter() - started

    wait(lambda: "µm³" in dock.preview.words)
    (button,) = [b for b in dock.findChildren(QPushButton) if b.text() == "&Integrate structures"]
    times = []
    for _ in range(6):
        before = {layer.name: id(layer.data) for layer in viewer.layers}
        button.click()
        times.append(wait(lambda b=before: any(b.get(x.name) != id(x.data) for x in viewer.layers)))
        wait(button.isEnabled)
        pause = time.perf_counter() + 0.5
        wait(lambda p=pause: time.perf_counter() > p)
    viewer.close()
    yield Row("first picture after the click, model not open yet", times[0])
    yield Row("first picture after the click, model open", statistics.median(times[1:]))


if __name__ == "__main__":
    from table import print_table

    print_table(rows())
