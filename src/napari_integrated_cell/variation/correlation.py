"""Correlations, mean and standard deviation of many volumes, with only a few in memory.

Importing this module imports no torch.
"""

from __future__ import annotations

import tempfile
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_integrated_cell.arrays import Doubles, Floats, Mask
from napari_integrated_cell.model.runtime import CancelToken
from napari_integrated_cell.processes import slices

SLAB_BYTES = 64 * 1024**2
"""Largest part of the temporary file that is held in memory at a time, as float64."""

# A volume whose relative standard deviation is below this rounding error is constant.
_FLAT = 1e-12


def correlation_matrix(volumes: ArrayLike) -> Doubles:
    """Return ρ, the Pearson correlations over voxels between every two of n volumes in memory.

    Parameters
    ----------
    volumes : array (n, ...)
        At least one volume with at least two voxels.

    Returns
    -------
    array of float64, (n, n)
        Symmetric, with ones on the diagonal.

    Raises
    ------
    ValueError
        If there is no volume, a volume is constant, or a volume holds NaN or infinite values.
    """
    array = np.asarray(volumes)
    if array.ndim < 2 or len(array) == 0:
        raise ValueError(f"The volumes have shape {array.shape}: give (n, Z, Y, X), one or more.")
    flat = array.reshape(len(array), -1).astype(np.float64)
    means = flat.mean(axis=1)
    flat -= means[:, None]
    return _normalised(flat @ flat.T, means, flat.shape[1])


class CorrelationStream:
    """:func:`correlation_matrix` of volumes that arrive one after another and do not fit into memory together.

    Every correlation needs two volumes at once. Each volume is therefore written as float32 to a temporary file
    without a name, in the system's temporary folder (environment variable ``TMPDIR``), which disappears when the
    process ends. ρ is the sum over slabs of voxels, and each slab is read once for all volumes.

    To decode volumes again for each pair of blocks of b takes n / 2b times the decoding. Storing float16 would halve
    the file, but its rounding errors show in a nearly singular ρ: they change the score of 1000 draws by 0.08.

    Parameters
    ----------
    mask : array of bool, optional
        Voxels to correlate over, in a volume's shape; all voxels by default.
    slab_bytes : int
        Memory limit of a slab.

    Examples
    --------
    >>> with CorrelationStream() as stream:
    ...     for block in np.random.default_rng(0).random((3, 2, 4, 5, 6)):
    ...         stream.add(block)
    ...     stream.matrix().shape
    (6, 6)
    """

    def __init__(self, mask: Mask | None = None, *, slab_bytes: int = SLAB_BYTES) -> None:
        self._mask = mask
        self._slab_bytes = slab_bytes
        self._means: list[float] = []
        self._n_voxels = 0
        self._spool = tempfile.TemporaryFile(prefix="napari-ic-")  # noqa: SIM115 - closed by __exit__

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._spool.close()

    def __len__(self) -> int:
        return len(self._means)

    def add(self, block: NDArray[Any]) -> None:
        """Add volumes (m, Z, Y, X).

        Raises
        ------
        ValueError
            If they have another size than earlier volumes.
        OSError
            If the disk is full.
        """
        flat = block.reshape(len(block), -1) if self._mask is None else block[:, self._mask]
        if len(self) and flat.shape[1] != self._n_voxels:
            raise ValueError(
                f"A volume of {flat.shape[1]} voxels follows volumes of {self._n_voxels}: give all the same size."
            )
        self._n_voxels = flat.shape[1]
        self._means.extend(flat.mean(axis=1, dtype=np.float64))
        self._spool.seek(0, 2)
        try:
            self._spool.write(np.ascontiguousarray(flat, np.float32).data)
            self._spool.flush()
        except OSError as error:
            needed = flat.shape[1] * 4 / 1e6
            raise OSError(
                f"Draws of {needed:.1f} MB each could not be written to {tempfile.gettempdir()} "
                f"({error.strerror or error}): free some space, set TMPDIR to a larger disk, or ask for fewer draws."
            ) from error

    def matrix(self, cancel: CancelToken | None = None) -> Doubles:
        """Return ρ of all volumes so far, (n, n).

        Raises
        ------
        ValueError
            As :func:`correlation_matrix`.
        Cancelled
            If ``cancel`` was set. It is checked between slabs.
        """
        n = len(self)
        if n == 0:
            raise ValueError("There are no volumes to correlate: add one or more.")
        means = np.array(self._means)
        gram = np.zeros((n, n))
        width = max(1, self._slab_bytes // (8 * n))
        for part in slices(self._n_voxels, width, "correlating volumes", cancel=cancel):
            slab = self._slab(part.start, part.stop - part.start)
            slab -= means[:, None]
            gram += slab @ slab.T
        return _normalised(gram, means, self._n_voxels)

    def _slab(self, start: int, width: int) -> Doubles:
        """Return voxels ``start`` to ``start + width`` of every volume, (n, width)."""
        slab = np.empty((len(self), width))
        for i, row in enumerate(slab):
            self._spool.seek(4 * (i * self._n_voxels + start))
            row[:] = np.frombuffer(self._spool.read(4 * width), np.float32)
        return slab


class Moments:
    """Mean and standard deviation of volumes that arrive in blocks, by the pairwise update of Chan et al. (1983).

    Unlike sums of squares it loses no digits if the mean is far from zero. Blocks of one give Welford's algorithm.
    """

    def __init__(self) -> None:
        self.n = 0
        self._mean: Doubles = np.zeros(())
        self._squares: Doubles = np.zeros(())

    def add(self, block: NDArray[Any]) -> None:
        """Add volumes, (m, ...)."""
        m = len(block)
        mean = block.mean(axis=0, dtype=np.float64)
        squares = np.square(block - mean).sum(axis=0)
        step = mean - self._mean
        total = self.n + m
        self._squares = self._squares + squares + step**2 * (self.n * m / total)
        self._mean = self._mean + step * (m / total)
        self.n = total

    @property
    def mean(self) -> Floats:
        """Mean of each voxel."""
        return self._mean.astype(np.float32)

    @property
    def deviation(self) -> Floats:
        """Standard deviation of each voxel, with division by n."""
        return np.sqrt(self._squares / self.n).astype(np.float32)


def _normalised(gram: Doubles, means: Doubles, n_voxels: int) -> Doubles:
    """Scale products of centred volumes to correlations."""
    norms = np.sqrt(gram.diagonal())
    if not np.isfinite(norms).all():
        raise ValueError(
            f"Volume {int(np.argmin(np.isfinite(norms)))} holds NaN or infinite values: leave it out."
        )
    flat = norms <= _FLAT * np.abs(means) * np.sqrt(n_voxels)
    if flat.any():
        raise ValueError(
            f"Volume {int(flat.argmax())} is the same in every voxel and has no correlation: leave it out, or "
            "choose a larger mask."
        )
    rho = gram / np.outer(norms, norms)
    rho = (rho + rho.T) / 2
    np.fill_diagonal(rho, 1)
    return rho
