"""Libraries that not everybody needs: which extra of the package brings each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

EXTRAS = {
    **dict.fromkeys(("torch", "stable_baselines3", "sb3_contrib", "tensorboard", "filelock"), "train"),
    **dict.fromkeys(("optuna", "tqdm"), "train"),
    **dict.fromkeys(("matplotlib", "moviepy", "pygame"), "render"),
    **dict.fromkeys(("mo_gymnasium", "pettingzoo"), "views"),
    "transformers": "record",
    "komm": "codes",
    "ray": "ray",
}


@contextmanager
def needed_for(what: str, extra: str | None = None) -> Iterator[None]:
    """Around imports: a library that is missing is one line that says what brings it.

    Args:
        what: needs it, the subject of the sentence.
        extra: what brings all that is needed there, where that is more than the library.

    Raises:
        ImportError: so it is.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        name = (error.name or "").partition(".")[0]
        if name not in EXTRAS:
            raise
        raise ImportError(f"{what} needs {name}: pip install 'dmoe_gym[{extra or EXTRAS[name]}]'", name=name) from None
