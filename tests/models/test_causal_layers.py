"""Language models layer by layer: transformers' own forward where the model's own top-k is heard."""

from __future__ import annotations

import pytest
import torch
from tiny_models import FAMILIES, tiny

from dmoe_gym.models.causal.layers import LayeredModel, top_experts, weights_of
from dmoe_gym.models.language.training import route

TOKENS = torch.randint(3, 40, (5, 14), generator=torch.Generator().manual_seed(1))


def logits_of(model: LayeredModel, tokens, choose, padding=None):
    hidden = model.embed(tokens)
    for layer in range(1, model.layers + 1):
        hidden, scores = model.open_layer(layer, hidden, padding)
        torch.testing.assert_close(scores.sum(-1), torch.ones(scores.shape[:2]))
        hidden = model.close_layer(layer, hidden, scores, choose(layer, scores))
    return model.logits(hidden, padding)


@pytest.mark.parametrize("name", FAMILIES)
def test_with_its_own_top_k_heard_the_logits_are_the_models_own(name):
    model = tiny(name)
    with torch.no_grad():
        expected = model(input_ids=TOKENS).logits
    layered = LayeredModel(model)
    found = logits_of(layered, TOKENS, lambda layer, scores: top_experts(scores, layered.top_k))
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_padding_at_the_beginning_changes_nothing(name):
    layered = LayeredModel(tiny(name))

    def own(layer, scores):
        return top_experts(scores, layered.top_k)

    padding = torch.tensor([0, 3, 1, 8, 13])
    found = logits_of(layered, torch.where(torch.arange(14) < padding[:, None], 0, TOKENS), own, padding)
    for row, hidden in enumerate(padding.tolist()):
        alone = logits_of(layered, TOKENS[row : row + 1, hidden:], own)
        torch.testing.assert_close(found[row, hidden:], alone[0], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", FAMILIES)
def test_one_expert_alone_answers_with_all_the_weight_that_top_k_has(name):
    """Of a layer by its parts: what is added is its weight times the expert's own answer, and the shared expert's."""
    model = tiny(name)
    layered = LayeredModel(model)
    hidden, scores = layered.open_layer(1, layered.embed(TOKENS))
    alone = torch.zeros(scores.shape, dtype=torch.bool)
    alone[..., 2] = True
    added = layered.close_layer(1, hidden, scores, alone) - hidden
    number = next(place for place, layer in enumerate(model.model.layers) if hasattr(layer.mlp, "experts"))
    layer = model.model.layers[number]
    seen = layer.post_attention_layernorm(hidden)
    gate, up = (seen @ layer.mlp.experts.gate_up_proj[2].T).chunk(2, -1)
    answer = (torch.nn.functional.silu(gate) * up) @ layer.mlp.experts.down_proj[2].T
    weight = torch.ones(scores.shape[:2])
    if not getattr(layer.mlp.gate, "norm_topk_prob", True):
        weight = scores.topk(layered.top_k, -1).values.sum(-1)
    expected = weight[..., None] * answer
    if hasattr(layer.mlp, "shared_expert"):
        expected = expected + layer.mlp.shared_expert_gate(seen).sigmoid() * layer.mlp.shared_expert(seen)
    torch.testing.assert_close(added, expected, rtol=1e-4, atol=1e-5)


def test_a_hidden_state_that_nobody_answers_stays_as_it_is():
    layered = LayeredModel(tiny("mixtral"))
    hidden, scores = layered.open_layer(1, layered.embed(TOKENS))
    heard = top_experts(scores, 2)
    heard[1, 3] = False
    after = layered.close_layer(1, hidden, scores, heard)
    torch.testing.assert_close(after[1, 3], hidden[1, 3], rtol=0, atol=0)
    assert not torch.equal(after[1, 4], hidden[1, 4])


def test_a_layer_changes_nothing_before_a_place_and_something_after_it():
    layered = LayeredModel(tiny("olmoe"))

    def choose(layer, scores):
        heard = top_experts(scores, layered.top_k)
        if layer == 1:
            heard[:, 6] = torch.tensor([True, False, False, False])
        return heard

    own = logits_of(layered, TOKENS, lambda layer, scores: top_experts(scores, layered.top_k))
    changed = logits_of(layered, TOKENS, choose)
    torch.testing.assert_close(changed[:, :6], own[:, :6], rtol=0, atol=1e-6)
    assert (changed[:, 6:] - own[:, 6:]).abs().amax((0, 2)).min() > 1e-4


def test_weights_are_the_shares_of_who_is_heard():
    logits = torch.tensor([[0.0, 1.0, 2.0], [3.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
    heard = torch.tensor([[True, False, True], [False, True, False], [False, False, False]])
    scores = logits.softmax(-1)
    weights = weights_of(scores, heard, torch.tensor([[1.0], [0.5], [1.0]]))
    share = scores[0, 2] / (scores[0, 2] + scores[0, 0])
    torch.testing.assert_close(weights, torch.tensor([[1 - share, 0.0, share], [0.0, 0.5, 0.0], [0.0, 0.0, 0.0]]))
    # as transformers' own routers say it in training: the best first, number 3 for nobody
    _, routed, experts = route(logits, heard)
    torch.testing.assert_close(routed, torch.tensor([[share, 1 - share], [1.0, 0.0], [0.0, 0.0]]))
    assert experts.tolist() == [[2, 0], [1, 3], [3, 3]]
