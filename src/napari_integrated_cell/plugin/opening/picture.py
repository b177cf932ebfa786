"""A small picture of the middle plane of a stack that is to be opened."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtGui import QImage, QPixmap

from napari_integrated_cell.imaging.choices import ReadingChoices
from napari_integrated_cell.imaging.formats.scene import OpenedFile

_SIDE = 160  # pixels
_MOST_CHANNELS = 3
_MOST_BYTES = 64 << 20  # a larger piece of the file is not read for a picture


def middle_planes(opened: OpenedFile, choices: ReadingChoices, scene: int) -> QPixmap | None:
    """Return the middle plane of the first channels, side by side; None if that is not quick or does not succeed."""
    from napari_integrated_cell.imaging.formats.damage import one_sentence_about
    from napari_integrated_cell.imaging.stacks import computed, stack_of

    try:
        with one_sentence_about(opened.path):
            data = stack_of(opened, scene, choices.time, choices.axes, lazy=True).data
            if _bytes_to_read(data) > _MOST_BYTES:
                return None
            planes = computed(data[:_MOST_CHANNELS, data.shape[1] // 2])
    except (ValueError, OSError):
        return None
    grey = np.ascontiguousarray(np.concatenate([_grey(plane) for plane in planes], axis=1))
    height, width = grey.shape
    image = QImage(grey.data, width, height, width, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image.copy())


def _bytes_to_read(data: Any) -> int:
    """Return the bytes of the chunks that hold one plane of each channel."""
    depth, height, width = (max(chunks) for chunks in data.chunks[1:])
    tiles = -(-data.shape[2] // height) * -(-data.shape[3] // width)
    channels = min(data.shape[0], _MOST_CHANNELS)
    return int(channels * depth * height * width * tiles * data.dtype.itemsize)


def _grey(plane: NDArray[Any]) -> NDArray[np.uint8]:
    """Return a plane, made smaller, as grey levels with a dark line at its right."""
    step = max(1, -(-max(plane.shape) // _SIDE))
    small = np.nan_to_num(plane[::step, ::step].astype(np.float64), posinf=0, neginf=0)
    low, high = np.percentile(small, (1, 99.8))
    grey = (np.clip((small - low) / max(high - low, 1e-12), 0, 1) * 255).astype(np.uint8)
    return np.pad(grey, ((0, 0), (0, 2)))
