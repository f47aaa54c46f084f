"""Other libraries on the suite's environments, a few hundred steps each: `make libraries`.

Each group of libraries gets a virtual environment of its own in `output/libraries`, made at the first call; the table
that this prints stands in docs/guides/other_libraries.md. What a library needs beyond `gym.make` is in its function.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WHERE = ROOT / "output" / "libraries"
# packages installed beside each other, and what is run there
GROUPS = {
    "sb3": (["-e", f"{ROOT}[train]"], ["stable_baselines3", "sb3_contrib"]),
    "zoo": (["rl_zoo3", "sbx-rl", "-e", f"{ROOT}[train]"], ["rl_zoo3", "sbx"]),
    "shared": (
        ["skrl", "torchrl", "minari[hdf5,create]", "-e", f"{ROOT}[train]"],
        ["cleanrl", "skrl", "torchrl", "minari"],
    ),
    "tianshou": (["tianshou>=2", "rliable", "-e", f"{ROOT}"], ["tianshou"]),
    "nodes": (["supersuit", "torchrl", "-e", f"{ROOT}[train,views]"], ["supersuit", "torchrl_nodes"]),
    "rllib": (["ray[rllib]", "-e", f"{ROOT}[views]"], ["rllib", "rllib_nodes"]),
}
BOX, DISCRETE, WHOLE = "DMoE-JESA-Price-Flat-v0", "DMoE-JESA-Sequential-Flat-v0", "DMoE-JESA-Flat-v0"
STEPS = 256


def stable_baselines3() -> str:
    from stable_baselines3 import A2C, DDPG, DQN, PPO, SAC, TD3

    few = {"learning_starts": 32, "batch_size": 16, "buffer_size": 300}
    for learner, env_id, options in (
        *((PPO, env_id, {"n_steps": 64, "batch_size": 32}) for env_id in (BOX, DISCRETE, WHOLE, "DMoE-DES-Flat-v0")),
        (A2C, BOX, {}),
        *((learner, BOX, few) for learner in (SAC, TD3, DDPG)),
        (DQN, DISCRETE, few),
    ):
        learner("MlpPolicy", env_id, device="cpu", seed=0, **options).learn(STEPS)
    return "PPO (every kind of action), A2C, SAC, TD3, DDPG, DQN"


def sb3_contrib() -> str:
    from sb3_contrib import ARS, QRDQN, TQC, TRPO, CrossQ, MaskablePPO, RecurrentPPO

    few = {"learning_starts": 32, "batch_size": 16, "buffer_size": 300}
    for learner, policy, env_id, options in (
        (TRPO, "MlpPolicy", BOX, {"n_steps": 64}),
        (ARS, "LinearPolicy", BOX, {"n_delta": 2}),
        (RecurrentPPO, "MlpLstmPolicy", BOX, {"n_steps": 64}),
        (TQC, "MlpPolicy", BOX, few),
        (CrossQ, "MlpPolicy", BOX, few),
        (QRDQN, "MlpPolicy", DISCRETE, few),
        (MaskablePPO, "MlpPolicy", DISCRETE, {"n_steps": 64}),
    ):
        learner(policy, env_id, device="cpu", seed=0, **options).learn(STEPS)
    return "TRPO, ARS, RecurrentPPO, TQC, CrossQ, QRDQN, MaskablePPO with masks"


def rl_zoo3() -> str:
    with tempfile.TemporaryDirectory() as folder:
        recipe = Path(folder) / "ppo.yml"
        recipe.write_text(f"{WHOLE}: {{n_envs: 2, n_timesteps: {STEPS}, policy: MlpPolicy, n_steps: 64}}\n")
        options = f"--algo ppo --env {WHOLE} --gym-packages dmoe_gym --conf-file {recipe} -f {folder} --eval-freq -1"
        subprocess.run([sys.executable, "-m", "rl_zoo3.train", *options.split()], check=True)
    return "`python -m rl_zoo3.train --algo ppo --gym-packages dmoe_gym`"


def sbx() -> str:
    from sbx import DQN, PPO, SAC, TQC, CrossQ

    few = {"learning_starts": 32, "batch_size": 16, "buffer_size": 300}
    PPO("MlpPolicy", BOX, n_steps=64, batch_size=32).learn(STEPS)
    for learner in (SAC, TQC, CrossQ):
        learner("MlpPolicy", BOX, **few).learn(STEPS)
    DQN("MlpPolicy", DISCRETE, **few).learn(STEPS)
    return "PPO, SAC, TQC, CrossQ, DQN"


def cleanrl() -> str:
    """The loop of CleanRL's ppo_continuous_action.py, with its wrappers."""
    import gymnasium as gym
    import numpy as np
    import torch
    from torch import nn

    def made() -> gym.Env:
        env = gym.wrappers.RecordEpisodeStatistics(gym.make(BOX))
        env = gym.wrappers.NormalizeObservation(gym.wrappers.ClipAction(env))
        space = env.observation_space
        env = gym.wrappers.TransformObservation(env, lambda seen: np.clip(seen, -10, 10), space)
        return gym.wrappers.NormalizeReward(env, gamma=0.99)

    envs = gym.vector.SyncVectorEnv([made] * 4, autoreset_mode=gym.vector.AutoresetMode.SAME_STEP)
    size, actions = envs.single_observation_space.shape[0], envs.single_action_space.shape[0]
    actor, critic = nn.Linear(size, actions), nn.Linear(size, 1)
    spread = nn.Parameter(torch.zeros(actions))
    optimizer = torch.optim.Adam([*actor.parameters(), *critic.parameters(), spread], 1e-3)
    observations, _ = envs.reset(seed=0)
    episodes = 0
    for _ in range(STEPS // 64):
        kept = []
        for _ in range(16):
            seen = torch.as_tensor(observations, dtype=torch.float32)
            law = torch.distributions.Normal(actor(seen), spread.exp())
            action = law.sample()
            observations, rewards, *_, infos = envs.step(action.numpy())
            episodes += int(infos.get("final_info", {}).get("_episode", np.zeros(1)).sum())
            kept.append((seen, action, torch.as_tensor(rewards, dtype=torch.float32), law.log_prob(action).sum(1)))
        seen, action, reward, before = (torch.cat(part).detach() for part in zip(*kept, strict=True))
        law = torch.distributions.Normal(actor(seen), spread.exp())
        advantage = reward - critic(seen)[:, 0]
        ratio = (law.log_prob(action).sum(1) - before).exp()
        loss = -(advantage.detach() * ratio.clamp(0.8, 1.2)).mean() + advantage.square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert episodes > 0
    return "PPO's loop over `SyncVectorEnv` with its wrappers (statistics, clipping, normalization)"


def torchrl() -> str:
    from torchrl.collectors import Collector
    from torchrl.envs import GymEnv
    from torchrl.envs.utils import check_env_specs

    for env_id in (BOX, WHOLE, "DMoE-JESA-v0", "WDMoE-v0"):
        env = GymEnv(env_id)
        check_env_specs(env)
        assert env.rollout(5)["next", "reward"].isfinite().all()
    collector = Collector(lambda: GymEnv(BOX), None, frames_per_batch=64, total_frames=STEPS)
    assert sum(batch.numel() for batch in collector) == STEPS
    collector.shutdown()
    return "`GymEnv` with and without dictionaries: `check_env_specs`, rollouts, `Collector`"


def skrl() -> str:
    import gymnasium as gym
    import torch
    from skrl.agents.torch.ppo import PPO, PPO_CFG
    from skrl.envs.wrappers.torch import wrap_env
    from skrl.memories.torch import RandomMemory
    from skrl.models.torch import DeterministicMixin, GaussianMixin, Model
    from skrl.trainers.torch import SequentialTrainer

    class Policy(GaussianMixin, Model):
        def __init__(self, observation_space, state_space, action_space, device):
            Model.__init__(
                self,
                observation_space=observation_space,
                state_space=state_space,
                action_space=action_space,
                device=device,
            )
            GaussianMixin.__init__(self)
            self.net = torch.nn.Linear(self.num_observations, self.num_actions)
            self.spread = torch.nn.Parameter(torch.zeros(self.num_actions))

        def compute(self, inputs, role):
            return self.net(inputs["observations"]), {"log_std": self.spread}

    class Value(DeterministicMixin, Model):
        def __init__(self, observation_space, state_space, action_space, device):
            Model.__init__(
                self,
                observation_space=observation_space,
                state_space=state_space,
                action_space=action_space,
                device=device,
            )
            DeterministicMixin.__init__(self)
            self.net = torch.nn.Linear(self.num_observations, 1)

        def compute(self, inputs, role):
            return self.net(inputs["observations"]), {}

    env = wrap_env(gym.make_vec(BOX, num_envs=4))
    spaces = (env.observation_space, env.state_space, env.action_space, env.device)
    configuration = PPO_CFG(rollouts=16, learning_epochs=1, mini_batches=1)
    with tempfile.TemporaryDirectory() as folder:
        configuration.experiment.directory = folder
        agent = PPO(
            models={"policy": Policy(*spaces), "value": Value(*spaces)},
            memory=RandomMemory(memory_size=16, num_envs=4, device=env.device),
            cfg=configuration,
            observation_space=env.observation_space,
            state_space=env.state_space,
            action_space=env.action_space,
            device=env.device,
        )
        SequentialTrainer(cfg={"timesteps": STEPS // 4, "headless": True}, env=env, agents=agent).train()
    return "PPO over `gym.make_vec`, its actions as they are"


def minari() -> str:
    import gymnasium as gym
    from minari import DataCollector

    with tempfile.TemporaryDirectory() as folder:
        os.environ["MINARI_DATASETS_PATH"] = folder
        env = DataCollector(gym.make("DMoE-JESA-v0"), record_infos=True)
        for seed in range(4):
            env.reset(seed=seed)
            done = False
            while not done:
                *_, terminated, truncated, _ = env.step(env.action_space.sample())
                done = terminated or truncated
        dataset = env.create_dataset(dataset_id="dmoe/random-v0", algorithm_name="random")
        episode = next(dataset.iterate_episodes())
        assert dataset.total_episodes == 4
        assert "cost" in episode.infos
    return "`DataCollector` with `record_infos=True`, written and read back"


def tianshou() -> str:
    import gymnasium as gym
    from tianshou.highlevel.config import OnPolicyTrainingConfig
    from tianshou.highlevel.env import EnvFactoryRegistered, VectorEnvType
    from tianshou.highlevel.experiment import ExperimentConfig, PPOExperimentBuilder

    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        experiment = (
            PPOExperimentBuilder(
                EnvFactoryRegistered(task=BOX, venv_type=VectorEnvType.DUMMY),
                ExperimentConfig(persistence_enabled=False, watch=False),
                OnPolicyTrainingConfig(
                    max_epochs=1,
                    epoch_num_steps=STEPS,
                    batch_size=32,
                    num_training_envs=2,
                    num_test_envs=2,
                    buffer_size=128,
                    collection_step_num_env_steps=64,
                    update_step_num_repetitions=1,
                ),
            )
            .with_actor_factory_default(hidden_sizes=(16,))
            .with_critic_factory_default(hidden_sizes=(16,))
            .build()
        )
        experiment.run()
    assert gym.spec(BOX)
    return "PPO by `PPOExperimentBuilder` over `EnvFactoryRegistered`"


def supersuit() -> str:
    """Every node of two parallel environments a row, its dictionary flattened."""
    import gymnasium as gym
    import supersuit
    from stable_baselines3 import PPO

    import dmoe_gym

    env = supersuit.observation_lambda_v0(
        dmoe_gym.parallel_env("DMoE-JESA-v0"),
        lambda seen, space, agent: gym.spaces.flatten(space, seen),
        lambda space, agent: gym.spaces.flatten_space(space),
    )
    rows = supersuit.concat_vec_envs_v1(supersuit.pettingzoo_env_to_vec_env_v1(env), 2, base_class="stable_baselines3")
    assert rows.num_envs == 2 * len(env.possible_agents)
    PPO("MlpPolicy", rows, n_steps=16, batch_size=32, device="cpu").learn(STEPS)
    return "`parallel_env` through `pettingzoo_env_to_vec_env_v1` and `concat_vec_envs_v1`, SB3's PPO on it"


def torchrl_nodes() -> str:
    from torchrl.envs import PettingZooWrapper
    from torchrl.envs.utils import check_env_specs

    import dmoe_gym

    for collision in ("lost", "repair"):
        env = PettingZooWrapper(dmoe_gym.parallel_env("DMoE-JESA-v0", collision=collision))
        check_env_specs(env)
        assert env.rollout(5)["next", "node", "reward"].isfinite().all()
    return "`PettingZooWrapper` of `parallel_env`: `check_env_specs`, rollouts"


def rllib() -> str:
    import gymnasium as gym
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.tune.registry import register_env

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    for env_id in (BOX, WHOLE):
        register_env(env_id, lambda options, env_id=env_id: gym.make(env_id))
        algorithm = (
            PPOConfig()
            .environment(env_id)
            .env_runners(num_env_runners=0)
            .training(train_batch_size_per_learner=STEPS, minibatch_size=64, num_epochs=1)
            .build_algo()
        )
        algorithm.train()
        algorithm.stop()
    ray.shutdown()
    return "PPO on the new API stack"


def rllib_nodes() -> str:
    """Every node an agent, one module for all; the dictionaries are flattened on the way to it."""
    import ray
    from ray.rllib.algorithms.ppo import PPOConfig
    from ray.rllib.connectors.env_to_module import FlattenObservations
    from ray.rllib.env.wrappers.pettingzoo_env import ParallelPettingZooEnv
    from ray.tune.registry import register_env

    import dmoe_gym

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    for collision in ("lost", "repair"):
        register_env(
            "nodes",
            lambda options, collision=collision: ParallelPettingZooEnv(
                dmoe_gym.parallel_env("DMoE-JESA-v0", collision=collision)
            ),
        )
        algorithm = (
            PPOConfig()
            .environment("nodes")
            .env_runners(
                num_env_runners=0,
                env_to_module_connector=lambda env, spaces, device: FlattenObservations(multi_agent=True),
            )
            .multi_agent(policies={"shared"}, policy_mapping_fn=lambda agent, episode, **_: "shared")
            .training(train_batch_size_per_learner=STEPS, minibatch_size=64, num_epochs=1)
            .build_algo()
        )
        for _ in range(2):
            results = algorithm.train()
        assert results["env_runners"]["num_episodes"] > 0
        assert results["learners"]["shared"]["num_module_steps_trained"] > 0
        algorithm.stop()
    ray.shutdown()
    return "PPO on the new API stack over `ParallelPettingZooEnv`, one module for all nodes"


_DISTRIBUTIONS = {
    "cleanrl": "gymnasium",
    "sbx": "sbx-rl",
    "rllib": "ray",
    "rllib_nodes": "ray",
    "torchrl_nodes": "torchrl",
}


def inside(name: str) -> None:
    """Run one library where it is installed."""
    import dmoe_gym  # noqa: F401  (registers the ids)

    run: Callable[[], str] = globals()[name]
    said = run()
    print(f"RESULT {version(_DISTRIBUTIONS.get(name, name))} | {said}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", action="append", help="these libraries alone")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        inside(options.inside)
        return
    print("| library | version | what ran | outcome |\n|---|---|---|---|", flush=True)
    failed = False
    for group, (packages, libraries) in GROUPS.items():
        wanted = [name for name in libraries if not options.only or name in options.only]
        if not wanted:
            continue
        python = WHERE / group / "bin" / "python"
        if not python.exists():
            subprocess.run([sys.executable, "-m", "venv", str(WHERE / group)], check=True)
            # the processor's build of torch, and one version in all
            install = [str(python), "-m", "pip", "install", "--quiet", "torch==2.13.0", *packages]
            if subprocess.run(install).returncode:
                print(f"| {', '.join(wanted)} | | | cannot be installed |", flush=True)
                continue
        for name in wanted:
            log = WHERE / f"{name}.txt"
            with log.open("w") as file:
                environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
                command = [str(python), __file__, "--inside", name]
                code = subprocess.run(command, stdout=file, stderr=subprocess.STDOUT, env=environment).returncode
            lines = log.read_text().splitlines()
            told = next((line[7:] for line in lines if line.startswith("RESULT ")), " | ")
            failed |= code != 0
            print(
                f"| {name} | {told} | {'runs' if code == 0 else f'fails: {lines[-1] if lines else code}'} |", flush=True
            )
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
