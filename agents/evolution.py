"""An evolution strategy for policies of few parameters whose decisions a solver makes.

Gradients of an episode's cost cannot be had through a solver, and a policy gradient would have to explore its prices
with noise. Here whole parameter vectors are compared instead (Salimans et al., "Evolution Strategies as a Scalable
Alternative to Reinforcement Learning", 2017): pairs theta + s e and theta - s e run the same training episodes, bit for
bit, so the channel's luck cancels in the difference of their costs; the estimated gradient goes to Adam.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import MaybeCallback

from agents.replay import Recording, ReplayCore, record
from agents.residual import ResidualPolicy, Surveyed
from agents.residual.base import Arrays, Compiled
from dmoe_gym.dmoe.env.joint import encode_joint


class EvolutionStrategy(BaseAlgorithm):
    """Stable-Baselines3's interface around an antithetic evolution strategy with common random numbers.

    Args:
        policy: `ResidualPolicy`.
        env: `BatchedVecEnv` of `DMoE-JESA-v0`; every generation runs one episode of each of its environments.
        learning_rate: of Adam; it falls linearly to a tenth.
        pairs: directions per generation.
        noise: s, the standard deviation of the directions.
        generations: steps of Adam on the same episodes before new ones are drawn.
        policy_kwargs: of `ResidualPolicy`.
    """

    policy: ResidualPolicy  # type: ignore[assignment]

    def __init__(
        self,
        policy: type[ResidualPolicy],
        env: Any,
        *,
        learning_rate: float = 0.03,
        pairs: int = 8,
        noise: float = 0.1,
        generations: int = 1,
        seed: int | None = None,
        device: str = "cpu",
        policy_kwargs: dict[str, Any] | None = None,
    ) -> None:
        if not (pairs >= 1 and noise > 0 and learning_rate > 0 and generations >= 1):
            raise ValueError(
                f"pairs = {pairs}, noise = {noise}, learning_rate = {learning_rate}, generations = {generations}: "
                "valid are numbers above 0"
            )
        super().__init__(
            policy,  # type: ignore[arg-type]
            env,
            learning_rate,
            policy_kwargs=policy_kwargs,
            device=device,
            support_multi_env=True,
            seed=seed,
        )
        self.pairs, self.noise, self.generations = pairs, noise, generations
        self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.generator = np.random.default_rng([self.seed or 0, 3])
        self.policy = self.policy_class(seed=self.seed or 0, learning_rate=self.lr_schedule(1.0), **self.policy_kwargs)  # type: ignore[assignment, call-arg]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    def warm_start(self) -> bool:
        """What precedes the first generation: nothing here. Whether there was anything."""
        return False

    def record(self) -> Recording:
        """The next episode of every environment."""
        return record(self.env.core)  # type: ignore[union-attr]

    def decided(self, recording: Recording) -> int:
        """Rounds that the generations on recorded episodes count as: of all candidates, or surveyed once for all."""
        rounds = recording.gains.shape[0] * recording.gains.shape[1]
        return rounds if self.policy.residual.surveyed else rounds * 2 * self.pairs * self.generations

    def looks(self, recording: Recording) -> list[Arrays]:
        """What is seen of every round of B recorded episodes whatever is done; what its choices save, if surveyed."""
        residual = self.policy.residual
        core = ReplayCore(self.env.config, recording, 1)  # type: ignore[union-attr]
        memory = residual.start(core.num_envs)
        core.start(core.all_rows)
        looks = []
        while not core.terminated.all():
            seen = residual.see(core.observations, memory)
            if isinstance(residual, Surveyed):
                seen["savings"] = residual.survey(core.observations, seen)
                seen["features"] = residual.features(core.observations, seen)
            looks.append(seen)
            core.skip_round(core.all_rows)
        return looks

    def costs(self, recording: Recording, looks: Sequence[Arrays], parameters: np.ndarray) -> np.ndarray:
        """Mean cost per round (P, B) of P parameter vectors (P, size) in B recorded episodes."""
        residual, copies = self.policy.residual, len(parameters)
        if isinstance(residual, Surveyed):
            outputs = [self.policy.network(parameters, seen["features"][None]) for seen in looks]
            valued = [residual.valued(seen, seen["savings"], each) for seen, each in zip(looks, outputs, strict=True)]
            return np.mean(valued, axis=0)
        if isinstance(residual, Compiled):
            return np.mean([residual.costs(self.policy.network, seen, parameters) for seen in looks], axis=0)
        core = ReplayCore(self.env.config, recording, copies)  # type: ignore[union-attr]
        total = np.zeros(core.num_envs)
        core.start(core.all_rows)
        for seen in looks:
            tiled = {key: np.tile(values, (copies, *[1] * (values.ndim - 1))) for key, values in seen.items()}
            core.step(encode_joint(*self.policy.decide(core.observations, tiled, parameters)), core.all_rows)
            total -= core.rewards
        return total.reshape(copies, -1) / core.rounds_per_episode

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "EvolutionStrategy",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> EvolutionStrategy:
        """Generations until so many rounds are decided, those of all candidates together, or surveyed, once for all."""
        total, callback = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        callback.on_training_start(locals(), globals())
        assert self.env is not None
        while self.num_timesteps < total:
            callback.on_rollout_start()
            if self.num_timesteps == 0 and self.warm_start():
                continue
            recording = self.record()
            looks = self.looks(recording)
            self._update_current_progress_remaining(self.num_timesteps, total)
            for _ in range(self.generations):
                scalars = self._generation(recording, looks)
            self.num_timesteps += self.decided(recording)
            for name, value in scalars.items():
                self.logger.record(f"train/{name}", value)
            callback.update_locals(locals())
            if not callback.on_step():
                break
            callback.on_rollout_end()
            self._n_updates += 1
            if self._n_updates % log_interval == 0:
                self.logger.dump(self.num_timesteps)
        callback.on_training_end()
        return self

    def _generation(self, recording: Recording, looks: Sequence[Arrays]) -> dict[str, float]:
        """One step of Adam along the estimated gradient."""
        vector = self.policy.parameters_vector
        directions = self.generator.standard_normal((self.pairs, len(vector)))
        moves = self.noise * np.concatenate([directions, -directions])
        costs = self.costs(recording, looks, vector.detach().numpy() + moves)
        means = costs.mean(1)
        differences = (means[: self.pairs] - means[self.pairs :]) / (2 * self.noise)
        gradient = differences @ directions / self.pairs
        vector.grad = torch.as_tensor(gradient)
        rate = self.lr_schedule(1.0) * (0.1 + 0.9 * self._current_progress_remaining)
        for group in self.policy.optimizer.param_groups:
            group["lr"] = rate
        self.policy.optimizer.step()
        return {
            "cost": float(costs.mean()),
            "cost_spread": float(means.std()),
            "gradient_norm": float(np.linalg.norm(gradient)),
            "parameter_norm": float(vector.detach().norm()),
            "learning_rate": float(rate),
        }
