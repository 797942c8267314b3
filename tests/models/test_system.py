from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product

import pytest
import torch
from torch import Tensor, nn

from sonotype.core.errors import OptionsError
from sonotype.models.attention import ChannelAttention
from sonotype.models.build import cbir_1, cbir_2, cbir_3, cbir_4
from sonotype.models.pooling import MaxPooling, MeanPooling, PooledTogether
from sonotype.models.system import Output, System
from sonotype.models.unknown import UnknownScore

SYSTEMS = {"cbir_1": cbir_1, "cbir_2": cbir_2, "cbir_3": cbir_3, "cbir_4": cbir_4}
BACKBONES = ("vggish", "mn01", "none")
FORMS = ("channels", "positions")
# Branch 1's last map of a second of sound, time by frequency; branch 2's is (6, 4).
FIRST_MAPS = {"vggish": (6, 4), "mn01": (4, 4), "none": (6, 4)}

VARIANTS = [
    (name, backbone, form)
    for name, backbone, form in product(SYSTEMS, BACKBONES, FORMS)
    if name != "cbir_3" and (name, form) != ("cbir_4", "positions")
]


def build(name: str, backbone: str = "mn01", *, seed: int = 0, **options: object) -> System:
    torch.manual_seed(seed)
    arguments = {"categories": 3, "events": 7, "backbone": backbone, "width": 0.125, **options}
    return SYSTEMS[name](**arguments)


def noise(system: System, seconds: float = 1.0, clips: int = 2, seed: int = 1) -> Tensor:
    samples = round(seconds * system.sample_rate)
    return 0.1 * torch.randn(clips, samples, generator=torch.manual_seed(seed))


def assert_same(actual: Output, expected: Output, tolerance: float = 0.0) -> None:
    for found, wanted in zip(actual[:3], expected[:3], strict=True):
        torch.testing.assert_close(found, wanted, rtol=tolerance, atol=tolerance)


def train(system: System) -> None:
    """A step in training mode that decays all parameters that can be decayed."""
    system.train()
    optimiser = torch.optim.AdamW(system.parameters(), lr=1e-2, weight_decay=0.1)
    output, target = system(noise(system, clips=4)), torch.arange(4)
    loss = nn.functional.cross_entropy(output.logits["category"], target % 3)
    loss = loss + nn.functional.cross_entropy(output.logits["event"], target)
    loss.backward()
    optimiser.step()


# Outputs


@pytest.mark.parametrize(("name", "backbone", "form"), VARIANTS)
@torch.no_grad()
def test_shapes_and_steps(name: str, backbone: str, form: str) -> None:
    options = {} if name == "cbir_4" else {"softmax_over": form}
    system = build(name, backbone, **options).eval()
    waveform = noise(system)
    output = system(waveform)
    assert (output.logits["category"].shape, output.embedding.shape) == ((2, 3), (2, 128))
    assert output.logits["event"].shape == (2, 7)
    time, bands = FIRST_MAPS[backbone]
    expected = {
        "cbir_1": [(2, time + 6, 4)],
        "cbir_2": [(2, time, bands), (2, 6, 4)],
        "cbir_4": [(2, time, bands)],
    }
    assert [tuple(x.shape) for x in output.attention] == expected[name]
    for x in output.attention:
        torch.testing.assert_close(x.sum((1, 2)), torch.ones(2), rtol=0, atol=1e-5)
        assert x.min() >= 0

    assert_same(system.trained_part(system.frozen_part(waveform)), output)
    log_mels = system.log_mels(waveform)
    assert len(log_mels) == 1 + (name != "cbir_4")
    assert all(x.shape == (2, 1, 96, 64) for x in log_mels[1:])
    vector, attention, frames = system.pool(system.feature_maps(log_mels))
    assert_same(Output(*system.heads(vector), attention, frames), output)


@torch.no_grad()
def test_clips_of_a_batch_do_not_mix() -> None:
    for name in SYSTEMS:
        system = build(name).eval()
        waveform = noise(system, clips=3)
        together = system(waveform)
        for row in range(3):
            alone = system(waveform[row : row + 1])
            torch.testing.assert_close(
                alone.logits["category"][0], together.logits["category"][row], atol=1e-5, rtol=0
            )


@pytest.mark.parametrize("name", SYSTEMS)
@torch.no_grad()
def test_channels_last_gives_the_same(name: str) -> None:
    for backbone in BACKBONES:
        system = build(name, backbone).eval()
        turned = copy.deepcopy(system).to(memory_format=torch.channels_last)
        waveform = noise(system)
        assert_same(turned(waveform), system(waveform), 1e-5)


@pytest.mark.parametrize(
    ("seconds", "first", "second"),
    [(1.0, 4, 6), (1.25, 4, 6), (2.0, 7, 12), (5.0, 16, 30), (7.3, 23, 42)],
)
@torch.no_grad()
def test_clips_of_any_length(seconds: float, first: int, second: int) -> None:
    system = build("cbir_2", "mn01").eval()
    output = system(noise(system, seconds))
    assert [tuple(x.shape[1:]) for x in output.attention] == [
        (first, 4),
        (second, 4),
    ]
    (joined,) = build("cbir_1", "mn01").eval()(noise(system, seconds)).attention
    assert joined.shape[1:] == (first + second, 4)


@torch.no_grad()
def test_the_papers_attention_covers_240_positions() -> None:
    system = build("cbir_1", "vggish", width=1.0).eval()
    assert system.pooling.adapter is None  # two maps of one shape need nothing between them
    (attention_map,) = system(noise(system, 5.0, clips=1)).attention
    assert attention_map.shape == (1, 2 * 30, 4)
    assert attention_map[0].numel() == 240


def test_a_narrow_second_branch_gets_an_adapter_in_the_pooling() -> None:
    system = build("cbir_1", "vggish")
    assert tuple(system.pooling.adapter.conv.weight.shape) == (64, 512, 1, 1)


@pytest.mark.parametrize("name", SYSTEMS)
def test_without_events_there_is_no_event_head(name: str) -> None:
    system = build(name, events=0).eval()
    output = system(noise(system))
    assert set(output.logits) == set(system.classifiers) == {"category"}


def test_cbir_3_is_the_network_of_cbir_1() -> None:
    assert cbir_3 is cbir_1


def test_the_higher_rate_of_both_branches_is_the_systems() -> None:
    rates = {backbone: build("cbir_2", backbone).sample_rate for backbone in BACKBONES}
    assert rates == {"vggish": 16_000, "mn01": 32_000, "none": 16_000}
    assert build("cbir_2", "mn01").decimate.factor == 2
    assert build("cbir_2", "vggish").decimate.factor == 1


def test_a_backbone_is_taken_in_as_it_is() -> None:
    first = build("cbir_4", "mn01", seed=5).branch_1
    system = build("cbir_2", first)  # type: ignore[arg-type]
    assert system.branch_1 is first


def test_embedding_and_heads() -> None:
    for name, features in (("cbir_1", 256), ("cbir_2", 512), ("cbir_4", 96)):
        system = build(name, dropout=0.3)
        linear, norm, relu, dropout = system.embedding
        assert (linear.in_features, linear.out_features) == (features, 128)
        assert (type(norm), type(relu)) == (nn.BatchNorm1d, nn.ReLU)
        assert dropout.p == 0.3
        assert {layer.in_features for layer in system.classifiers.values()} == {128}


def test_heads_see_the_embedding() -> None:
    system = build("cbir_2").eval()
    output = system(noise(system))
    for name, layer in system.classifiers.items():
        torch.testing.assert_close(layer(output.embedding), output.logits[name])


# Frozen blocks


@pytest.mark.parametrize("name", ["cbir_1", "cbir_2", "cbir_4"])
@pytest.mark.parametrize("backbone", ["vggish", "mn01"])
def test_frozen_means_frozen(name: str, backbone: str) -> None:
    system = build(name, backbone)
    before = copy.deepcopy(system.state_dict())
    train(system)
    for key, tensor in system.state_dict().items():
        if key.startswith("branch_1."):
            assert torch.equal(tensor, before[key]), key
        else:
            assert not torch.equal(tensor, before[key]), key
    for key, parameter in system.named_parameters():
        assert parameter.requires_grad != key.startswith("branch_1."), key
        assert (parameter.grad is None) == key.startswith("branch_1."), key


@pytest.mark.parametrize("name", ["cbir_1", "cbir_2", "cbir_4"])
@pytest.mark.parametrize("first", [1, 2, 3, 4])
def test_blocks_are_trained_from_the_asked_one_on(name: str, first: int) -> None:
    system = build(name, unfreeze_from=first)
    before = copy.deepcopy(system.state_dict())
    train(system)
    for key, tensor in system.state_dict().items():
        if key.startswith("branch_1.blocks."):
            trained = int(key.split(".")[2]) + 1 >= first
            assert torch.equal(tensor, before[key]) != trained, key
    for number, block in enumerate(system.branch_1.blocks, start=1):
        assert {parameter.requires_grad for parameter in block.parameters()} == {number >= first}
        assert {layer.training for layer in block.modules()} == {number >= first}


def test_no_backbone_means_that_all_is_trained() -> None:
    system = build("cbir_2", "none")
    assert system.branch_1.channels == (8, 16, 32, 64)
    before = copy.deepcopy(system.state_dict())
    train(system)
    unchanged = [
        key for key, tensor in system.state_dict().items() if torch.equal(tensor, before[key])
    ]
    assert unchanged == []
    assert all(parameter.requires_grad for parameter in system.parameters())


def modes(part: nn.Module) -> set[bool]:
    return {layer.training for layer in part.modules()}


def test_frozen_blocks_stay_in_evaluation_mode_whoever_asks() -> None:
    system = build("cbir_2", unfreeze_from=3)
    ways: list[Callable[[], object]] = [
        lambda: system.train(),
        lambda: nn.Sequential(system).train(),
        lambda: system.eval().train(True),
    ]
    for way in ways:
        way()
        frozen, trained = system.branch_1.blocks[:2], system.branch_1.blocks[2:]
        assert [modes(block) for block in (*frozen, *trained)] == [{False}] * 2 + [{True}] * 2
        assert modes(system.branch_2) == {True}
    system.eval()
    assert modes(system) == {False}


@pytest.mark.parametrize(
    ("first", "adapters", "kept"),
    [
        (None, (4,), {"branch_1.4", "branch_2.0"}),
        (None, (), {"branch_1.4", "branch_2.0"}),
        (None, (1, 3), {"branch_1.1", "branch_1.3", "branch_1.4", "branch_2.0"}),
        (1, (4,), {"branch_1.0", "branch_2.0"}),
        (3, (1, 3), {"branch_1.1", "branch_1.2", "branch_2.0"}),
        (4, (4,), {"branch_1.3", "branch_2.0"}),
    ],
)
def test_the_frozen_part_keeps_what_the_trained_part_asks_for(
    first: int | None, adapters: tuple[int, ...], kept: set[str]
) -> None:
    system = build("cbir_2", unfreeze_from=first, adapters=adapters).eval()
    feature_maps = system.frozen_part(noise(system))
    assert set(feature_maps) == kept
    assert not any(tensor.requires_grad for tensor in feature_maps.values())
    maps = system.branch_1(noise(system))
    for number, expected in enumerate(maps, start=1):
        if f"branch_1.{number}" in kept:
            torch.testing.assert_close(feature_maps[f"branch_1.{number}"], expected)
    assert feature_maps["branch_2.0"].shape == (2, 1, 96, 64)


# Adapters


@pytest.mark.parametrize("adapters", [(), (1,), (2,), (3,), (4,), (2, 4), (1, 2, 3, 4)])
@torch.no_grad()
def test_adapters_join_where_they_are_asked_for(adapters: tuple[int, ...]) -> None:
    system = build("cbir_2", "mn01", adapters=adapters).eval()
    assert system.adapters == adapters
    shapes = {
        int(block): tuple(adapter.conv.weight.shape)
        for block, adapter in system.branch_2.adapters.items()
    }
    sizes, firsts = (8, 16, 32, 64), (8, 8, 16, 96)
    assert shapes == {block: (sizes[block - 1], firsts[block - 1], 1, 1) for block in adapters}
    feature_maps = system.frozen_part(noise(system))
    expected = system.trained_part(feature_maps)
    for block in adapters:
        name = f"branch_1.{block}"
        changed = system.branch_2(
            feature_maps["branch_2.0"],
            {b: feature_maps[f"branch_1.{b}"] + (b == block) for b in adapters},
        )
        unchanged = system.branch_2(
            feature_maps["branch_2.0"], {b: feature_maps[f"branch_1.{b}"] for b in adapters}
        )
        assert (changed - unchanged).abs().max() > 1e-4
        louder = system.trained_part({**feature_maps, name: feature_maps[name] + 1})
        assert (louder.logits["category"] - expected.logits["category"]).abs().max() > 1e-5


def test_adapters_in_any_order() -> None:
    system = build("cbir_1", adapters=(3, 1))
    assert system.adapters == (1, 3)
    assert list(system.branch_2.adapters) == ["1", "3"]


# Other blocks and poolings, no branch 2


@pytest.mark.parametrize("blocks", [(1,), (3, 4), (4, 2), (1, 2, 3, 4)])
@pytest.mark.parametrize("first", [None, 3])
@torch.no_grad()
def test_pooled_blocks_equal_pooling_the_maps_by_hand(
    blocks: tuple[int, ...], first: int | None
) -> None:
    system = build("cbir_2", pool_blocks=blocks, adapters=(2,), unfreeze_from=first).eval()
    waveform = noise(system)
    log_mel_2 = system.front_end_2(system.decimate(waveform))
    maps = system.branch_1(waveform)
    looked_at = [maps[block - 1] for block in sorted(blocks)]
    looked_at.append(system.branch_2(log_mel_2[:, None, :96], {2: maps[1]}))
    pairs = [pool(x) for pool, x in zip(system.pooling.attentions, looked_at, strict=True)]
    embedding = system.embedding(torch.cat([pooled for pooled, _ in pairs], dim=1))
    assert system.embedding[0].in_features == 256 * (len(blocks) + 1)
    wanted = Output(
        {name: layer(embedding) for name, layer in system.classifiers.items()},
        embedding,
        tuple(attention_map for _, attention_map in pairs),
        looked_at[-1].mean(3),
    )
    assert system.frame_layout == (looked_at[-1].shape[1], 16)
    assert_same(system(waveform), wanted, 1e-5)
    assert_same(system.trained_part(system.frozen_part(waveform)), wanted, 1e-5)


@pytest.mark.parametrize("blocks", [(2,), (4, 3)])
@pytest.mark.parametrize("first", [None, 4])
@torch.no_grad()
def test_maxima_of_several_blocks(blocks: tuple[int, ...], first: int | None) -> None:
    system = build("cbir_4", pool_blocks=blocks, unfreeze_from=first).eval()
    waveform = noise(system)
    maps = [system.branch_1(waveform)[block - 1] for block in sorted(blocks)]
    embedding = system.embedding(torch.cat([x.amax((2, 3)) for x in maps], dim=1))
    output = system(waveform)
    torch.testing.assert_close(output.embedding, embedding, rtol=1e-5, atol=1e-5)
    assert [x.shape[1:] for x in output.attention] == [x.shape[2:] for x in maps]
    for x in output.attention:
        torch.testing.assert_close(x.sum((1, 2)), torch.ones(2))


@pytest.mark.parametrize(
    ("first", "blocks", "width", "kept"),
    [
        (None, (3,), 0.125, {"branch_1.3", "branch_1.4", "branch_2.0"}),  # 4 for the adapter
        (None, (3,), 0, {"branch_1.3"}),
        (None, (1, 3, 4), 0, {"branch_1.1", "branch_1.3", "branch_1.4"}),
        (3, (1, 4), 0, {"branch_1.1", "branch_1.2"}),
        (3, (2, 3), 0, {"branch_1.2"}),
        (4, (2,), 0, {"branch_1.2"}),  # nothing needs block 3
        (1, (1, 4), 0, {"branch_1.0"}),
    ],
)
def test_the_frozen_part_keeps_the_blocks_that_are_pooled(
    first: int | None, blocks: tuple[int, ...], width: float, kept: set[str]
) -> None:
    system = build("cbir_2", unfreeze_from=first, pool_blocks=blocks, width=width).eval()
    assert set(system.frozen_part(noise(system))) == kept
    if not width:
        alone = build("cbir_4", unfreeze_from=first, pool_blocks=blocks).eval()
        assert set(alone.frozen_part(noise(alone))) == kept


@pytest.mark.parametrize(
    ("pooling", "kind", "features"),
    [
        ("attention", ChannelAttention, 256),
        ("mean", MeanPooling, 256),
        ("max", MaxPooling, 256),
        ("attention_mean", PooledTogether, 512),
    ],
)
@pytest.mark.parametrize("name", ["cbir_1", "cbir_2", "cbir_3"])
def test_each_pooling_by_its_name(name: str, pooling: str, kind: type, features: int) -> None:
    system = build(name, pooling=pooling).eval()
    pools = list(system.pooling.attentions) if name == "cbir_2" else [system.pooling.attention]
    assert [type(one) for one in pools] == [kind] * len(pools)
    assert system.embedding[0].in_features == features * len(pools)
    output = system(noise(system))
    shapes = [(4, 4), (6, 4)] if name == "cbir_2" else [(10, 4)]
    assert [tuple(x.shape[1:]) for x in output.attention] == shapes
    for x in output.attention:
        torch.testing.assert_close(x.sum((1, 2)), torch.ones(2), rtol=0, atol=1e-5)
    before = copy.deepcopy(system.state_dict())
    train(system)
    for key, tensor in system.state_dict().items():
        assert torch.equal(tensor, before[key]) == key.startswith("branch_1."), key


@pytest.mark.parametrize("name", ["cbir_1", "cbir_2"])
@torch.no_grad()
def test_a_width_of_0_leaves_branch_2_out(name: str) -> None:
    system = build(name, width=0, adapters=(2, 4)).eval()
    assert (system.branch_2, system.front_end_2, system.adapters) == (None, None, ())
    parts = {key.split(".")[0] for key in system.state_dict()}
    assert parts == {"branch_1", "pooling", "embedding", "classifiers"}
    waveform = noise(system)
    output = system(waveform)
    pool = system.pooling.attention if name == "cbir_1" else system.pooling.attentions[0]
    pooled, attention_map = pool(system.branch_1(waveform)[-1])
    torch.testing.assert_close(output.embedding, system.embedding(pooled), rtol=1e-5, atol=1e-5)
    assert len(output.attention) == 1
    torch.testing.assert_close(output.attention[0], attention_map, rtol=1e-5, atol=1e-5)
    assert len(system.log_mels(waveform)) == 1


def test_a_backbone_of_its_own_takes_no_width() -> None:
    assert build("cbir_4", "mn01", width=0).branch_1.channels == (8, 8, 16, 96)


# Invalid options


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"width": 0, "backbone": "none"}, ("width is 0", "backbone none")),
        ({"width": -1.0}, ("width", "at least 0", "-1.0")),
        ({"unfreeze_from": 9}, ("unfreeze_from", "at most 4", "9")),
        ({"backbone": "mn03"}, ("backbone is 'mn03'", "mn04", "compact", "none")),
        ({"adapters": (5,)}, ("adapters", "at most 4", "(5,)")),
        ({"adapters": (-1, 2)}, ("adapters", "at least 0", "(-1, 2)")),
        ({"pool_blocks": ()}, ("pool_blocks is ()",)),
        ({"pool_blocks": (5,)}, ("pool_blocks", "at most 4", "(5,)")),
        ({"pool_blocks": (0, 4)}, ("pool_blocks", "at least 1", "(0, 4)")),
        ({"pool_blocks": (4, 4)}, ("pool_blocks is (4, 4)", "different blocks")),
        ({"pooling": "median"}, ("pooling must", "'median'", "attention_mean")),
        ({"softmax_over": "time"}, ("softmax_over must", "'time'", "positions")),
    ],
)
@pytest.mark.parametrize("name", ["cbir_1", "cbir_2", "cbir_4"])
def test_invalid_options(name: str, options: dict[str, object], facts: tuple[str, ...]) -> None:
    with pytest.raises(OptionsError) as caught:
        build(name, **options)
    assert all(fact in str(caught.value) for fact in facts)


# Linear heads


@torch.no_grad()
def test_logits_of_statistics_are_linear_in_a_unit_vector() -> None:
    system = build("cbir_2", width=0.0, pooling="statistics", pool_blocks=(3, 4)).train()
    output = system(noise(system))  # no dropout, also in training mode
    torch.testing.assert_close(output.embedding.norm(dim=1), torch.ones(2))
    for name, classify in system.classifiers.items():
        wanted = output.embedding @ classify.weight.T + classify.bias
        torch.testing.assert_close(output.logits[name], wanted)
    assert output.unknown is None
    assert [len(x) for x in output.attention] == [2, 2]
    for x in output.attention:
        torch.testing.assert_close(x.sum((1, 2)), torch.ones(2))


@torch.no_grad()
def test_the_unknown_score_is_computed_from_embedding_and_logits_of_its_head() -> None:
    system = build("cbir_2", width=0.0, pooling="statistics").eval()
    score = UnknownScore(7, system.embedding_size, 2)
    for number, buffer in enumerate((score.centres, score.axes, score.gate)):
        buffer.copy_(0.1 * torch.randn(buffer.shape, generator=torch.manual_seed(number)))
    system.set_unknown("event", score)
    output = system(noise(system))
    assert output.unknown is not None
    wanted = score(output.embedding, output.logits["event"])
    torch.testing.assert_close(output.unknown, wanted)
    assert {"unknown.centres", "unknown.axes"} <= system.state_dict().keys()


@torch.no_grad()
def test_a_silent_clip_has_finite_outputs() -> None:
    system = build("cbir_2", width=0.0, pooling="statistics").eval()
    output = system(torch.zeros(1, system.sample_rate))
    assert all(torch.isfinite(x).all() for x in (*output.logits.values(), output.embedding))
