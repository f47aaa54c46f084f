"""What happens during training: evaluation on held-out episodes, and checkpoints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

from agents.checkpoint import save_checkpoint
from agents.config import TrainingConfig
from agents.interrupt import Interrupts
from agents.policy import as_policy
from agents.replay_buffer import save_replay
from agents.run_folder import RunFolder
from agents.status import StatusKeeper
from dmoe_gym.evaluation import Row, evaluate, held_out_seeds
from dmoe_gym.evaluation.tensorboard import eval_scalars
from dmoe_gym.io.files import write_csv
from dmoe_gym.system import LineUp


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
    """Evaluates before training, at the first update after every `evaluation.every` steps and after training.

    Checkpoints likewise. When is a matter of the steps alone, so an interrupted run evaluates where an uninterrupted
    one does.

    Args:
        config: the recipe.
        folder: where evaluations and checkpoints go; what is there of a resumed run is gone on with.
        name: how rows call the run.
        references: rows of the line-up on the same held-out episodes.
        line_up: which of them are random and optimal.
        status: told of every step between updates.
        interrupts: whether to stop.
        done: environment steps behind the run.
        progress: told of them after every step.
    """

    def __init__(
        self,
        config: TrainingConfig,
        folder: RunFolder,
        name: str,
        references: Sequence[Row],
        line_up: LineUp,
        status: StatusKeeper,
        interrupts: Interrupts,
        done: int = 0,
        progress: Callable[[int], None] = lambda steps: None,
    ) -> None:
        super().__init__()
        self.config, self.folder, self.name, self.status = config, folder, name, status
        self.references, self.line_up, self.interrupts = references, line_up, interrupts
        self.rows = [row for row in folder.evaluations() if row["step"] <= done] if done else []
        never = -config.evaluation.every if config.evaluation.untrained else 0
        self._evaluated = max((row["step"] for row in self.rows), default=never)
        self._checkpointed = done
        self.whole_steps = done
        self.progress = progress

    def _on_step(self) -> bool:
        self.progress(min(self.num_timesteps, self.config.total_timesteps))
        return True

    def between_updates(self) -> None:
        """Evaluate and checkpoint if it is time, and stop if somebody asked for it."""
        steps = self.whole_steps = self.model.num_timesteps
        self.status.update(steps)
        self.progress(min(steps, self.config.total_timesteps))
        if _due(steps, self._evaluated, self.config.evaluation.every):
            self.evaluate()
        if _due(steps, self._checkpointed, self.config.checkpoint_every):
            self.checkpoint()
        self.interrupts.check()

    def _on_training_end(self) -> None:
        # kept before it is evaluated, which may be interrupted
        self.whole_steps = self.model.num_timesteps
        self.checkpoint()
        self.evaluate()

    def checkpoint(self) -> None:
        """Write the learner's tensors as of the last whole update, if there is anything new to write."""
        if self.whole_steps > self._checkpointed:
            save_replay(self.model, self.folder.replay_file, self.whole_steps)
            save_checkpoint(self.model, self.folder.checkpoint_file, self.whole_steps)
            self._checkpointed = self.whole_steps

    def evaluate(self) -> None:
        """Run the held-out episodes, write their rows and log their means beside the optimum's lines."""
        step = self.model.num_timesteps
        self._evaluated = step
        if any(row["step"] == step for row in self.rows):
            return
        self.interrupts.check()
        self.interrupts.at_once = True
        try:
            rows = evaluate(
                as_policy(self.model),
                self.config.env_id,
                scenario=self.config.scenario,
                seeds=held_out_seeds(self.config.evaluation.episodes),
                name=self.name,
                **self.config.overrides,
            )
        finally:
            self.interrupts.at_once = False
        self.rows += [{**row, "step": step} for row in rows]
        write_csv(self.folder.evaluations_file, self.rows)
        for tag, value in eval_scalars(rows, self.references, self.line_up).items():
            self.logger.record(tag, value)
        # beside the episodes' return r, length l and time t stand their terms
        recent = list(self.model.ep_info_buffer or ())
        for term in recent[0] if recent else ():
            if term not in ("r", "l", "t"):
                self.logger.record(f"rollout/{term}", float(np.mean([episode[term] for episode in recent])))
        self.logger.dump(step)


def _due(steps: int, last: int, every: int) -> bool:
    """Was a multiple of `every` reached since the last time?"""
    return steps // every > last // every
