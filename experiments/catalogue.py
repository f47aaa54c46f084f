"""The experiments by name."""

from __future__ import annotations

from experiments.asymptotics import Asymptotics
from experiments.digits_model import DigitsModel
from experiments.fronts import Fronts
from experiments.gating.accuracies import GatingNetworks, GatingTuning
from experiments.gating.sweep import Gating
from experiments.inference import Inference
from experiments.language_claims import LanguageClaims
from experiments.language_model import LanguageModel
from experiments.learned_answers import LearnedAnswers
from experiments.mismatch import Mismatch
from experiments.nodes import Nodes
from experiments.optima import Optima
from experiments.results.show import Results
from experiments.results.store import Learned, References
from experiments.runner import Experiment
from experiments.strongest import Strongest
from experiments.tuning import Tuning
from experiments.wdmoe import WDMoE
from experiments.wdmoe_inference import WDMoEInference

EXPERIMENTS: dict[str, type[Experiment]] = {
    kind.name: kind
    for kind in (
        Results,
        Learned,
        References,
        WDMoE,
        Inference,
        LanguageClaims,
        WDMoEInference,
        Gating,
        Asymptotics,
        Tuning,
        Nodes,
        Fronts,
        Strongest,
        Mismatch,
        LearnedAnswers,
        Optima,
        GatingTuning,
        GatingNetworks,
        DigitsModel,
        LanguageModel,
    )
}


def named(name: str) -> type[Experiment]:
    """The experiment of a name.

    Raises:
        ValueError: for an unknown one.
    """
    if name not in EXPERIMENTS:
        raise ValueError(f"experiment = {name!r}: valid are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]
