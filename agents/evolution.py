"""An evolution strategy for policies of few parameters whose decisions a solver makes.

Gradients of an episode's cost cannot be had through a solver, and a policy gradient would have to explore its prices
with noise. Here whole parameter vectors are compared instead (Salimans et al., "Evolution Strategies as a Scalable
Alternative to Reinforcement Learning", 2017): pairs theta + s e and theta - s e run the same training episodes, bit for
bit, so the channel's luck cancels in the difference of their costs; the estimated gradient goes to Adam.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, Generic, TypeVar, cast

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import MaybeCallback

from agents.networks.vector import VectorPolicy
from dmoe_gym.facades.stable_baselines import BatchedVecEnv

Episodes = TypeVar("Episodes")


class EvolutionStrategy(BaseAlgorithm, Generic[Episodes]):
    """Stable-Baselines3's interface around an antithetic evolution strategy with common random numbers.

    A system says how its episodes are kept (`record`), what of them can be computed once for all candidates (`looks`)
    and what candidates cost in them (`costs`).

    Args:
        policy: what acts; SB3 asks no more of it here than a `VectorPolicy` has.
        env: of the system; every generation runs one episode of each of its environments.
        learning_rate: of Adam; it falls linearly to a tenth.
        pairs: directions per generation.
        noise: s, the standard deviation of the directions.
        generations: steps of Adam on the same episodes before new ones are drawn.
        policy_kwargs: of the policy, but for `seed` and `learning_rate`.

    Raises:
        ValueError: for a number that is not above 0.
    """

    policy: VectorPolicy  # type: ignore[assignment]  # BaseAlgorithm names a class of networks with spaces
    env: BatchedVecEnv | None

    def __init__(
        self,
        policy: type[VectorPolicy],
        env: BatchedVecEnv,
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
            cast("type[BasePolicy]", policy),
            env,
            learning_rate,
            policy_kwargs=policy_kwargs,
            device=device,
            support_multi_env=True,
            seed=seed,
        )
        self.kind, self.pairs, self.noise, self.generations = policy, pairs, noise, generations
        self._setup_model()

    def _setup_model(self) -> None:
        self._setup_lr_schedule()
        self.set_random_seed(self.seed)
        self.generator = np.random.default_rng([self.seed or 0, 3])
        self.policy = self.kind(seed=self.seed or 0, learning_rate=self.lr_schedule(1.0), **self.policy_kwargs)

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "policy.optimizer"], []

    @abstractmethod
    def record(self) -> Episodes:
        """The next episode of every environment."""

    @abstractmethod
    def decided(self, recording: Episodes) -> int:
        """Time steps that the generations on recorded episodes count as."""

    def looks(self, recording: Episodes) -> list[Any]:
        """What is seen of recorded episodes whatever is done, computed once for all candidates: nothing here."""
        return []

    @abstractmethod
    def costs(self, recording: Episodes, looks: list[Any], parameters: np.ndarray) -> np.ndarray:
        """Mean costs (P, B) of P parameter vectors (P, size) in B recorded pieces."""

    def warm_start(self) -> bool:
        """What precedes the first generation: nothing here. Whether there was anything."""
        return False

    def learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 1,
        tb_log_name: str = "EvolutionStrategy",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> EvolutionStrategy[Episodes]:
        """Generations until they count as so many time steps (`decided`)."""
        total, callback = self._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        callback.on_training_start(locals(), globals())
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

    def _generation(self, recording: Episodes, looks: list[Any]) -> dict[str, float]:
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
