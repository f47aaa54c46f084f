"""Draw one episode: every frame into a GIF, or the last decided round into a PNG.

python examples/render_episode.py episode.gif
python examples/render_episode.py round.png --scenario paper --policy jesa --steps 5
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

import gymnasium as gym
import numpy as np
from PIL import Image

import dmoe_gym  # noqa: F401 - registers the environments
from dmoe_gym.dmoe import SCENARIOS, solve_jesa, top_k

SCHEDULERS = {
    "jesa": solve_jesa,
    "top-1": lambda round: top_k(round, 1),
    "top-2": lambda round: top_k(round, 2),
}


def frames(env_id: str, scenario: str, policy: str, seed: int, steps: int | None) -> list[np.ndarray]:
    """Pictures after every step of one episode, or of its first `steps` steps."""
    env = gym.make(env_id, scenario=scenario, render_mode="rgb_array")
    _, info = env.reset(seed=seed)
    env.action_space.seed(seed)
    pictures: list[np.ndarray] = []
    ended = False
    while not ended and (steps is None or len(pictures) < steps):
        if policy == "random":
            mask = {"mask": info["action_mask"]} if "action_mask" in info else {}
            action = env.action_space.sample(**mask)
        else:
            action = env.unwrapped.encode(SCHEDULERS[policy](env.unwrapped.round))
        _, _, ended, _, info = env.step(action)
        pictures.append(env.render())
    env.close()
    return pictures


def save(pictures: list[np.ndarray], target: Path) -> None:
    """A GIF of all pictures, or a PNG of the last one; whole or not at all."""
    images = [Image.fromarray(picture) for picture in pictures]
    unfinished = target.with_name(f".{os.getpid()}-{target.name}")
    try:
        if target.suffix == ".gif":
            palettes = [image.quantize(256, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE) for image in images]
            palettes[0].save(unfinished, save_all=True, append_images=palettes[1:], duration=700, loop=0)
        else:
            images[-1].save(unfinished, optimize=True)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("target", type=Path, help="file to write, .gif or .png")
    parser.add_argument("--env", default="DMoE-JESA-v0", help="a DMoE id; default %(default)s")
    parser.add_argument("--scenario", default="small", choices=list(SCENARIOS))
    parser.add_argument("--policy", default="random", choices=["random", *SCHEDULERS], help="default %(default)s")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, help="stop after so many steps")
    parser.add_argument("--overwrite", action="store_true", help="replace the file if it is there")
    options = parser.parse_args()
    if options.target.suffix not in (".gif", ".png"):
        parser.error(f"target = {options.target}: valid are names that end in .gif or .png")
    if options.target.exists() and not options.overwrite:
        parser.error(f"target = {options.target}: exists; --overwrite replaces it")
    if options.policy != "random" and options.env != "DMoE-JESA-v0":
        parser.error(f"policy = {options.policy}: valid for {options.env} is 'random'")
    if options.steps is not None and options.steps < 1:
        parser.error(f"steps = {options.steps}: valid are whole numbers of at least 1")
    save(frames(options.env, options.scenario, options.policy, options.seed, options.steps), options.target)
    print(options.target)


if __name__ == "__main__":
    main()
