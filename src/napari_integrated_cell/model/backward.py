"""Layers that train faster on a CPU: PyTorch's functions and gradients, with a backward pass written out.

PyTorch's backward pass of a PReLU takes twenty times as long as that of a LeakyReLU, because it forms the slope's
gradient for each element. And its transposed convolution to few channels takes twice the time of an ordinary one that
computes the sub-pixels as channels.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from napari_integrated_cell.model.inference import up_by_sub_pixels


class PReLU(nn.PReLU):
    """A PReLU of one slope."""

    def forward(self, input: Tensor) -> Tensor:
        """Return max(x, 0) + slope * min(x, 0), of the shape of ``input``."""
        if input.device.type != "cpu":
            return super().forward(input)
        return _OneSlope.apply(input, self.weight)


class _OneSlope(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, slope: Tensor) -> Tensor:
        ctx.save_for_backward(x, slope)
        return F.leaky_relu(x, slope.item())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, slope = ctx.saved_tensors
        for_x = for_slope = None
        if ctx.needs_input_grad[0]:
            for_x = torch.ops.aten.leaky_relu_backward(gradient, x, slope.item(), False)
        if ctx.needs_input_grad[1]:
            for_slope = (gradient * x.clamp(max=0)).sum(dtype=slope.dtype).view_as(slope)
        return for_x, for_slope


def up_to_image(step: nn.ConvTranspose3d, x: Tensor) -> Tensor:
    """Return the last convolution of a decoder, ``step(x)``, in float32 or better.

    ``x`` is (N, n_in, Z, Y, X); ``step`` is one of :func:`~.blocks.up`.
    """
    if x.device.type != "cpu":
        return step(x)
    return _UpToImage.apply(x, step.weight, step.bias, step)


class _UpToImage(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, step: nn.ConvTranspose3d) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.step = step
        return up_by_sub_pixels(step, x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        step, gradient = ctx.step, gradient.to(x.dtype)
        for_x, for_weight, for_bias = torch.ops.aten.convolution_backward(
            gradient,
            x,
            weight.to(x.dtype),
            [len(step.bias)],
            step.stride,
            step.padding,
            step.dilation,
            True,
            step.output_padding,
            step.groups,
            ctx.needs_input_grad[:3],
        )
        return (
            for_x,
            None if for_weight is None else for_weight.to(weight.dtype),
            None if for_bias is None else for_bias.to(weight.dtype),
            None,
        )
