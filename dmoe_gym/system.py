"""What a system is to commands, tables, charts and pages: one record, and these facts stand nowhere else.

A record holds no episode and no state. `dmoe_gym.registration` says which record an environment's id belongs to.
"""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from dmoe_gym.config import StrictConfig, named
from dmoe_gym.policy import Policy
from dmoe_gym.rendering import Viewer

Terms = dict[str, float]
NOTHING: Mapping[str, Any] = MappingProxyType({})


@dataclass(frozen=True)
class Metric:
    """A figure of evaluation rows, and its column in tables.

    Attributes:
        name: its key in rows.
        heading: of its column, unit included.
        format: of its numbers, as in `format(value, format)`.
        interval: does the column show a 95 % interval?
        charted: does TensorBoard show its mean, under eval/?
    """

    name: str
    heading: str
    format: str
    interval: bool = True
    charted: bool = True


# What rows of every system, or of more than one, have.
COST = Metric("cost", "cost", ".4f")
RELEVANCE = Metric("relevance", "relevance", ".3f")
SHORTFALL = Metric("shortfall", "shortfall", ".4f")
ACCURACY = Metric("accuracy", "accuracy", ".4f")
VIOLATIONS = Metric("violations", "violations", ".0f")
PREDICT_TIME = Metric("predict_ms", "in predict [ms per round]", ".3g", interval=False, charted=False)


@dataclass(frozen=True)
class Bound(ABC):
    """What no policy undercuts, for it looks at what no policy knows. Its subclasses say at what.

    Attributes:
        function: gives terms, at least `cost`.
        holds: of which configurations it is a bound.
        affordable: in which line-ups it runs unasked.
    """

    kind: ClassVar[str]
    function: Callable[..., Terms]
    holds: Callable[[Any], bool] = lambda config: True
    affordable: Callable[[Any], bool] = lambda config: True

    @abstractmethod
    def means(self, rounds: Sequence[Any], observed: Sequence[Any]) -> Terms:
        """Terms of an episode, means per round.

        Args:
            rounds: the true rounds, all of the episode or its first ones; observed: as policies see them.
        """


class ExactBound(Bound):
    """A function of one true round."""

    kind = "exact"

    def means(self, rounds: Sequence[Any], observed: Sequence[Any]) -> Terms:
        return _means([self.function(round) for round in rounds])


class InformedBound(Bound):
    """A function of one round as observed and of how many preceded it: what a round is expected to cost at least."""

    kind = "informed"

    def means(self, rounds: Sequence[Any], observed: Sequence[Any]) -> Terms:
        return _means([self.function(round, passed) for passed, round in enumerate(observed)])


class ClairvoyantBound(Bound):
    """A function of all true rounds of an episode, whose terms are means per round already."""

    kind = "clairvoyant"

    def means(self, rounds: Sequence[Any], observed: Sequence[Any]) -> Terms:
        return self.function(list(rounds))


def _means(terms: Sequence[Terms]) -> Terms:
    return {name: float(np.mean([each[name] for each in terms])) for name in terms[0]}


def affordable_bounds(bounds: Mapping[str, Bound], config: Any) -> tuple[str, ...]:
    """The names of those that hold for a configuration and are affordable there."""
    return tuple(name for name, bound in bounds.items() if bound.holds(config) and bound.affordable(config))


@dataclass(frozen=True)
class LineUp:
    """The analytic policies and bounds of a configuration: what stands in tables and charts beside learned policies.

    Attributes:
        env_id: where they run; its episodes are those of the system's other environments, bit for bit.
        policies: by name.
        bounds: names of the record's bounds.
        optimum: the policy or bound whose normalized score is 1.
        reference: the policy that differences are taken to.
        random: the policy whose normalized score is 0.
    """

    env_id: str
    policies: Mapping[str, Policy]
    bounds: tuple[str, ...]
    optimum: str
    reference: str
    random: str = "random"


@dataclass(frozen=True)
class System:
    """One system, or one way to decide in it whose episodes are compared with each other.

    Attributes:
        name: in lists.
        scenarios: named configurations, the default one first.
        metrics: what tables show of rows, in the order of the columns, beside `PREDICT_TIME`.
        line_up: the analytic policies and bounds of a configuration.
        bounds: all that there are, by name.
        viewer: pictures and texts.
        scheduler_policy: makes a policy of a scheduler, acting where the line-up runs.
        imitation: by id, the algorithms that may begin by imitating a scheduler.
        published: names of the scenarios on the results page, in its order.
        validation: overrides under which validation episodes run, where a model is asked other inputs there.
        page: with more on the system, beside the results page.
        page_alone: are its learned rows there alone, and not on the results page?
    """

    name: str
    scenarios: Mapping[str, StrictConfig]
    metrics: tuple[Metric, ...]
    line_up: Callable[[Any], LineUp]
    bounds: Mapping[str, Bound]
    scheduler_policy: Callable[[Any], Policy]
    viewer: Viewer | None = None
    imitation: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    published: tuple[str, ...] = ()
    validation: Mapping[str, Any] = field(default_factory=dict)
    page: str = ""
    page_alone: bool = False

    @property
    def default_scenario(self) -> str:
        """Its name."""
        return next(iter(self.scenarios))

    def configuration(self, scenario: str | None = None, overrides: Mapping[str, Any] = NOTHING) -> Any:
        """A named scenario, or the default one, with some fields overridden.

        Raises:
            ValueError: for an unknown scenario or field, or an invalid value.
        """
        return named(self.scenarios, self.default_scenario if scenario is None else scenario).replace(**overrides)

    def bounds_of(self, config: Any) -> dict[str, Bound]:
        """The bounds that hold for a configuration."""
        return {name: bound for name, bound in self.bounds.items() if bound.holds(config)}

    def policy(self, own: Any, config: Any) -> Policy:
        """A policy from one, from a scheduler, or from what makes one of the two, as a class.

        Args:
            own: what makes one gets the configuration if it asks for an argument.

        Raises:
            ValueError: for anything else.
        """
        ready = not isinstance(own, type) and (hasattr(own, "predict") or hasattr(own, "schedule"))
        made = own if ready else _made(own, config)
        if hasattr(made, "schedule") and not hasattr(made, "predict"):
            return self.scheduler_policy(made)
        try:
            inspect.signature(made.predict).bind(None, state=None, episode_start=None, deterministic=True)
        except AttributeError:
            valid = "schedulers, policies, and what makes one, of a configuration or of nothing"
            raise ValueError(f"{made!r:.200}: valid are {valid}") from None
        except TypeError as error:
            valid = "predict(observation, state, episode_start, deterministic)"
            raise ValueError(f"{type(made).__name__}.predict: {error}; valid is {valid}") from None
        return made


def _made(own: Any, config: Any) -> Any:
    """What a class or a function makes."""
    try:
        asked = inspect.signature(own).parameters.values()
        needs = any(each.default is each.empty and each.kind <= each.POSITIONAL_OR_KEYWORD for each in asked)
        return own(config) if needs else own()
    except TypeError as error:
        raise ValueError(f"{own!r:.200}: cannot be made of a configuration or of nothing ({error})") from None
