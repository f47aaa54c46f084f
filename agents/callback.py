"""What happens during training: evaluation on held-out episodes, and checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.config import TrainingConfig
from agents.learners import save_checkpoint
from agents.policy import as_policy
from agents.run_folder import RunFolder
from agents.status import StatusKeeper
from dmoe_gym.evaluation import Row, evaluate, held_out_seeds
from dmoe_gym.evaluation.tensorboard import eval_scalars
from dmoe_gym.io.files import read_csv, write_csv
from dmoe_gym.line_up import LineUp


class BetweenUpdates(BaseCallback):
    """Looks at the policy between rollouts, so that it sees a policy and not half an update."""

    def _on_step(self) -> bool:
        return True

    def _on_rollout_start(self) -> None:
        self.between_updates()

    def between_updates(self) -> None:
        """Called with a whole policy, also by `agents.imitation`."""
        raise NotImplementedError


class EvaluateAndCheckpoint(BetweenUpdates):
    """Evaluates before training, every `evaluation.every` steps and after training; checkpoints likewise.

    Args:
        config: the recipe.
        folder: where evaluations and checkpoints go.
        name: how rows call the run.
        references: rows of the line-up on the same held-out episodes.
        line_up: which of them are random and optimal.
        status: told of every step between updates.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        name: str,
        references: Sequence[Row],
        line_up: LineUp,
        status: StatusKeeper,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.name, self.status = config, folder, name, status
        self.references, self.line_up = references, line_up
        self.rows: list[Row] = []
        self._next_evaluation = self._next_checkpoint = 0

    def _on_training_start(self) -> None:
        if self.folder.evaluations_file.exists():
            done = read_csv(self.folder.evaluations_file)
            self.rows = [row for row in done if row["step"] < self.model.num_timesteps]
        self._next_checkpoint = self.model.num_timesteps + self.config.checkpoint_every
        self._next_evaluation = self.model.num_timesteps
        if self.model.num_timesteps == 0 and not self.config.evaluation.untrained:
            self._next_evaluation = self.config.evaluation.every

    def between_updates(self) -> None:
        """Evaluate and checkpoint if it is time."""
        steps = self.model.num_timesteps
        self.status.update(steps)
        if steps >= self._next_evaluation:
            self.evaluate()
            self._next_evaluation = steps + self.config.evaluation.every
        if steps >= self._next_checkpoint:
            self.checkpoint()
            self._next_checkpoint = steps + self.config.checkpoint_every

    def _on_training_end(self) -> None:
        self.evaluate()
        self.checkpoint()

    def checkpoint(self) -> None:
        """Write evaluations and tensors; what is on disk is always whole."""
        write_csv(self.folder.evaluations_file, self.rows)
        save_checkpoint(self.model, self.folder.checkpoint_file)

    def evaluate(self) -> None:
        """Run the held-out episodes and log their means beside the optimum's lines."""
        step = self.model.num_timesteps
        if any(row["step"] == step for row in self.rows):
            return
        rows = evaluate(
            as_policy(self.model),
            self.config.env_id,
            scenario=self.config.scenario,
            seeds=held_out_seeds(self.config.evaluation.episodes),
            name=self.name,
            **self.config.overrides,
        )
        self.rows += [{**row, "step": step} for row in rows]
        for tag, value in eval_scalars(rows, self.references, self.line_up).items():
            self.logger.record(tag, value)
        # beside the episodes' return r, length l and time t stand their terms
        recent = list(self.model.ep_info_buffer or ())
        for term in recent[0] if recent else ():
            if term not in ("r", "l", "t"):
                self.logger.record(f"rollout/{term}", float(np.mean([episode[term] for episode in recent])))
        self.logger.dump(step)
