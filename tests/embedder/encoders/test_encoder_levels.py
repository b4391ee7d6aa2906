"""Levels of convolutional networks and transformers, within a limit; other networks are refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import graphs
import pytest
from onnx import helper

from arcage.embedder.encoders import encoder_levels
from arcage.embedder.encoders.encoder_levels import AnyLevel, TokenLevel
from arcage.embedder.encoders.image_input import read_input
from arcage.embedder.encoders.tensors import Tensor, batched_tensors
from arcage.embedder.levels import Level, find_levels
from arcage.errors import ModelError


def levels_of(model: Any) -> tuple[AnyLevel, ...]:
    return encoder_levels.encoder_levels(model, batched_tensors(model, read_input(model)))


@pytest.mark.parametrize("make", [graphs.iresnet, graphs.mobilefacenet])
def test_face_networks_have_the_levels_of_the_face_rule(make: Callable[[], Any]) -> None:
    assert levels_of(make()) == find_levels(make())


def test_transformers_give_layers_that_are_evenly_spaced() -> None:
    names = [level.tensor for level in levels_of(graphs.vit())]
    # Of eight residual sums, six; neither the positions nor the sums inside GELU.
    assert names == [
        "attention_0",
        "block_0",
        "block_1",
        "attention_2",
        "block_2",
        "block_3",
        "embedding",
    ]
    first, *_, last = levels_of(graphs.vit())
    assert first == TokenLevel("attention_0", 0, 17, 12, 1)
    assert (first.columns, str(first)) == (24, "attention_0 class+mean 24")
    assert last == Level("embedding", "none", 12)


def test_other_transformers() -> None:
    assert levels_of(graphs.vit(sequence_first=True))[0] == TokenLevel("attention_0", 1, 17, 12, 1)
    assert levels_of(graphs.vit(class_token=False))[0] == TokenLevel("attention_0", 0, 16, 12, 0)
    assert levels_of(graphs.vit(class_token=False))[0].columns == 12
    *_, last = levels_of(graphs.vit(output="tokens"))
    assert last == TokenLevel("tokens", 0, 17, 12, 1)


def test_the_number_of_columns_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    everything = find_levels(graphs.iresnet())
    for limit in (148, 147, 76, 75, 40, 17):
        monkeypatch.setattr(encoder_levels, "MAX_COLUMNS", limit)
        levels = levels_of(graphs.iresnet())
        assert sum(level.columns for level in levels) <= limit
        assert levels[-1] == everything[-1]
        assert (everything[-2] in levels) == (limit == 148)
    monkeypatch.setattr(encoder_levels, "MAX_COLUMNS", 60)
    assert [level.tensor for level in levels_of(graphs.vit())] == ["block_1", "block_3", "embedding"]
    monkeypatch.setattr(encoder_levels, "MAX_COLUMNS", 11)
    with pytest.raises(ModelError, match="more than 11 numbers"):
        levels_of(graphs.vit())


def pool(model: Any) -> Any:
    """Add an operator that only detectors have."""
    model.graph.node.append(helper.make_node("NonMaxSuppression", ["a", "b"], ["boxes"]))
    return model


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (
            graphs.vit(ending="Softmax"),
            "a classifier: its output is a Softmax over 12 classes.*without its last",
        ),
        (graphs.vit(ending="Sigmoid"), "a classifier: its output is a Sigmoid"),
        (graphs.attribute(width=3), r"returns 'fc1' \(n, 3\), not one vector of 8"),
        (graphs.attribute(width=10), "found no feature maps and no tokens"),
    ],
)
def test_other_networks(model: Any, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        levels_of(model)


def test_a_network_without_outputs() -> None:
    model = graphs.vit()
    del model.graph.output[:]
    with pytest.raises(ModelError, match="has no output"):
        encoder_levels.refuse_detectors(model)


def test_names_of_tensors_are_shortened() -> None:
    for level in (Level("x" * 1000, "mean", 3), TokenLevel("x" * 1000, 0, 16, 3, 0)):
        assert str(level) == f"{'x' * 100} mean 3"


def test_detectors() -> None:
    for model in (graphs.scrfd(), pool(graphs.vit())):
        with pytest.raises(ModelError, match="the network is a detector"):
            encoder_levels.refuse_detectors(model)


@pytest.mark.parametrize(
    ("tensor", "expected"),
    [
        (Tensor((1, 197, 8), 0, False), (197, 8, 1)),
        (Tensor((1, 261, 8), 0, False), (261, 8, 5)),  # four registers
        (Tensor((1, 256, 8), 0, False), (256, 8, 0)),
        (Tensor((50, 1, 8), 1, False), (50, 8, 1)),
        (Tensor((1, 7, 7, 96), 0, False), (49, 96, 0)),  # a map of a Swin transformer
        (Tensor((1, 77, 8), 0, False), (77, 8, 13)),
        (Tensor((1, 99, 8), 0, False), (99, 8, 0)),  # not a square and a few more
        (Tensor((1, 96, 7, 7), 0, False), None),
        (Tensor((1, 3, 8), 0, False), None),
        (Tensor((1, 8, 1), 0, False), None),
        (Tensor((16, 12, 1), 2, False), None),
    ],
)
def test_what_counts_as_tokens(tensor: Tensor, expected: tuple[int, int, int] | None) -> None:
    level = encoder_levels._as_tokens("x", {"x": tensor})
    assert (level and (level.tokens, level.width, level.extra)) == expected
