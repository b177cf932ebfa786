"""Names for arrays by the type of their numbers. Docstrings state the shapes."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Reals = NDArray[np.floating]
Mask = NDArray[np.bool_]
Indices = NDArray[np.int64]
Labels = NDArray[np.int32]
Rgb = NDArray[np.uint8]
"""A picture (rows, columns, 3)."""
