"""The trained model as its user knows it: encode, integrate, classify, reconstruct, sample."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from napari_integrated_cell import vocabulary
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.networks import (
    ConditionalDecoder,
    ConditionalEncoder,
    ReferenceDecoder,
    ReferenceEncoder,
    initialise,
)
from napari_integrated_cell.model.runtime import CancelToken, Progress, batches, choose_device

Floats = NDArray[np.float32]
OnStructure = Callable[[str, Floats], None]

# Images are asked for in [0, 1]; resampling may overstep it by a rounding error.
_TOLERANCE = 1e-3


class IntegratedCell:
    """The four networks that remain after training, and what they answer.

    Every method takes numpy arrays or tensors and returns float32 numpy arrays, computes under inference mode on
    the model's ``device`` in batches of at most ``batch_size`` (fewer where memory runs out), looks at ``cancel``
    before each batch and calls ``progress(done, total, what)`` after it. Images are (N, C, Z, Y, X) on the box of
    ``config``, with values in [0, 1]; the channels are ``config.references``, then the structure's.

    Parameters
    ----------
    config : ModelConfig
        The architecture.
    enc_ref, dec_ref, enc_cond, dec_cond : torch.nn.Module
        Enc^r, Dec^r, Enc^{r,s} and Dec^{r,s} built from ``config``. They are put in eval mode, so that batch
        normalisation uses its running statistics: a trainer that lends its networks puts them back.
    card : mapping, optional
        What is known about the model: provenance, licence, metrics, preprocessing, whether its training cells
        were simulated.
    name : str, optional
        What to call the model; the configuration's name if left out.
    """

    def __init__(
        self,
        config: ModelConfig,
        enc_ref: ReferenceEncoder,
        dec_ref: ReferenceDecoder,
        enc_cond: ConditionalEncoder,
        dec_cond: ConditionalDecoder,
        *,
        card: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> None:
        self.config = config
        self.enc_ref, self.dec_ref = enc_ref, dec_ref
        self.enc_cond, self.dec_cond = enc_cond, dec_cond
        self.card: Mapping[str, Any] = MappingProxyType(dict(card or {}))
        self.name = name or config.name
        for network in self.networks.values():
            network.eval()
        self.to(self.device)

    @classmethod
    def untrained(cls, config: ModelConfig, seed: int = 0) -> Self:
        """A model of freshly drawn weights: the start of a training run, and a stand-in in tests."""
        generator = torch.Generator().manual_seed(seed)
        kinds = (ReferenceEncoder, ReferenceDecoder, ConditionalEncoder, ConditionalDecoder)
        networks = [kind(config) for kind in kinds]
        for network in networks:
            initialise(network, generator)
        return cls(config, *networks)

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The four networks by name, in the order of the constructor."""
        return {name: getattr(self, name) for name in ("enc_ref", "dec_ref", "enc_cond", "dec_cond")}

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.enc_ref.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Move the model to ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``, in place.

        Raises
        ------
        ValueError
            If this machine has no such device; the message says what it has.
        """
        target = choose_device(device) if isinstance(device, str) else device
        for network in self.networks.values():
            network.to(target, memory_format=_layout(target))
        return self

    def encode(
        self,
        x_ref: ArrayLike | Tensor,
        *,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """z^r = Enc^r(x^r) (equation 1): reference images (N, R, Z, Y, X) to (N, n_ref).

        Raises
        ------
        ValueError
            If the images have the wrong channels, box or values.
        """
        images = self._images(x_ref, self.config.references)
        (z_ref,) = self._gather(
            lambda x: (self.enc_ref(x),), [images], batch_size, cancel, progress, "Encoding the cell"
        )
        return z_ref

    def encode_all(
        self,
        x: ArrayLike | Tensor,
        *,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> tuple[Floats, Floats, Floats]:
        """ŷ, ẑ^r, z^s = Enc^{r,s}(x^{r,s}) (equation 7).

        Returns
        -------
        y, z_ref, z_struct : array
            Probabilities (N, K) in the order of ``config.structures``, and latent positions (N, n_ref) and
            (N, n_struct), of images (N, R + 1, Z, Y, X).

        Raises
        ------
        ValueError
            If the images have the wrong channels, box or values.
        """
        images = self._images(x, (*self.config.references, "structure"))

        def compute(x: Tensor) -> tuple[Tensor, ...]:
            code = self.enc_cond(x)
            return code.y_logits.softmax(1), code.z_ref, code.z_struct

        y, z_ref, z_struct = self._gather(
            compute, [images], batch_size, cancel, progress, "Encoding the cell"
        )
        return y, z_ref, z_struct

    def classify(
        self,
        x: ArrayLike | Tensor,
        *,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """ŷ (equation 7): which structure images (N, R + 1, Z, Y, X) show, as probabilities (N, K).

        Raises
        ------
        ValueError
            If the images have the wrong channels, box or values.
        """
        return self.encode_all(x, batch_size=batch_size, cancel=cancel, progress=progress)[0]

    def reconstruct(
        self,
        x: ArrayLike | Tensor,
        *,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """The autoencoder's image of an image, of the same shape.

        Reference images (N, R, Z, Y, X) go through Dec^r(Enc^r(x^r)) (equations 1, 2), images with a structure
        (N, R + 1, Z, Y, X) through Dec^{r,s}(Enc^{r,s}(x^{r,s})) (equations 7, 12) with ŷ as probabilities.

        Raises
        ------
        ValueError
            If the images have the wrong channels, box or values.
        """
        references = self.config.references
        has_structure = np.ndim(x) == 5 and np.shape(x)[1] == len(references) + 1
        images = self._images(x, (*references, "structure") if has_structure else references)

        def compute(x: Tensor) -> tuple[Tensor, ...]:
            if not has_structure:
                return (self.dec_ref(self.enc_ref(x)),)
            code = self.enc_cond(x)
            return (self.dec_cond(code.y_logits.softmax(1), code.z_ref, code.z_struct),)

        (decoded,) = self._gather(compute, [images], batch_size, cancel, progress, "Reconstructing the cell")
        return decoded

    def decode_reference(
        self,
        z_ref: ArrayLike | Tensor,
        *,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """x̂^r = Dec^r(z^r) (equation 2): latent positions (N, n_ref) to reference images (N, R, Z, Y, X).

        Raises
        ------
        ValueError
            If ``z_ref`` has the wrong shape or holds NaN.
        """
        positions = self._latent(z_ref, self.config.n_ref, "z_ref")
        (decoded,) = self._gather(
            lambda z: (self.dec_ref(z),), [positions], batch_size, cancel, progress, "Decoding the cell"
        )
        return decoded

    def decode(
        self,
        z_ref: ArrayLike | Tensor,
        structure: str,
        z_struct: ArrayLike | Tensor | None = None,
        *,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> Floats:
        """x̂^{r,s} = Dec^{r,s}(z^r, y, z^s) (equation 12), as (N, R + 1, Z, Y, X), the structure last.

        Parameters
        ----------
        z_ref : array (N, n_ref)
            Cell and nuclear shape.
        structure : str
            Its name, or a synonym the vocabulary knows.
        z_struct : array (N, n_struct), optional
            What is left to vary; the prior's mode (zeros) if left out.
        batch_size, cancel, progress
            As for every method.

        Raises
        ------
        ValueError
            If the model has no such structure, or a latent position has the wrong shape or holds NaN.
        """
        index = self._index(structure)
        positions = self._latent(z_ref, self.config.n_ref, "z_ref")
        residual = self._residual(z_struct, len(positions))

        def compute(z_ref: Tensor, z_struct: Tensor) -> tuple[Tensor, ...]:
            return (self.dec_cond(self._one_hot([index] * len(z_ref)), z_ref, z_struct),)

        (decoded,) = self._gather(
            compute, [positions, residual], batch_size, cancel, progress, f"Decoding {structure}"
        )
        return decoded

    def decode_structures(
        self,
        z_ref: ArrayLike | Tensor,
        structures: str | Iterable[str] | None = None,
        z_struct: ArrayLike | Tensor | None = None,
        *,
        batch_size: int = 4,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
        on_structure: OnStructure | None = None,
    ) -> dict[str, Floats]:
        """x̂^s of several structures in the cells at ``z_ref`` (N, n_ref): the loop of Algorithm 3.

        Several structures share a batch. ``z_struct`` (N, n_struct) is the same for all; see :meth:`integrate`
        for the rest.
        """
        names = self._names(structures)
        positions = self._latent(z_ref, self.config.n_ref, "z_ref")
        residual = self._residual(z_struct, len(positions))
        n = len(positions)
        labels = np.repeat([self._index(name) for name in names], n)
        cells = np.tile(np.arange(n), len(names))

        def compute(z_ref: Tensor, z_struct: Tensor, label: Tensor) -> tuple[Tensor, ...]:
            logits = self.dec_cond.logits(self._one_hot(label.tolist()), z_ref, z_struct)
            return (logits[:, -1].sigmoid(),)

        inputs = [positions[cells], residual[cells], torch.from_numpy(labels)]
        volumes = {name: np.empty((n, *self.config.box), np.float32) for name in names}
        for part, (decoded,) in self._batched(
            compute, inputs, batch_size, cancel, progress, "Integrating structures"
        ):
            for item, volume in zip(range(part.start, part.stop), decoded, strict=True):
                name, cell = names[item // n], item % n
                volumes[name][cell] = volume
                if cell == n - 1 and on_structure is not None:
                    on_structure(name, volumes[name])
        return volumes

    def integrate(
        self,
        x_ref: ArrayLike | Tensor,
        structures: str | Iterable[str] | None = None,
        *,
        batch_size: int = 4,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
        on_structure: OnStructure | None = None,
    ) -> dict[str, Floats]:
        """The most probable localisation of structures in given cells (Algorithm 3).

        z^r = Enc^r(x^r); then, per structure, x̂^s of Dec^{r,s}(z^r, y, argmax p(z^s)).

        Parameters
        ----------
        x_ref : array (N, R, Z, Y, X)
            Reference images in the model's box, values in [0, 1].
        structures : str or iterable of str, optional
            Which structures, by name or synonym; all of the model's if left out.
        batch_size, cancel, progress
            As for every method.
        on_structure : callable, optional
            Called as ``on_structure(name, volume)`` with each volume (N, Z, Y, X) as soon as it is there.

        Returns
        -------
        dict of str to array (N, Z, Y, X)
            In the order asked for.

        Raises
        ------
        ValueError
            If the model has no such structure, or the images have the wrong channels, box or values.
        Cancelled
            If ``cancel`` was set.
        """
        names = self._names(structures)
        images = self._images(x_ref, self.config.references)
        n, total = len(images), len(images) * (1 + len(names))
        z_ref = self.encode(
            images, batch_size=batch_size, cancel=cancel, progress=_within(progress, 0, total)
        )
        return self.decode_structures(
            z_ref,
            names,
            batch_size=batch_size,
            cancel=cancel,
            progress=_within(progress, n, total),
            on_structure=on_structure,
        )

    def sample(
        self,
        n: int,
        structures: str | Iterable[str] | None = None,
        *,
        z_ref: ArrayLike | Tensor | None = None,
        seed: int | None = None,
        batch_size: int = 8,
        cancel: CancelToken | None = None,
        progress: Progress | None = None,
    ) -> dict[str, Floats]:
        """``n`` cells that never were, per structure (N, R + 1, Z, Y, X): z^r and z^s drawn from N(0, I).

        The same ``n`` shapes are used for every structure. With ``z_ref``, (n_ref,) or (n, n_ref), the shapes
        are given and only z^s is drawn. A structure's draws depend on ``seed`` alone, not on the others asked
        for.

        Raises
        ------
        ValueError
            If ``n`` is not positive, the model has no such structure, or ``z_ref`` has the wrong shape.
        """
        if n < 1:
            raise ValueError(f"{n} cells were asked for: ask for 1 or more.")
        names = self._names(structures)
        shape_seed, *structure_seeds = np.random.SeedSequence(seed).spawn(1 + self.config.n_structures)
        if z_ref is None:
            positions = _normal(shape_seed, n, self.config.n_ref)
        else:
            positions = self._latent(np.atleast_2d(_numpy(z_ref)), self.config.n_ref, "z_ref")
            if len(positions) not in (1, n):
                raise ValueError(f"z_ref holds {len(positions)} cells but {n} were asked for: give 1 or {n}.")
            positions = positions.expand(n, -1)
        total = n * len(names)
        return {
            name: self.decode(
                positions,
                name,
                _normal(structure_seeds[self._index(name)], n, self.config.n_struct),
                batch_size=batch_size,
                cancel=cancel,
                progress=_within(progress, done, total),
            )
            for done, name in zip(range(0, total, n), names, strict=True)
        }

    def _names(self, structures: str | Iterable[str] | None) -> list[str]:
        """The structures asked for as ``config`` names them, each once, in the order asked for."""
        asked = self.config.structures if structures is None else structures
        names = [
            self.config.structures[self._index(s)] for s in ([asked] if isinstance(asked, str) else asked)
        ]
        if not names:
            raise ValueError("No structure was chosen: choose at least one.")
        return list(dict.fromkeys(names))

    def _index(self, structure: str) -> int:
        known = self.config.structures
        if structure in known:
            return known.index(structure)
        try:
            return known.index(vocabulary.structure(structure).name)
        except ValueError:
            raise ValueError(
                f"The model {self.name!r} has no structure {structure!r}; it has {', '.join(known)}."
            ) from None

    def _one_hot(self, labels: Sequence[int]) -> Tensor:
        return torch.eye(self.config.n_structures, device=self.device)[labels]

    def _images(self, x: ArrayLike | Tensor, channels: Sequence[str]) -> Tensor:
        """``x`` as a float32 tensor (N, C, Z, Y, X), once its shape and values are those the model takes."""
        images = _tensor(x, "The images")
        wanted = (len(channels), *self.config.box)
        if images.ndim != 5 or len(images) == 0 or tuple(images.shape[1:]) != wanted:
            raise ValueError(
                f"The images have shape {tuple(images.shape)}; {self.name!r} takes (N, {', '.join(map(str, wanted))}):"
                f" N cells, the channels {', '.join(channels)}, and the box (Z, Y, X) at"
                f" {self.config.voxel_size} µm a voxel."
            )
        low, high = (float(v) for v in images.aminmax())
        if low < -_TOLERANCE or high > 1 + _TOLERANCE:
            raise ValueError(
                f"The images hold values from {low:.4g} to {high:.4g}: scale each channel to [0, 1] first."
            )
        return images

    def _latent(self, z: ArrayLike | Tensor, size: int, what: str) -> Tensor:
        """``z`` as a float32 tensor (N, size)."""
        positions = _tensor(z, what)
        if positions.ndim != 2 or len(positions) == 0 or positions.shape[1] != size:
            raise ValueError(f"{what} has shape {tuple(positions.shape)}; {self.name!r} takes (N, {size}).")
        return positions

    def _residual(self, z_struct: ArrayLike | Tensor | None, n: int) -> Tensor:
        """z^s for ``n`` cells: what was given, or the mode of N(0, I)."""
        if z_struct is None:
            return torch.zeros(n, self.config.n_struct)
        residual = self._latent(z_struct, self.config.n_struct, "z_struct")
        if len(residual) != n:
            raise ValueError(f"z_struct holds {len(residual)} cells but z_ref holds {n}: give one for each.")
        return residual

    def _batched(
        self,
        compute: Callable[..., tuple[Tensor, ...]],
        inputs: Sequence[Tensor],
        batch_size: int,
        cancel: CancelToken | None,
        progress: Progress | None,
        what: str,
    ) -> Iterator[tuple[slice, list[Floats]]]:
        """``compute`` over batches of ``inputs``, on the device, as float32 arrays."""
        device = self.device

        def step(part: slice) -> list[Floats]:
            # Entered here because grad mode belongs to a thread, and must not leak to whoever takes the batch.
            with torch.inference_mode():
                outputs = compute(*(_moved(tensor[part], device) for tensor in inputs))
                return [output.float().cpu().contiguous().numpy() for output in outputs]

        return batches(step, len(inputs[0]), batch_size, cancel=cancel, progress=progress, what=what)

    def _gather(
        self,
        compute: Callable[..., tuple[Tensor, ...]],
        inputs: Sequence[Tensor],
        batch_size: int,
        cancel: CancelToken | None,
        progress: Progress | None,
        what: str,
    ) -> list[Floats]:
        """All batches of :meth:`_batched` put together."""
        results = [r for _, r in self._batched(compute, inputs, batch_size, cancel, progress, what)]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]


def _layout(device: torch.device) -> torch.memory_format:
    """Channels last is a sixth to a third faster for decoding on a CPU, and no gain in float32 elsewhere."""
    return torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format


def _moved(tensor: Tensor, device: torch.device) -> Tensor:
    if tensor.ndim == 5:
        return tensor.to(device, memory_format=_layout(device))
    return tensor.to(device)


def _numpy(values: ArrayLike | Tensor) -> NDArray[Any]:
    return values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)


def _tensor(values: ArrayLike | Tensor, what: str) -> Tensor:
    """A finite float32 tensor of its own memory, so that read-only arrays serve as well."""
    if isinstance(values, Tensor):
        tensor = values.detach().to(torch.float32)
    else:
        tensor = torch.from_numpy(np.array(values, dtype=np.float32))
    if not torch.isfinite(tensor).all():
        raise ValueError(f"{what} hold NaN or infinite values: replace them first.")
    return tensor


def _normal(seed: np.random.SeedSequence, n: int, size: int) -> Tensor:
    """Draws from N(0, I), the same on every device."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((n, size), dtype=np.float32))


def _within(progress: Progress | None, before: int, total: int) -> Progress | None:
    """``progress`` for a part of a longer work of ``total`` steps, ``before`` of which are done."""
    if progress is None:
        return None
    return lambda done, _, what: progress(before + done, total, what)
