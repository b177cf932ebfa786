"""The eight networks compared with the printed tables and the published counts, and in other boxes."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from napari_ic_train.fit.draws import RandomDraws
from napari_integrated_cell.model.config import ModelConfig, preset
from napari_integrated_cell.model.networks import (
    ConditionalDecoder,
    ConditionalEncoder,
    DecodingDiscriminator,
    ReferenceDecoder,
    ReferenceEncoder,
    conditional_networks,
    describe,
    initialise,
    reference_networks,
)
from napari_integrated_cell.model.standardising import MOMENTUM, RIDGE, WhitenedByStructure

torch.set_num_threads(1)
TINY = preset("tiny")

# Tables S1-S8 as printed, layer by layer, with what comes out of each in the paper's box.
# |Z| = 128, |r| = 2, |s| = 1, K = 11.
DOWN = [[32, 48, 64], [16, 24, 32], [8, 12, 16], [4, 6, 8], [2, 3, 4], [1, 1, 2]]
UP = [*DOWN[4::-1], [64, 96, 128]]


def _down(widths: list[int], activation: str, *, first_norm: bool = True) -> list[tuple[str, list[int]]]:
    rows = []
    for level, width in enumerate(widths):
        norm = ["BatchNorm3d"] if first_norm or level else []
        rows += [(kind, [width, *DOWN[level]]) for kind in ["Conv3d", *norm, activation]]
    return rows


def _decoder(n_channels: int) -> list[tuple[str, list[int]]]:
    rows = [("Linear", [2048]), ("BatchNorm3d", [1024, 1, 1, 2]), ("PReLU", [1024, 1, 1, 2])]
    for width, grid in zip([1024, 512, 256, 128, 64], UP, strict=False):
        rows += [(kind, [width, *grid]) for kind in ["ConvTranspose3d", "BatchNorm3d", "PReLU"]]
    return [*rows, ("ConvTranspose3d", [n_channels, 64, 96, 128])]


def _enc_d(n_out: int) -> list[tuple[str, list[int]]]:
    return [
        ("Linear", [1024]),
        ("LeakyReLU", [1024]),
        ("Linear", [1024]),
        ("BatchNorm1d", [1024]),
        ("LeakyReLU", [1024]),
        ("Linear", [512]),
        ("BatchNorm1d", [512]),
        ("LeakyReLU", [512]),
        ("Linear", [n_out]),
    ]


TABLES = {
    "enc_ref": [*_down([64, 128, 256, 512, 1024], "PReLU"), ("Linear", [128])],
    "dec_ref": _decoder(2),
    "enc_d_ref": _enc_d(1),
    "dec_d_ref": [
        *_down([64, 128, 256, 512, 512], "LeakyReLU", first_norm=False),
        ("Conv3d", [1, 1, 1, 2]),
    ],
    "enc_cond": [
        *_down([64, 128, 256, 512, 1024, 1024], "PReLU"),
        ("Linear", [11]),
        ("Linear", [128]),
        ("Linear", [128]),
    ],
    "dec_cond": _decoder(3),
    "enc_d_cond": _enc_d(12),
    "dec_d_cond": [*_down([64, 128, 256, 512, 512], "LeakyReLU"), ("Conv3d", [12, 1, 1, 2])],
}

# Parameters of the authors' code of January 2018: two references, K = 11, both latent spaces of 128.
PUBLISHED = {
    "enc_ref": 111_952_838,
    "dec_ref": 111_953_736,
    "enc_d_ref": 1_710_081,
    "dec_d_ref": 111_692_481,
    "enc_cond": 112_241_745,
    "dec_cond": 112_242_505,
    "enc_d_cond": 1_715_724,
    "dec_d_cond": 111_719_116,
}


@pytest.fixture(autouse=True)
def _same_draws_every_time() -> None:
    torch.manual_seed(0)


@pytest.mark.parametrize("network", TABLES)
def test_the_paper_preset_is_the_printed_tables(network: str) -> None:
    layers = describe(preset("paper"))[network]["layers"]
    assert [(layer["type"], layer["output_shape"]) for layer in layers] == TABLES[network]


def test_the_paper_code_preset_has_the_published_codes_parameters() -> None:
    described = describe(preset("paper-code"))
    assert {name: network["parameters"] for name, network in described.items()} == PUBLISHED


@pytest.mark.parametrize("name", ["paper", "paper-code", "demo", "tiny"])
def test_the_layers_parameters_add_up(name: str) -> None:
    for network in describe(preset(name)).values():
        assert sum(layer["parameters"] for layer in network["layers"]) == network["parameters"]


def test_every_strided_convolution_has_kernel_4_stride_2_padding_1_and_a_bias() -> None:
    with torch.device("meta"):
        networks = [*reference_networks(preset("paper")), *conditional_networks(preset("paper"))]
    found = [m for n in networks for m in n.modules() if isinstance(m, (nn.Conv3d, nn.ConvTranspose3d))]
    assert len(found) == 5 + 6 + 6 + 6 + 6 + 6
    for conv in found:
        assert (conv.kernel_size, conv.stride, conv.padding) == ((4,) * 3, (2,) * 3, (1,) * 3)
        assert conv.bias is not None


def test_leaks_and_slopes() -> None:
    networks = [*reference_networks(TINY), *conditional_networks(TINY)]
    modules = [m for n in networks for m in n.modules()]
    assert {m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)} == {0.2}
    assert {m.weight.numel() for m in modules if isinstance(m, nn.PReLU)} == {1}


@st.composite
def _configs(draw: st.DrawFn) -> ModelConfig:
    levels = draw(st.integers(1, 3))
    side = st.integers(2**levels, 19)
    widths = tuple(draw(st.lists(st.integers(1, 3), min_size=levels, max_size=levels)))
    return ModelConfig(
        box=draw(st.tuples(side, side, side)),
        references=("a", "b", "c")[: draw(st.integers(1, 3))],
        structures=("p", "q", "r")[: draw(st.integers(1, 3))],
        n_ref=draw(st.integers(1, 4)),
        n_struct=draw(st.integers(1, 4)),
        enc_ref_widths=widths[: draw(st.integers(1, levels))],
        enc_cond_widths=widths,
        dec_widths=widths[::-1],
        enc_d_widths=(3, 2),
        dec_d_widths=widths,
        dec_d_head="linear",
    )


@settings(max_examples=40, deadline=None)
@given(_configs())
def test_any_box_comes_back_in_its_own_shape(config: ModelConfig) -> None:
    n, n_references, n_structures = 2, config.n_references, config.n_structures
    reference, conditional = reference_networks(config), conditional_networks(config)
    for network in (*reference, *conditional):
        network.eval()
    x = torch.rand(n, n_references + 1, *config.box)
    z_ref = reference.enc(x[:, :-1])
    assert z_ref.shape == (n, config.n_ref)
    assert reference.dec(z_ref).shape == (n, n_references, *config.box)
    assert reference.enc_d(z_ref).shape == reference.dec_d(x[:, :-1]).shape == (n, 1)
    code = conditional.enc(x)
    assert code.y_logits.shape == (n, n_structures)
    assert code.z_struct.shape == (n, config.n_struct)
    assert conditional.dec(code.y_logits.softmax(1), code.z_ref, code.z_struct).shape == x.shape
    assert conditional.enc_d(code.z_struct).shape == conditional.dec_d(x).shape == (n, n_structures + 1)


@settings(max_examples=40, deadline=None)
@given(_configs(), st.integers(1, 3))
def test_a_cpu_that_only_decodes_sums_the_same_in_another_order(config: ModelConfig, n: int) -> None:
    reference, conditional = reference_networks(config), conditional_networks(config)
    generator = torch.Generator().manual_seed(0)
    for decoder in (reference.dec.eval(), conditional.dec.eval()):
        initialise(decoder, generator)
        decoder.image.weight.data.mul_(20)
        decoder.image.bias.data.normal_(generator=generator)
    z_ref, z_struct = torch.randn(n, config.n_ref), torch.randn(n, config.n_struct)
    y = nn.functional.one_hot(torch.arange(n) % config.n_structures, config.n_structures).float()
    whole, structures = reference.dec(z_ref), conditional.dec(y, z_ref, z_struct)  # as in training
    with torch.inference_mode():
        torch.testing.assert_close(reference.dec(z_ref), whole)
        torch.testing.assert_close(conditional.dec(y, z_ref, z_struct), structures)
        torch.testing.assert_close(conditional.dec.structure(y, z_ref, z_struct), structures[:, -1])


def test_decoders_return_the_sigmoid_of_their_logits() -> None:
    decoder = ReferenceDecoder(TINY).eval()
    z = torch.randn(2, TINY.n_ref)
    assert torch.equal(decoder(z), decoder.logits(z).sigmoid())
    assert not torch.equal(decoder(z), decoder.logits(z))


def test_the_conditional_decoder_hears_all_three_of_its_inputs() -> None:
    decoder = conditional_networks(TINY).dec.eval()
    y, z_ref, z_struct = torch.eye(11)[:1], torch.zeros(1, TINY.n_ref), torch.zeros(1, TINY.n_struct)
    image = decoder(y, z_ref, z_struct)
    for other in ((torch.eye(11)[1:2], z_ref, z_struct), (y, z_ref + 1, z_struct), (y, z_ref, z_struct + 1)):
        assert not torch.allclose(image, decoder(*other), atol=1e-7)


def test_the_conv_head_averages_the_positions_left() -> None:
    config = TINY.model_copy(update={"dec_d_head": "conv"})
    discriminator = DecodingDiscriminator(config, 2, 3).eval()
    x = torch.rand(2, 2, *config.box)
    left = discriminator.head(discriminator.blocks(x))
    assert left.shape == (2, 3, 1, 1, 2)
    torch.testing.assert_close(discriminator(x), (left[..., 0] + left[..., 1]).flatten(1) / 2)


def test_noise_is_added_only_while_training_and_can_be_repeated() -> None:
    discriminator = DecodingDiscriminator(TINY, 2, 1)
    seen = []
    discriminator.blocks.register_forward_pre_hook(lambda _, arguments: seen.append(arguments[0]))
    x = torch.rand(4, 2, *TINY.box)
    for _ in range(2):
        source = RandomDraws(torch.Generator().manual_seed(5))
        discriminator.white_noise = source.white_noise
        discriminator(x)
    discriminator(x)
    discriminator.eval()(x)
    assert torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[2])
    assert torch.equal(seen[3], x)
    assert (seen[0] - x).std().item() == pytest.approx(0.01, rel=0.05)
    assert (seen[0] - x).mean().item() == pytest.approx(0, abs=3e-4)


def test_initial_weights_follow_the_seed_and_the_stated_distributions() -> None:
    # Weights must not come from the construction of the network: `initialise` must set every weight.
    first = ConditionalEncoder(preset("demo"))
    second = copy.deepcopy(first)
    for parameter in second.parameters():
        nn.init.constant_(parameter, 7.0)
    initialise(first, torch.Generator().manual_seed(3))
    initialise(second, torch.Generator().manual_seed(3))
    for (name, a), b in zip(first.named_parameters(), second.parameters(), strict=True):
        assert torch.equal(a, b), name
    conv = first.blocks[3].conv
    assert conv.weight.std().item() == pytest.approx(0.02, rel=0.02)
    assert not conv.bias.any()
    norm = first.blocks[3].norm.weight
    assert norm.mean().item() == pytest.approx(1, abs=0.01)
    assert norm.std().item() == pytest.approx(0.02, rel=0.3)
    assert first.blocks[0].activation.weight.item() == 0.25
    assert first.z_ref.weight.abs().max().item() <= first.n_features**-0.5

    initialise(second, torch.Generator().manual_seed(4))
    assert not torch.equal(first.blocks[0].conv.weight, second.blocks[0].conv.weight)


def test_gradients_reach_every_parameter() -> None:
    for network, arguments in (
        (ReferenceEncoder(TINY), (torch.rand(2, 2, *TINY.box),)),
        (ReferenceDecoder(TINY), (torch.randn(2, TINY.n_ref),)),
        (DecodingDiscriminator(TINY, 3, 12), (torch.rand(2, 3, *TINY.box),)),
    ):
        network(*arguments).square().sum().backward()
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name


def test_a_standardised_encoder_gives_codes_of_the_priors_mean_and_width() -> None:
    config = TINY.model_copy(update={"latent_norm": True})
    encoder = ReferenceEncoder(config)
    x = torch.rand(32, 2, *config.box)
    z = encoder(x)
    torch.testing.assert_close(z.mean(0), torch.zeros(config.n_ref), atol=1e-4, rtol=0)
    torch.testing.assert_close(z.std(0, correction=0), torch.ones(config.n_ref), atol=0.02, rtol=0)
    encoder.eval()
    torch.testing.assert_close(encoder(x)[:3], encoder(x[:3]), atol=1e-5, rtol=1e-5)  # no batch any more
    assert sum(p.numel() for p in encoder.parameters()) == sum(
        p.numel() for p in ReferenceEncoder(TINY).parameters()
    )


def test_a_whitened_structure_code_has_the_priors_mean_and_covariance_in_every_structure() -> None:
    norm = WhitenedByStructure(3, 4)
    generator = torch.Generator().manual_seed(0)
    centre = 5 * torch.randn(3, 4, generator=generator)
    mixing = 0.4 * torch.randn(3, 4, 4, generator=generator) + 2 * torch.eye(4)

    def cells(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        label = torch.randint(3, (n,), generator=generator)
        drawn = torch.randn(n, 4, 1, generator=generator)
        return centre[label] + (mixing[label] @ drawn)[:, :, 0], label

    for _ in range(500):
        z, label = cells(8)
        norm(z, nn.functional.one_hot(label, 3).float())
    norm.eval()
    before = norm.covariance.clone()
    z, label = cells(6000)
    code = norm(z, nn.functional.one_hot(label, 3).float())
    for structure in range(3):
        own = code[label == structure]
        torch.testing.assert_close(own.mean(0), torch.zeros(4), atol=0.2, rtol=0)
        torch.testing.assert_close(own.T.cov(), torch.eye(4), atol=0.3, rtol=0)
    assert torch.equal(norm.covariance, before)  # only training moves it


def test_a_code_of_an_uncertain_structure_is_whitened_by_the_mixture() -> None:
    norm = WhitenedByStructure(2, 1).eval()
    norm.mean[:] = torch.tensor([[-1.0], [3.0]])
    norm.covariance[:] = torch.tensor([[[1.0]], [[4.0]]])
    half = torch.tensor([[0.5, 0.5]])
    # Mean 1; variance (1 + 4) / 2 and 2 squared between the means.
    expected = torch.tensor([[3 / (6.5 * (1 + RIDGE)) ** 0.5]])
    torch.testing.assert_close(norm(torch.tensor([[4.0]]), half), expected)


def test_running_moments_are_those_of_the_cells_weighted_by_their_age() -> None:
    norm, seen = WhitenedByStructure(2, 2), 1000
    norm.seen[:] = seen
    mean, square = torch.zeros(2), torch.eye(2)
    for value in torch.tensor([[2.0, -1.0], [5.0, 0.0], [-1.0, 3.0]]):
        norm(value[None], torch.tensor([[0.0, 1.0]]))
        mean += MOMENTUM * (value - mean)
        square += MOMENTUM * (torch.outer(value, value) - square)
    torch.testing.assert_close(norm.mean, torch.stack([torch.zeros(2), mean]))
    expected = torch.stack([torch.eye(2), square - torch.outer(mean, mean)])
    torch.testing.assert_close(norm.covariance, expected)


def test_a_conditional_encoder_standardises_by_the_structure_that_it_sees() -> None:
    config = TINY.model_copy(update={"struct_norm": True})
    encoder, plain = ConditionalEncoder(config), ConditionalEncoder(TINY)
    plain.load_state_dict(encoder.state_dict(), strict=False)
    encoder.eval()
    plain.eval()
    x = torch.rand(2, 3, *config.box)
    code = plain(x)
    assert encoder.standardise is not None
    encoder.standardise.mean[:] = torch.randn(config.n_structures, config.n_struct)
    expected = encoder.standardise(code.z_struct, code.y_logits.softmax(1))
    torch.testing.assert_close(encoder(x).z_struct, expected)
    torch.testing.assert_close(encoder(x[:1]).z_struct, encoder(x).z_struct[:1], atol=1e-5, rtol=1e-5)


def test_a_scaled_label_is_the_same_network_with_larger_weights() -> None:
    config = TINY.model_copy(update={"label_scale": 16.0})
    scaled, plain = ConditionalDecoder(config).eval(), ConditionalDecoder(TINY).eval()
    plain.load_state_dict(scaled.state_dict())
    with torch.no_grad():
        plain.project.weight[:, : TINY.n_structures] *= 16
    y = torch.eye(TINY.n_structures)[:3]
    code = (y, torch.randn(3, TINY.n_ref), torch.randn(3, TINY.n_struct))
    torch.testing.assert_close(scaled(*code), plain(*code))
