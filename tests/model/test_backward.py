"""Layers with a backward pass written out have the values and gradients of PyTorch's own layers."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_integrated_cell.model.backward import PReLU, up_to_image
from napari_integrated_cell.model.blocks import up

GRIDS = st.tuples(*[st.integers(1, 5)] * 3)


def images(shape, seed, dtype=torch.float64):
    drawn = torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    return drawn.to(dtype).contiguous(memory_format=torch.channels_last_3d).requires_grad_()


def gradients(compute, inputs, upstream):
    return torch.autograd.grad(compute(), inputs, upstream)


@settings(deadline=None, max_examples=30)
@given(n=st.integers(1, 3), c=st.integers(1, 5), grid=GRIDS, slope=st.floats(-1, 2), seed=st.integers(0, 99))
def test_prelu_is_that_of_pytorch(n, c, grid, slope, seed):
    own, plain = (kind(init=slope).double() for kind in (PReLU, nn.PReLU))
    x, upstream = images((n, c, *grid), seed), images((n, c, *grid), seed + 1).detach()
    torch.testing.assert_close(own(x), plain(x))
    found = gradients(lambda: own(x), (x, own.weight), upstream)
    torch.testing.assert_close(found, gradients(lambda: plain(x), (x, plain.weight), upstream))


def test_prelu_in_bf16_keeps_types_and_sums_in_float32():
    own, plain = PReLU(), nn.PReLU()
    x, upstream = images((4, 8, 6, 7, 8), 1, torch.bfloat16), images((4, 8, 6, 7, 8), 2).detach()
    out, (for_x, for_slope) = own(x), gradients(lambda: own(x), (x, own.weight), upstream.bfloat16())
    assert (out.dtype, for_x.dtype, for_slope.dtype) == (torch.bfloat16, torch.bfloat16, torch.float32)
    exact = gradients(lambda: plain.double()(x.double()), (plain.weight,), upstream)[0]
    torch.testing.assert_close(
        for_slope.double(), exact, rtol=0, atol=1e-2 * float(upstream.abs().sum()) ** 0.5
    )


@settings(deadline=None, max_examples=20)
@given(n=st.integers(1, 3), n_in=st.integers(1, 6), n_out=st.integers(1, 4), grid=GRIDS, data=st.data())
def test_up_to_image_is_the_transposed_convolution(n, n_in, n_out, grid, data):
    target = tuple(2 * size + data.draw(st.integers(0, 1)) for size in grid)
    step = up(n_in, n_out, grid, target).double()
    x, upstream = images((n, n_in, *grid), 0), images((n, n_out, *target), 1).detach()
    torch.testing.assert_close(up_to_image(step, x), step(x))
    inputs = (x, step.weight, step.bias)
    found = gradients(lambda: up_to_image(step, x), inputs, upstream)
    torch.testing.assert_close(found, gradients(lambda: step(x), inputs, upstream))


def test_up_to_image_returns_float32_under_autocast():
    step, x = up(8, 3, (3, 4, 5), (6, 8, 10)), images((2, 8, 3, 4, 5), 0, torch.bfloat16)
    with torch.autocast("cpu", torch.bfloat16):
        out = up_to_image(step, x)
    assert out.dtype == torch.float32
    torch.testing.assert_close(out.double(), copy.deepcopy(step).double()(x.double()), rtol=0, atol=0.02)
    for_x, *others = torch.autograd.grad(out.sum(), (x, step.weight, step.bias))
    assert for_x.dtype == torch.bfloat16
    assert {gradient.dtype for gradient in others} == {torch.float32}


@pytest.mark.parametrize("needed", [0, 1, 2])
def test_only_the_gradients_that_are_asked_for_are_computed(needed):
    step, x = up(4, 2, (2, 3, 4), (4, 6, 8)), images((1, 4, 2, 3, 4), 0, torch.float32)
    inputs = (x, step.weight, step.bias)
    for index, tensor in enumerate(inputs):
        tensor.requires_grad_(index == needed)
    up_to_image(step, x).sum().backward()
    assert [tensor.grad is not None for tensor in inputs] == [index == needed for index in range(3)]
