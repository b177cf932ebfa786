"""Batch normalisation of a batch that several processes share, with the statistics and gradients of one process."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from napari_integrated_cell.model.standardising import WhitenedByStructure


def synchronise_batch_norm(network: nn.Module, device: torch.device) -> nn.Module:
    """Make every batch normalisation and every whitened code of ``network`` use the cells of all processes.

    It changes the network in place. Parameters and running statistics stay the same tensors, with the same names. On
    CUDA devices the layers become torch's own ``SyncBatchNorm``, which works on no other device.
    """
    for module in list(network.modules()):
        if isinstance(module, WhitenedByStructure):
            module.add_up = _added_up
        for name, child in module.named_children():
            if isinstance(child, _BatchNorm) and not isinstance(child, nn.SyncBatchNorm):
                module.add_module(name, _like(child, device))
    return network


def _like(norm: _BatchNorm, device: torch.device) -> nn.Module:
    if device.type == "cuda":
        return cast(nn.Module, nn.SyncBatchNorm.convert_sync_batchnorm(norm))
    shared = SynchronisedBatchNorm(norm.num_features, norm.eps, norm.momentum, affine=False)
    shared.affine, shared.weight, shared.bias = norm.affine, norm.weight, norm.bias
    shared.running_mean, shared.running_var = norm.running_mean, norm.running_var
    shared.num_batches_tracked = norm.num_batches_tracked
    return shared.train(norm.training)


class SynchronisedBatchNorm(_BatchNorm):
    """`torch.nn.BatchNorm3d` (or 1d) whose batch is that of all processes together; unchanged in eval mode."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"Batch normalisation takes (N, C, ...), not {tuple(input.shape)}.")

    def forward(self, x: Tensor) -> Tensor:
        """Normalise (N, C, ...); N may differ between processes."""
        if not self.training:
            return super().forward(x)
        self._check_input_dim(x)
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        y, mean, variance, count = _Normalise.apply(x, self.eps)
        with torch.no_grad():
            self.num_batches_tracked.add_(1)
            unbiased = variance * (count / (count - 1))
            for running, now in ((self.running_mean, mean), (self.running_var, unbiased)):
                running.lerp_(now.to(running.dtype), cast(float, self.momentum))
        if self.affine:
            y = y * _along(self.weight, y) + _along(self.bias, y)
        return y.to(x.dtype)


class _Normalise(torch.autograd.Function):
    """(x - mean) / sqrt(variance + eps), in float32 or better, with mean and variance of all processes' x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        wide = x.to(torch.promote_types(x.dtype, torch.float32))
        axes = [axis for axis in range(x.ndim) if axis != 1]
        count = wide.new_full((1,), x.numel() / x.shape[1])
        mean = wide.mean(axes)
        square = (wide - _along(mean, x)).square().sum(axes)
        # Chan's formula joins the processes' means and sums of squares without subtracting large numbers.
        parts = _from_all(torch.cat((count, mean, square)))
        counts, means, squares = parts[:, :1], *parts[:, 1:].chunk(2, dim=1)
        total = counts.sum()
        mean = (counts * means).sum(0) / total
        variance = (squares + counts * (means - mean).square()).sum(0) / total
        scale = (variance + eps).rsqrt()
        x_hat = (wide - _along(mean, x)) * _along(scale, x)
        ctx.save_for_backward(x_hat, scale, total)
        ctx.mark_non_differentiable(mean, variance, total)
        ctx.narrow = x.dtype
        return x_hat, mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, None]:
        if not ctx.needs_input_grad[0]:
            return None, None
        x_hat, scale, total = ctx.saved_tensors
        g = gradients[0]
        axes = [axis for axis in range(g.ndim) if axis != 1]
        sums = torch.cat((g.sum(axes), (g * x_hat).sum(axes)))
        dist.all_reduce(sums)
        mean_g, mean_gx = (sums / total).chunk(2)
        for_x = (g - _along(mean_g, g) - x_hat * _along(mean_gx, g)) * _along(scale, g)
        return for_x.to(ctx.narrow), None


def _along(per_channel: Tensor, x: Tensor) -> Tensor:
    """Reshape (C,) so that it multiplies (N, C, ...)."""
    return per_channel.view(1, -1, *(1 for _ in range(x.ndim - 2)))


def _added_up(moments: Tensor) -> Tensor:
    dist.all_reduce(moments)
    return moments


def _from_all(row: Tensor) -> Tensor:
    """Return every process's row, (processes, len(row)), in the order of ranks."""
    rows = [torch.empty_like(row) for _ in range(dist.get_world_size())]
    dist.all_gather(rows, row)
    return torch.stack(rows)
