"""A real classifier under WDMoE: the same answers as without a network, the same latencies as the physics."""

from __future__ import annotations

import numpy as np
import pytest

from dmoe_gym.evaluation.statistics import Interval
from dmoe_gym.models.digits import load_inputs, load_model
from dmoe_gym.models.digits.model import best_experts, infer
from dmoe_gym.wdmoe import Allocation, Block, check, latency
from dmoe_gym.wdmoe.policies import WLR, Greedy, TopK
from experiments.serving import IMAGES, VANILLA, Prompts, contenders, draw_prompts, serve, system
from experiments.wdmoe_inference import Results, WDMoEInference, run_contender, verdict


def few(count: int = 6, part: str = "validation") -> Prompts:
    prompts = draw_prompts(part)
    return Prompts(part, prompts.seeds[:count], prompts.domains[:count], prompts.images[:count])


@pytest.fixture(scope="module")
def model():
    return load_model()


@pytest.mark.parametrize("k", [1, 2])
def test_top_k_answers_as_the_model_alone_whatever_the_channel(model, k):
    prompts, inputs = few(), load_inputs("validation")
    served = serve(TopK(system(model), k=k), model, prompts)
    scores, _ = infer(model, inputs.patches[prompts.domains, prompts.images], best_experts(k))
    np.testing.assert_array_equal(served.correct, scores.argmax(-1) == inputs.labels[prompts.images])


@pytest.mark.parametrize("build", [TopK, WLR, Greedy])
@pytest.mark.parametrize("bandwidth", ["equal", "optimal"])
def test_latencies_and_budgets_are_the_physics(model, build, bandwidth):
    config = system(model).replace(relevance_share=0.8)
    blocks = []
    served = serve(build(config, bandwidth), model, few(), lambda *seen: blocks.append(seen))
    assert len(blocks) == config.num_blocks
    for number, (seen, selected, shares) in enumerate(blocks):
        for prompt in range(len(selected)):
            block = Block(
                seen.gate_weights[prompt],
                seen.downlink_cn0[prompt] * config.noise_density / config.base_station_power_w,
                seen.uplink_cn0[prompt] * config.noise_density / config.device_power_w,
                config,
            )
            allocation = Allocation(selected[prompt], shares[prompt])
            assert check(block, allocation) == []
            assert latency(block, allocation).total == pytest.approx(served.latency[prompt, number], rel=1e-9)


def test_channels_and_inputs_are_the_same_for_every_scheduler(model):
    seen: list[list[np.ndarray]] = [[], []]
    prompts = few()
    for kept, scheduler in zip(seen, (TopK(system(model)), Greedy(system(model))), strict=True):
        serve(scheduler, model, prompts, lambda blocks, *_, kept=kept: kept.append(blocks.uplink_cn0))
    np.testing.assert_array_equal(seen[0], seen[1])
    assert len({channel.tobytes() for channel in seen[0]}) == system(model).num_blocks


def test_a_prompt_is_served_alike_in_any_company(model):
    prompts = few()
    together = serve(Greedy(system(model)), model, prompts)
    alone = Prompts("validation", prompts.seeds[3:4], prompts.domains[3:4], prompts.images[3:4])
    one = serve(Greedy(system(model)), model, alone)
    np.testing.assert_array_equal(one.latency[0], together.latency[3])
    np.testing.assert_array_equal(one.correct[0], together.correct[3])


def test_what_was_selected_shapes_later_gate_scores(model):
    """Layer 1 sees the same, later layers do not: the model is in the loop."""
    weights: list[list[np.ndarray]] = [[], []]
    for kept, k in zip(weights, (1, 2), strict=True):
        serve(TopK(system(model), k=k), model, few(), lambda seen, *_, kept=kept: kept.append(seen.gate_weights))
    np.testing.assert_array_equal(weights[0][0], weights[1][0])
    assert all((one != other).any() for one, other in zip(weights[0][1:], weights[1][1:], strict=True))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_prompts_hold_every_input_once_per_repeat(part):
    prompts = draw_prompts(part, repeats=2)
    domains, images = load_inputs(part).patches.shape[:2]
    counts = np.bincount((prompts.domains * images + prompts.images).ravel(), minlength=domains * images)
    assert (counts == 2).all()
    assert prompts.images.shape == (2 * domains * images // IMAGES, IMAGES)
    assert len(set(prompts.seeds)) == len(prompts.images)
    assert (min(prompts.seeds) >= 1_000_000) == (part == "test")
    with pytest.raises(ValueError, match="images = 7: valid are divisors"):
        draw_prompts(part, images=7)


def test_values_are_means_over_prompts_and_digits(model):
    value = run_contender(VANILLA, "validation", 1)
    served = serve(TopK(system(model), "equal"), model, draw_prompts("validation"))
    np.testing.assert_allclose(value["latency"], 1e3 * served.latency.mean(1))
    # every digit appears once in each domain
    assert value["accuracy"].mean() == pytest.approx(100 * served.correct.mean())


def test_the_page_states_the_claim_for_every_contender():
    experiment, generator = WDMoEInference(), np.random.default_rng(0)
    values = []
    for _ in experiment.pieces():
        latency, accuracy = generator.uniform(5, 6, 20), generator.uniform(80, 90, 30)
        values.append({"latency": latency, "relevance": latency / 10, "accuracy": accuracy})
    page = experiment.page(values)
    text = page.sections["docs/reports/wdmoe_inference.md", "wdmoe-inference"]
    assert all(f"| {one.name} |" in text for one in contenders())
    assert "without compromising performance" in text


def test_verdicts():
    faster, slower = Interval(-40, -45, -35), Interval(-1, -3, 1)
    assert verdict(faster, Interval(-0.2, -0.6, 0.2)).startswith("confirmed")
    assert verdict(faster, Interval(0.0, 0.0, 0.0)).startswith("confirmed")
    assert verdict(faster, Interval(-0.8, -1.2, -0.4)).startswith("not decided")
    assert verdict(faster, Interval(-2.0, -2.4, -1.6)).startswith("not confirmed, ")
    assert verdict(slower, Interval(0.0, 0.0, 0.0)).startswith("not confirmed, ")


def test_the_chosen_share_is_the_fastest_within_the_margin():
    def value(latency: float, accuracy: float) -> dict[str, np.ndarray]:
        return {"latency": np.array([latency]), "relevance": np.array([0.5]), "accuracy": np.array([accuracy])}

    made = {VANILLA: value(9, 84), "WLR-optimal 0.98": value(5, 84), "WLR-optimal": value(4, 83.2)}
    results = Results({**made, "WLR-optimal 0.6": value(2, 70), "greedy-optimal": value(1, 50)})
    assert results.fastest_within("WLR-optimal") == "WLR-optimal"
    assert results.fastest_within("WLR-optimal", margin=0.5) == "WLR-optimal 0.98"
    assert results.fastest_within("greedy-optimal") == "greedy-optimal"
