"""The trained model: encode, decode, integrate, classify, reconstruct and sample cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Self, Unpack

import numpy as np
import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from napari_integrated_cell.arrays import Floats
from napari_integrated_cell.model import inputs
from napari_integrated_cell.model.conditional_prior import ConditionalPrior, DrawFrom, drawn_from
from napari_integrated_cell.model.config import ModelConfig
from napari_integrated_cell.model.inference import memory_format, on_device, plain_layers
from napari_integrated_cell.model.latent import Landmark, LatentStatistics
from napari_integrated_cell.model.latent_draws import SHAPES, Seed, standard_normal
from napari_integrated_cell.model.networks import (
    ConditionalDecoder,
    ConditionalEncoder,
    ReferenceDecoder,
    ReferenceEncoder,
    initialise,
    model_networks,
)
from napari_integrated_cell.model.novelty import KnownStructures
from napari_integrated_cell.model.runtime import RunOptions, batches, choose_device, part_of_run
from napari_integrated_cell.model.typicality import TypicalityReference
from napari_integrated_cell.model.variation_reference import VariationReference

NETWORK_NAMES = ("enc_ref", "dec_ref", "enc_cond", "dec_cond")
OnStructure = Callable[[str, Floats], None]


class IntegratedCell:
    """The four networks of a trained model, and the methods that use them.

    Images are (N, C, Z, Y, X) in the box of ``config``, with values in [0, 1]. Their channels are
    ``config.references``, then the structure. Every method takes numpy arrays or tensors, returns float32 arrays,
    raises ValueError for invalid inputs, and takes these keyword arguments:

    - ``batch_size``: number of images that are computed at once (8, or fewer if memory runs out),
    - ``cancel``: a :class:`~.runtime.CancelToken`, checked before each batch (raises ``Cancelled``),
    - ``progress``: called as ``progress(done, total, what)`` after each batch.

    Parameters
    ----------
    config : ModelConfig
        The architecture.
    enc_ref, dec_ref, enc_cond, dec_cond : torch.nn.Module
        Enc^r, Dec^r, Enc^{r,s} and Dec^{r,s} with the architecture ``config``. They are switched to eval mode, so
        that batch normalisation uses its running statistics. A trainer must switch them back.
    card : mapping, optional
        What is known about the model: provenance, licence, metrics, preprocessing, whether it was trained on
        simulated cells.
    name : str, optional
        Name of the model; by default the configuration's name.
    latent : LatentStatistics, optional
        Distribution of the training cells in the latent spaces.
    landmarks : sequence of Landmark, optional
        Representative cells of the stages of the cell cycle, in the order of the stages.
    variation : VariationReference, optional
        Reference scores of how much each structure varies.
    typicality : TypicalityReference, optional
        Distributions of known cells, which tell how typical a cell is.
    known_structures : KnownStructures, optional
        Statistics that tell whether a channel shows none of the model's structures.
    conditional_prior : ConditionalPrior, optional
        p(z^s | z^r, y), from which z^s is then drawn by default.
    exact : bool
        Compute in float32 with PyTorch's own layers on a CPU, not with the faster forms of :mod:`.inference`.
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
        latent: LatentStatistics | None = None,
        landmarks: Sequence[Landmark] = (),
        variation: VariationReference | None = None,
        typicality: TypicalityReference | None = None,
        known_structures: KnownStructures | None = None,
        conditional_prior: ConditionalPrior | None = None,
        exact: bool = False,
    ) -> None:
        self.config = config
        self.enc_ref, self.dec_ref = enc_ref, dec_ref
        self.enc_cond, self.dec_cond = enc_cond, dec_cond
        self.card: Mapping[str, Any] = MappingProxyType(dict(card or {}))
        self.name = name or config.name
        self.latent = latent
        self.landmarks = tuple(landmarks)
        self.variation = variation
        self.typicality = typicality
        self.known_structures = known_structures
        self.conditional_prior = conditional_prior
        self.exact = exact
        for network in self.networks.values():
            network.eval()
        self.to(self.device)

    @classmethod
    def untrained(cls, config: ModelConfig, seed: int = 0) -> Self:
        """Return a model with random initial weights, as a stand-in for a trained one."""
        generator = torch.Generator().manual_seed(seed)
        model = cls(config, *model_networks(config))
        for network in model.networks.values():
            initialise(network, generator)
        return model

    def __repr__(self) -> str:
        c = self.config
        box = " × ".join(map(str, c.box))
        return (
            f"<IntegratedCell {self.name!r}, trained on {self.trained_on}: {c.n_structures} structures, box {box} of "
            f"{c.voxel_size:g} µm, z_ref {c.n_ref}, z_struct {c.n_struct}, on {self.device}>"
        )

    @property
    def networks(self) -> dict[str, nn.Module]:
        """The four networks by name, in the order of the constructor."""
        return {name: getattr(self, name) for name in NETWORK_NAMES}

    @property
    def trained_on(self) -> str:
        """What the model was trained on: ``"simulated cells"`` or ``"real cells"``."""
        return "simulated cells" if self.card.get("simulated") else "real cells"

    @property
    def device(self) -> torch.device:
        """Device of the weights."""
        return next(self.enc_ref.parameters()).device

    def to(self, device: str | torch.device) -> Self:
        """Move the model to ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"mps"``, in place, and return it.

        Raises
        ------
        ValueError
            If this machine has no such device. The message lists its devices.
        """
        target = choose_device(device) if isinstance(device, str) else device
        for network in self.networks.values():
            network.to(target).to(memory_format=memory_format(target))  # type: ignore[call-overload]
        return self

    def encode(self, x_ref: ArrayLike | Tensor, **run: Unpack[RunOptions]) -> Floats:
        """Encode reference images (N, R, Z, Y, X) to z^r = Enc^r(x^r) (equation 1), (N, n_ref)."""
        images = inputs.images(x_ref, self.config.references, self.config)
        (z_ref,) = self._gather("Encoding cells", lambda x: (self.enc_ref(x),), [images], run)
        return z_ref

    def encode_all(self, x: ArrayLike | Tensor, **run: Unpack[RunOptions]) -> tuple[Floats, Floats, Floats]:
        """Encode images (N, R + 1, Z, Y, X) to ŷ, ẑ^r, z^s = Enc^{r,s}(x^{r,s}) (equation 7).

        Returns
        -------
        y, z_ref, z_struct : array
            Probabilities (N, K) in the order of ``config.structures``, and latent positions (N, n_ref) and
            (N, n_struct).
        """
        images = inputs.images(x, self._channels, self.config)
        y, z_ref, z_struct = self._gather("Encoding cells", self._code, [images], run)
        return y, z_ref, z_struct

    def classify(self, x: ArrayLike | Tensor, **run: Unpack[RunOptions]) -> Floats:
        """Return ŷ (equation 7), the probabilities (N, K) of each structure in images (N, R + 1, Z, Y, X)."""
        return self.encode_all(x, **run)[0]

    def reconstruct(self, x: ArrayLike | Tensor, **run: Unpack[RunOptions]) -> Floats:
        """Encode and decode images; the result has the images' shape.

        Reference images (N, R, Z, Y, X) become Dec^r(Enc^r(x^r)) (equations 1, 2). Images with a structure
        (N, R + 1, Z, Y, X) become Dec^{r,s}(Enc^{r,s}(x^{r,s})) (equations 7, 12), with ŷ as probabilities.
        """
        reference_only = np.ndim(x) != 5 or np.shape(x)[1] != len(self._channels)
        channels = self.config.references if reference_only else self._channels
        images = inputs.images(x, channels, self.config)

        def compute(x: Tensor) -> tuple[Tensor, ...]:
            return (self.dec_ref(self.enc_ref(x)) if reference_only else self.dec_cond(*self._code(x)),)

        (decoded,) = self._gather("Reconstructing cells", compute, [images], run)
        return decoded

    def decode_reference(self, z_ref: ArrayLike | Tensor, **run: Unpack[RunOptions]) -> Floats:
        """Decode z^r (N, n_ref) to reference images x̂^r = Dec^r(z^r) (equation 2), (N, R, Z, Y, X)."""
        positions = inputs.latent(z_ref, self.config.n_ref, "z_ref")
        (decoded,) = self._gather("Decoding cells", lambda z: (self.dec_ref(z),), [positions], run)
        return decoded

    def decode(
        self,
        z_ref: ArrayLike | Tensor,
        structure: str,
        z_struct: ArrayLike | Tensor | None = None,
        **run: Unpack[RunOptions],
    ) -> Floats:
        """Decode x̂^{r,s} = Dec^{r,s}(z^r, y, z^s) (equation 12), (N, R + 1, Z, Y, X) with the structure last.

        Parameters
        ----------
        z_ref : array (N, n_ref)
            z^r, the cell and nuclear shape.
        structure : str
            The structure's name in the model or a name that the vocabulary knows.
        z_struct : array (N, n_struct), optional
            z^s, the structure's remaining variation; by default the prior's mode, zeros.
        **run
            Keyword arguments of every method.
        """
        label = torch.tensor([inputs.structure_index(structure, self.config)])
        positions, residual = self._positions(z_ref, z_struct)

        def compute(label: Tensor, z_ref: Tensor, z_struct: Tensor) -> tuple[Tensor, ...]:
            return (self.dec_cond(self._one_hot(label), z_ref, z_struct),)

        arguments = [label.expand(len(positions)), positions, residual]
        (decoded,) = self._gather(f"Decoding {structure}", compute, arguments, run)
        return decoded

    def decode_structures(
        self,
        z_ref: ArrayLike | Tensor,
        structures: str | Iterable[str] | None = None,
        z_struct: ArrayLike | Tensor | None = None,
        *,
        on_structure: OnStructure | None = None,
        **run: Unpack[RunOptions],
    ) -> dict[str, Floats]:
        """Decode x̂^s of several structures in the cells at ``z_ref`` (N, n_ref): the loop of Algorithm 3.

        Structures share batches. ``z_struct`` (N, n_struct) is the same for all. The rest is as for :meth:`integrate`.
        """
        names = inputs.structure_names(structures, self.config)
        positions, residual = self._positions(z_ref, z_struct)
        n = len(positions)
        labels = torch.tensor([inputs.structure_index(name, self.config) for name in names])

        def compute(label: Tensor, z_ref: Tensor, z_struct: Tensor) -> tuple[Tensor, ...]:
            return (self.dec_cond.structure(self._one_hot(label), z_ref, z_struct),)

        # All cells of the first structure, then all cells of the second, so that each structure is complete early.
        arguments = [
            labels.repeat_interleave(n),
            positions.repeat(len(names), 1),
            residual.repeat(len(names), 1),
        ]
        volumes = {name: np.empty((n, *self.config.box), np.float32) for name in names}
        for part, (decoded,) in self._batched("Integrating structures", compute, arguments, run):
            for item, volume in enumerate(decoded, part.start):
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
        on_structure: OnStructure | None = None,
        **run: Unpack[RunOptions],
    ) -> dict[str, Floats]:
        """Predict the most probable localisation of structures in given cells (Algorithm 3).

        z^r = Enc^r(x^r); then, for each structure, x̂^s of Dec^{r,s}(z^r, y, argmax p(z^s)).

        Parameters
        ----------
        x_ref : array (N, R, Z, Y, X)
            Reference images.
        structures : str or iterable of str, optional
            Names in the model, or names that the vocabulary knows; by default all structures of the model.
        on_structure : callable, optional
            Called as ``on_structure(name, volumes)`` as soon as a structure's volumes (N, Z, Y, X) are complete.
        **run
            Keyword arguments of every method.

        Returns
        -------
        dict of str to array (N, Z, Y, X)
            Volumes by the model's names, in the given order.
        """
        names = inputs.structure_names(structures, self.config)
        images = inputs.images(x_ref, self.config.references, self.config)
        n, total = len(images), len(images) * (1 + len(names))
        z_ref = self.encode(images, **part_of_run(run, 0, total))
        return self.decode_structures(z_ref, names, on_structure=on_structure, **part_of_run(run, n, total))

    def sample(
        self,
        n: int,
        structures: str | Iterable[str] | None = None,
        *,
        z_ref: ArrayLike | Tensor | None = None,
        seed: int | None = None,
        draw_from: DrawFrom | None = None,
        **run: Unpack[RunOptions],
    ) -> dict[str, Floats]:
        """Draw ``n`` cells from the model with z^r ~ N(0, I): per structure (N, R + 1, Z, Y, X).

        Every structure is drawn for the same ``n`` shapes. With ``z_ref``, (1, n_ref) or (n, n_ref), the shapes are
        given and only z^s is drawn, as :meth:`draw_z_struct` does. The draws of a structure depend on ``seed``, but not
        on the other requested structures.
        """
        if n < 1:
            raise ValueError(f"The number of cells is {n}: give 1 or more.")
        names = inputs.structure_names(structures, self.config)
        root = np.random.SeedSequence(seed)  # without a seed: random, but once for all structures
        drawn = standard_normal(root, SHAPES, n, self.config.n_ref) if z_ref is None else z_ref
        shapes = inputs.latent_of_each(drawn, self.config.n_ref, "z_ref", n)
        samples = {}
        for done, name in enumerate(names):
            residual = self.draw_z_struct(n, name, root, z_ref=shapes, draw_from=draw_from)
            samples[name] = self.decode(shapes, name, residual, **part_of_run(run, done * n, len(names) * n))
        return samples

    def draw_z_struct(
        self,
        n: int,
        structure: str,
        seed: Seed,
        *,
        z_ref: ArrayLike | Tensor | None = None,
        draw_from: DrawFrom | None = None,
    ) -> Floats:
        """Draw z^s of a structure's first ``n`` draws, (n, n_struct), the same as in :meth:`sample`.

        ``draw_from`` is ``"prior"``, N(0, I), or ``"conditional"``, p(z^s | z^r, y) at ``z_ref``, (1, n_ref) or
        (n, n_ref). The latter is the default if the model has it and z^r is given.
        """
        index = inputs.structure_index(structure, self.config)
        normal = standard_normal(seed, 1 + index, n, self.config.n_struct)
        known = drawn_from(self.conditional_prior, draw_from, z_ref, self.name)
        if known is None or z_ref is None:
            return normal
        shapes = inputs.latent_of_each(z_ref, self.config.n_ref, "z_ref", n).numpy()
        return known.drawn(self.config.structures[index], shapes, normal)

    @property
    def _channels(self) -> tuple[str, ...]:
        return (*self.config.references, "structure")

    def _code(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return ŷ as probabilities, ẑ^r and z^s: the inputs of Dec^{r,s}."""
        code = self.enc_cond(x)
        return code.y_logits.softmax(1), code.z_ref, code.z_struct

    def _positions(
        self, z_ref: ArrayLike | Tensor, z_struct: ArrayLike | Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Return z^r, and z^s of as many cells: the given one, or argmax p(z^s) = 0."""
        positions = inputs.latent(z_ref, self.config.n_ref, "z_ref")
        n, size = len(positions), self.config.n_struct
        if z_struct is None:
            return positions, torch.zeros(n, size)
        return positions, inputs.latent(z_struct, size, "z_struct", n=n)

    def _one_hot(self, label: Tensor) -> Tensor:
        return nn.functional.one_hot(label, self.config.n_structures).float()

    def _batched(
        self,
        what: str,
        compute: Callable[..., tuple[Tensor, ...]],
        arguments: Sequence[Tensor],
        run: RunOptions,
    ) -> Iterator[tuple[slice, list[Floats]]]:
        """Run ``compute`` on batches of ``arguments`` on the device, and yield float32 arrays."""
        device = self.device

        def step(part: slice) -> list[Floats]:
            # Inside the batch: both are per thread, and must not leak to the caller between batches.
            with torch.inference_mode(), plain_layers(self.exact):
                outputs = compute(*(on_device(tensor[part], device) for tensor in arguments))
                return [output.float().cpu().contiguous().numpy() for output in outputs]

        return batches(step, len(arguments[0]), what=what, **run)

    def _gather(
        self,
        what: str,
        compute: Callable[..., tuple[Tensor, ...]],
        arguments: Sequence[Tensor],
        run: RunOptions,
    ) -> list[Floats]:
        """Concatenate all batches of :meth:`_batched`."""
        results = [arrays for _, arrays in self._batched(what, compute, arguments, run)]
        return [np.concatenate(parts) for parts in zip(*results, strict=True)]
