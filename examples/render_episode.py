"""Draw one episode: every frame into a GIF, or the last decided round into a PNG.

python examples/render_episode.py episode.gif --policy JESA
python examples/render_episode.py round.png --env WDMoE-v0 --policy zero --steps 5
"""

from __future__ import annotations

import argparse
from io import BytesIO
from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image

import dmoe_gym  # noqa: F401 - registers the environments
from dmoe_gym.evaluation import line_up_of
from dmoe_gym.io.files import write_whole


def frames(env_id: str, scenario: str | None, policy: str, seed: int, steps: int | None) -> list[np.ndarray]:
    """Pictures after every step of one episode, or of its first `steps` steps."""
    env = gym.make(env_id, scenario=scenario, render_mode="rgb_array")
    observation, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    line_up = line_up_of(env_id, scenario)
    if policy not in ("random", "zero") and (env_id != line_up.env_id or policy not in line_up.policies):
        known = ", ".join(line_up.policies) if env_id == line_up.env_id else "no other one"
        raise SystemExit(f"policy = {policy!r}: valid for {env_id} are random, zero and {known}")
    pictures: list[np.ndarray] = []
    ended = False
    while not ended and (steps is None or len(pictures) < steps):
        if policy == "random":
            mask = {"mask": info["action_mask"]} if "action_mask" in info else {}
            action = env.action_space.sample(**mask)
        elif policy == "zero":
            action = np.zeros_like(env.action_space.sample())
        else:
            action, _ = line_up.policies[policy].predict(observation)
        observation, _, ended, _, info = env.step(action)
        pictures.append(env.render())
    env.close()
    return pictures


def encoded(pictures: list[np.ndarray], suffix: str, width: int | None, seconds: float) -> bytes:
    """A GIF of all pictures, or a PNG of the last one."""
    images = [Image.fromarray(picture) for picture in pictures]
    if width is not None:
        images = [image.resize((width, round(image.height * width / image.width)), Image.LANCZOS) for image in images]
    file = BytesIO()
    if suffix == ".gif":
        first, *rest = [image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for image in images]
        first.save(file, "gif", save_all=True, append_images=rest, duration=int(1000 * seconds), loop=0)
    else:
        images[-1].quantize(256).save(file, "png", optimize=True)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="file to write, .gif or .png")
    parser.add_argument("--env", default="DMoE-JESA-v0", help="an id; default %(default)s")
    parser.add_argument("--scenario", help="the environment's default if not given")
    parser.add_argument("--policy", default="random", help="random, zero (the action 0) or one of the line-up")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--width", type=int, help="of the pictures [pixels]")
    parser.add_argument("--seconds", type=float, default=0.7, help="of each frame; default %(default)s")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    options = parser.parse_args()
    if options.target.suffix not in (".gif", ".png"):
        parser.error(f"target = {options.target}: valid are names that end in .gif or .png")
    if options.target.exists() and not options.overwrite:
        parser.error(f"target = {options.target}: exists; --overwrite replaces it")
    if options.steps is not None and options.steps < 1:
        parser.error(f"steps = {options.steps}: valid are whole numbers of at least 1")
    pictures = frames(options.env, options.scenario, options.policy, options.seed, options.steps)
    write_whole(options.target, encoded(pictures, options.target.suffix, options.width, options.seconds))
    print(options.target)


if __name__ == "__main__":
    main()
