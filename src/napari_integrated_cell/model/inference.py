"""Faster forms of the networks' blocks for inference on a CPU: the same function, in another order of sums.

On processors that compute in bf16, networks with layers of many weights do so, which halves the time.
`plain_layers` switches both off.

PyTorch's convolutions lose time in three places. A layer of many channels on a small grid reorders its weights at every
call: as a matrix product it only reads them. Batch normalisation and PReLU each pass over a large image: here they are
part of the convolution's weights, or one step in place. And a transposed convolution to few channels is slow: one
ordinary convolution computes its sub-pixels as channels (Shi et al., 2016).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import product
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from napari_integrated_cell.model.runtime import has_bf16

# Layers of at least so many weights, on grids of at most so many voxels, are matrix products.
_MANY_WEIGHTS, _FEW_VOXELS = 1 << 23, 64
# Normalisation becomes part of the weights of smaller layers. For larger ones this would cost more than it saves.
_FEW_WEIGHTS = 1 << 20
_TAPS = torch.tensor([[3, 1], [2, 0]])
"""Kernel entries (of a kernel of 4 with stride 2) of the two neighbours of an even voxel, and of an odd voxel."""
_PLAIN = ContextVar("plain", default=False)
_ROUNDED = WeakTensorKeyDictionary()
"""Large weights in bf16 by weight, each with the weight's version. To round them takes as long as a layer."""


@contextmanager
def plain_layers(plain: bool = True) -> Iterator[None]:
    """Compute with PyTorch's own layers in float32 as long as the context is open, in this thread."""
    before = _PLAIN.set(plain)
    try:
        yield
    finally:
        _PLAIN.reset(before)


def memory_format(device: torch.device) -> torch.memory_format:
    """Return the memory format. Channels last decodes 17 to 33 % faster on a CPU; elsewhere it gains nothing."""
    return torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format


def on_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Return a tensor on ``device``, images (N, C, Z, Y, X) in its memory format."""
    return tensor.to(device, memory_format=memory_format(device)) if tensor.ndim == 5 else tensor.to(device)


def applies(network: nn.Module, x: Tensor) -> bool:
    """Return whether these forms can replace the plain layers: on a CPU, in float32, and nothing is trained."""
    return (
        not network.training
        and not torch.is_grad_enabled()
        and not _PLAIN.get()
        and x.device.type == "cpu"
        and x.dtype == torch.float32
    )


def through(blocks: nn.Sequential, x: Tensor) -> Tensor:
    """Return what ``blocks`` make of ``x`` (N, n_in, Z, Y, X), in bf16 if that is faster."""
    if _is_large(blocks) and has_bf16(x.device):
        x = x.to(torch.bfloat16)
    for layers in blocks:
        x = block(layers, x)
    return x


def _is_large(blocks: nn.Sequential) -> bool:
    return any(layers.conv.weight.numel() >= _MANY_WEIGHTS for layers in blocks)  # type: ignore[union-attr, operator]


def block(layers: Any, x: Tensor) -> Tensor:
    """Return what a block of ``conv``, ``norm`` and a PReLU ``activation`` makes of ``x`` (N, n_in, Z, Y, X)."""
    conv, norm = layers.conv, layers.norm
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    shift = norm.bias - norm.running_mean * scale
    if conv.weight.numel() <= _FEW_WEIGHTS:
        along = (1, -1) if isinstance(conv, nn.ConvTranspose3d) else (-1, 1)
        weight, bias = conv.weight * scale.view(*along, 1, 1, 1), conv.bias * scale + shift
        out = _convolved(conv, x, weight.to(x.dtype), bias.to(x.dtype))
    else:
        out = _convolved(conv, x, _rounded(conv.weight, x.dtype), conv.bias.to(x.dtype))
        out = out.mul_(_per_channel(scale)).add_(_per_channel(shift))
    return F.leaky_relu_(out, float(layers.activation.weight)).to(x.dtype)


def _rounded(weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Return ``weight`` in ``dtype``; bf16 is kept until the weight changes or is no longer used."""
    if weight.dtype == dtype:
        return weight
    version, rounded = _ROUNDED.get(weight, (-1, weight))
    if version != weight._version:
        rounded = weight.detach().to(dtype)
        _ROUNDED[weight] = weight._version, rounded
    return rounded


def _per_channel(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _convolved(conv: nn.Conv3d | nn.ConvTranspose3d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve by ``conv`` (kernel 4, stride 2, padding 1) with these weights."""
    voxels, many = len(x) * x[0, 0].numel(), weight.numel() >= _MANY_WEIGHTS
    if isinstance(conv, nn.ConvTranspose3d):
        if many and voxels <= _FEW_VOXELS:
            return _up_by_product(conv, x, weight, bias)
        return F.conv_transpose3d(x, weight, bias, 2, 1, conv.output_padding)
    if many and voxels // 8 <= _FEW_VOXELS:
        return _down_by_product(x, weight, bias)
    return F.conv3d(x, weight, bias, 2, 1)


def _down_by_product(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve downwards: the 64 neighbours of each voxel as a row, times the kernels."""
    windows = F.pad(x, [1] * 6).unfold(2, 4, 2).unfold(3, 4, 2).unfold(4, 4, 2)
    n, n_in, *grid = windows.shape[:5]
    # The weights' entries in the order in which they lie in memory (channels last): they are not copied.
    rows = windows.permute(0, 2, 3, 4, 5, 6, 7, 1).reshape(-1, 64 * n_in)
    kernels = weight.permute(0, 2, 3, 4, 1).reshape(len(weight), 64 * n_in)
    out = torch.addmm(bias, rows, kernels.T)
    return out.view(n, *grid, len(weight)).permute(0, 4, 1, 2, 3)


def _up_by_product(conv: nn.ConvTranspose3d, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Convolve upwards: each voxel times the kernel gives 4 x 4 x 4 voxels, and these overlap."""
    n, n_in, *grid = x.shape
    n_out = weight.shape[1]
    kernel = weight.permute(0, 2, 3, 4, 1).reshape(n_in, 64 * n_out)
    parts = (x.permute(0, 2, 3, 4, 1).reshape(-1, n_in) @ kernel).view(n, *grid, 4, 4, 4, n_out)
    whole = [2 * size + extra for size, extra in zip(grid, conv.output_padding, strict=True)]
    out = bias.float().repeat(n, *[size + 2 for size in whole], 1)  # bf16 would round each sum
    z, y, x_ = grid
    for i, j, k in product(range(4), repeat=3):
        out[:, i : i + 2 * z : 2, j : j + 2 * y : 2, k : k + 2 * x_ : 2] += parts[:, :, :, :, i, j, k]
    return out[:, 1 : whole[0] + 1, 1 : whole[1] + 1, 1 : whole[2] + 1].permute(0, 4, 1, 2, 3)


def up_by_sub_pixels(step: nn.ConvTranspose3d, x: Tensor, channels: slice = slice(None)) -> Tensor:
    """Return some output channels of the convolution ``step`` of :func:`~.blocks.up` for ``x`` (N, n_in, Z, Y, X).

    Each voxel of ``x`` becomes 2 x 2 x 2 voxels, and each of these is a sum over 2 x 2 x 2 neighbours with its own
    kernel entries. One convolution of kernel 2 and stride 1 computes the eight voxels as channels, which are then
    moved to their places. For few channels this is several times faster on a CPU. Returns (N, channels, 2 Z, 2 Y, 2 X),
    one voxel longer where the step has an output padding, in float32 or better.
    """
    kernel, bias = step.weight[:, channels], step.bias
    n_in, n_out = kernel.shape[:2]
    # (out, in, parity of z, tap, parity of y, tap, parity of x, tap), the parities to channels
    kernel = kernel.transpose(0, 1)[:, :, _TAPS][:, :, :, :, _TAPS][:, :, :, :, :, :, _TAPS]
    kernel = kernel.permute(0, 2, 4, 6, 1, 3, 5, 7).reshape(8 * n_out, n_in, 2, 2, 2)
    kernel = kernel.to(x.dtype, memory_format=torch.channels_last_3d)
    biases = None if bias is None else bias[channels].to(x.dtype).repeat_interleave(8)
    parts = _convolved_by_one(x, kernel, biases).unflatten(1, (n_out, 2, 2, 2))
    grid = [2 * n + extra for n, extra in zip(x.shape[2:], step.output_padding, strict=True)]
    whole = torch.empty(
        (len(x), n_out, *grid),
        dtype=torch.promote_types(x.dtype, torch.float32),
        memory_format=torch.channels_last_3d,
    )
    for z, y, x_ in product((0, 1), repeat=3):
        target = whole[:, :, z::2, y::2, x_::2]
        depth, height, width = target.shape[2:]
        target.copy_(parts[:, :, z, y, x_, z : z + depth, y : y + height, x_ : x_ + width])
    return whole


def _convolved_by_one(x: Tensor, kernel: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve with stride 1 and padding 1, with oneDNN if it is available.

    By itself PyTorch runs a single small image on a kernel that takes five times as long.
    """
    if len(x) == 1 and x.dtype in (torch.float32, torch.bfloat16) and torch.backends.mkldnn.is_available():
        ones = (1, 1, 1)
        return torch.mkldnn_convolution(x, kernel, bias, ones, ones, ones, 1)
    return F.conv3d(x, kernel, bias, padding=1)
