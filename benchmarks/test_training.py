"""How much of training's wall time the environment takes."""

from __future__ import annotations

from sb3_contrib import MaskablePPO

from benchmarks.side_by_side import Clock, Row
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

STEPS = 16_384


def test_environment_s_share_of_maskable_ppo(benchmark, report):
    env = BatchedVecEnv("DMoE-JESA-Sequential-v0", 64, scenario="small")
    env.seed(0)
    clocks = [Clock(env.step_wait), Clock(env.reset)]
    actions, masks = env.step_async, env.env_method
    timed: list[float] = []

    def clocked(function):
        def call(*arguments, **named):
            clock = Clock(lambda: function(*arguments, **named))
            result = clock()
            timed.append(clock.wall[0])
            return result

        return call

    env.step_wait, env.reset = clocks
    env.step_async, env.env_method = clocked(actions), clocked(masks)
    model = MaskablePPO("MultiInputPolicy", env, n_steps=64, batch_size=512, seed=0)
    train = Clock(lambda: model.learn(STEPS))
    benchmark.pedantic(train, rounds=1, iterations=1)
    inside = sum(clocks[0].wall) + sum(clocks[1].wall) + sum(timed)
    report(
        Row(
            f"environment's share of MaskablePPO training, small, {STEPS:,} steps",
            "the whole of `learn`",
            100 * inside / train.wall[0],
            aim=10,
            at_least=False,
            unit="%",
            details={"learn_s": train.wall[0], "environment_s": inside, "masks_and_actions_s": sum(timed)},
        )
    )
