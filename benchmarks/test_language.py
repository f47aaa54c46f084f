"""An episode of the language model's environments against the model's own forward on the same tokens."""

from __future__ import annotations

import numpy as np
import torch
import transformers

from benchmarks.side_by_side import Row, faster
from dmoe_gym.evaluation import line_up_of
from dmoe_gym.models.language.source import SHIPPED
from dmoe_gym.models.reproducible import one_thread
from dmoe_gym.registration import create_core

ENV_ID, ENVIRONMENTS = "DMoE-Inference-Joint-v0", 64


def test_episode_against_own_forward(in_turns, report):
    core = create_core(ENV_ID, ENVIRONMENTS, "language", {})
    policy = line_up_of(ENV_ID, "language").policies["JESA"]
    actions: list[np.ndarray] = []

    def episode(decide: bool = False) -> None:
        core.seed(core.all_rows, [(seed, 0) for seed in range(ENVIRONMENTS)])
        core.start(core.all_rows)
        for layer in range(core.rounds_per_episode):
            if decide:
                actions.append(policy.predict(core.observations)[0])
            core.step(core.checked_actions(actions[layer]), core.all_rows)

    model = transformers.MixtralForCausalLM.from_pretrained(SHIPPED, local_files_only=True, dtype=torch.float32)
    model.eval().set_experts_implementation("eager")  # its own loop over experts
    with one_thread(), torch.no_grad():
        episode(decide=True)
        tokens = torch.from_numpy(core.relevance.asked.tokens[:, :-1].copy())
        mine, theirs = in_turns(episode, lambda: model(tokens, use_cache=False), rounds=10)
    ratios = [1 / ratio for ratio in faster(mine, theirs)]
    report(
        Row(
            f"{ENV_ID} language, {ENVIRONMENTS} environments, an episode and its start",
            "the model's own forward on the same tokens (1 = as long)",
            *ratios,
            aim=1.3,
            at_least=False,
        )
    )
