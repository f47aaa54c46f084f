"""Channels, knowledge and gate scores from outside of the package: objects in configurations, and by name."""

from __future__ import annotations

import copy
import json
import pickle
from typing import Literal

import gymnasium as gym
import numpy as np
import pytest

from dmoe_gym.channel import (
    ChannelProcess,
    CSIConfig,
    EvolutionConfig,
    GaussMarkovConfig,
    LargeScaleConfig,
    RayleighConfig,
    RicianConfig,
    SmallScaleConfig,
    TappedDelayLineConfig,
)
from dmoe_gym.channel.fading import GaussMarkovChannel
from dmoe_gym.config import kinds, register
from dmoe_gym.dmoe import DMoEConfig
from dmoe_gym.dmoe.schedulers.uncertain import ExpectedCostJESA, PredictedJESA
from dmoe_gym.dmoe.solvers.informed import informed_about
from dmoe_gym.evaluation import line_up_of
from dmoe_gym.relevance import RelevanceConfig
from examples.extending.own_channel import LogNormalConfig
from examples.extending.own_knowledge import QuantisedConfig
from examples.extending.own_relevance import FavouriteConfig

CHANNEL, CSI, SCORES = LogNormalConfig(std_db=5.0), QuantisedConfig(step_db=4.0), FavouriteConfig(share=0.7)
SYSTEMS = {
    "DMoE-DES-v0": {"channel": CHANNEL, "relevance": SCORES, "csi": CSI},
    "DMoE-JESA-v0": {"channel": CHANNEL, "relevance": SCORES, "csi": CSI},
    "DMoE-JESA-Sequential-v0": {"channel": CHANNEL, "relevance": SCORES, "csi": CSI},
    "DMoE-JESA-Price-v0": {"channel": CHANNEL, "relevance": SCORES, "csi": CSI},
    "DMoE-Inference-v0": {"channel": CHANNEL, "csi": CSI},
    "DMoE-Inference-Joint-v0": {"channel": CHANNEL, "csi": CSI},
    "WDMoE-v0": {"channel": CHANNEL, "relevance": SCORES, "csi": CSI},
    "WDMoE-Joint-v0": {"channel": CHANNEL, "relevance": SCORES, "csi": CSI},
    "ChannelAwareGating-v0": {"channel": CHANNEL, "csi": CSI},
}


class ExponentialConfig(EvolutionConfig):
    """Gauss-Markov fading by the correlation itself."""

    rho: float = 0.8

    def build_amplitude(self, batch, links, subcarriers):
        return GaussMarkovChannel(batch, links, subcarriers, self.rho)

    def lag_correlation(self, rounds):
        return self.rho**rounds


@pytest.mark.parametrize(("env_id", "parts"), SYSTEMS.items(), ids=SYSTEMS)
def test_every_system_takes_objects_in_every_facade(env_id, parts):
    """One environment, environment 0 of a batch, and a copy made in the middle of an episode see the same."""
    single = gym.make(env_id, disable_env_checker=True, **parts)
    batch = gym.make_vec(env_id, num_envs=2, vectorization_mode="vector_entry_point", **parts)
    for name, part in parts.items():
        assert getattr(single.unwrapped.config, name) is part
    seen, _ = single.reset(seed=5)
    seen_by_all, _ = batch.reset(seed=5)
    single.action_space.seed(1)
    for step in range(4):
        for key, values in seen.items():
            np.testing.assert_array_equal(values, seen_by_all[key][0])
        mask = single.unwrapped.action_masks().astype(np.int8) if hasattr(single.unwrapped, "action_masks") else None
        action = single.action_space.sample(mask) if mask is not None else single.action_space.sample()
        if step == 2:
            twin = pickle.loads(pickle.dumps(copy.deepcopy(single)))
        if step >= 2:
            told = twin.step(action)
        seen, reward, *_ = single.step(action)
        seen_by_all, rewards, *_ = batch.step(np.array([action, action]))
        assert reward == rewards[0]
    assert told[1] == reward
    for key, values in seen.items():
        np.testing.assert_array_equal(values, told[0][key])


def test_native_vec_env_and_recipes_take_them_too():
    from agents.config import TrainingConfig, dump_config
    from dmoe_gym.facades.stable_baselines import BatchedVecEnv

    env = BatchedVecEnv("DMoE-JESA-v0", num_envs=2, scenario="small", channel=CHANNEL)
    assert env.reset()["spectral_efficiency"].shape == (2, 4, 4, 16)
    recipe = TrainingConfig(
        algorithm="ppo", env_id="DMoE-JESA-v0", group="own", total_timesteps=1, overrides={"channel": CHANNEL}
    )
    yaml = pytest.importorskip("yaml")
    assert DMoEConfig(**yaml.safe_load(dump_config(recipe))["overrides"]).channel == CHANNEL


def test_configurations_are_compared_hashed_and_copied_by_their_fields():
    config = DMoEConfig(channel=CHANNEL, csi=CSI, relevance=SCORES)
    for other in (DMoEConfig(channel=LogNormalConfig(std_db=5.0), csi=CSI, relevance=SCORES), copy.deepcopy(config)):
        assert other == config
        assert hash(other) == hash(config)
    assert pickle.loads(pickle.dumps(config)) == config
    assert DMoEConfig(**json.loads(config.model_dump_json())) == config
    assert config.replace(channel=LogNormalConfig()) != config


def test_registered_kinds_are_read_by_name_and_validated_by_their_class():
    assert DMoEConfig(channel="log_normal").channel == LogNormalConfig()
    assert DMoEConfig(channel={"kind": "log_normal", "std_db": 5.0}).channel == CHANNEL
    assert DMoEConfig(csi={"kind": "quantised"}).csi == QuantisedConfig()
    assert DMoEConfig(csi={"delay_rounds": 2}).csi == CSIConfig(delay_rounds=2)
    assert LargeScaleConfig(small_scale="log_normal").small_scale == LogNormalConfig()
    assert {"log_normal", "large_scale", "rician"} <= set(kinds(SmallScaleConfig)) | {"large_scale"}
    with pytest.raises(ValueError, match=r"channel LogNormalConfig.std_db = -1.0"):
        DMoEConfig(channel={"kind": "log_normal", "std_db": -1.0})


def test_register_refuses_taken_names_and_what_is_no_component():
    with pytest.raises(ValueError, match=r"'log_normal'.*own_channel"):

        @register
        class Rival(SmallScaleConfig):
            kind: Literal["log_normal"] = "log_normal"

            def build(self, batch, links, subcarriers):
                raise NotImplementedError

    with pytest.raises(TypeError, match="has no kind"):
        register(ExponentialConfig)
    for wrong in (SmallScaleConfig, dict, CHANNEL):
        with pytest.raises(TypeError, match="subclass"):
            register(wrong)
    assert register(LogNormalConfig) is LogNormalConfig
    assert kinds(SmallScaleConfig)["log_normal"] is LogNormalConfig


@pytest.mark.parametrize("value", [3, None, object(), LogNormalConfig, RayleighConfig().build(1, (2, 2), 1), ["x"], {}])
@pytest.mark.parametrize("field", ["channel", "csi", "relevance"])
def test_what_is_no_component_is_refused_by_its_field(field, value):
    if (field, value) == ("csi", {}):
        assert DMoEConfig(csi=value).csi == CSIConfig()
        return
    with pytest.raises(ValueError, match=f"DMoEConfig.{field} is .*valid are the kinds.*an instance of a") as error:
        DMoEConfig(**{field: value})
    assert "\n" not in str(error.value)


def test_parts_go_inside_the_package_s_own_channels():
    own = ExponentialConfig(rho=0.6)
    for channel in (
        own,
        RicianConfig(scattered=own),
        TappedDelayLineConfig(evolution=own),
        LargeScaleConfig(small_scale=own),
    ):
        process, generators = channel.process(1, (3, 3), 4), [np.random.default_rng(0)]
        process.start([0], generators)
        process.advance([0], generators)
        assert channel.law(2, 0.0).correlation == pytest.approx(0.36)
        assert (process.gains > 0).all()
    with pytest.raises(ValueError, match="small_scale is an object of type LargeScaleConfig"):
        LargeScaleConfig(small_scale=LargeScaleConfig())
    with pytest.raises(ValueError, match="evolution is LogNormalConfig"):
        TappedDelayLineConfig(evolution=CHANNEL)


# what an own process can do wrong, and the words of the refusal
FAULTS = {
    "negative": (lambda gains: np.full_like(gains, -1), "gains.*-1"),
    "not a number": (lambda gains: np.full_like(gains, np.nan), "gains.*nan"),
    "infinite": (lambda gains: np.full_like(gains, np.inf), "gains.*inf"),
    "shape": (lambda gains: gains[..., 0].copy(), "gains: has shape.*valid is"),
    "complex": (lambda gains: gains + 1j, "gains: has shape.*complex"),
    "list": (lambda gains: gains.tolist(), "gains: has"),
}


class FaultyConfig(SmallScaleConfig):
    fault: str

    def build(self, batch, links, subcarriers):
        process = RayleighConfig().build_amplitude(batch, links, subcarriers)
        spoil = FAULTS[self.fault][0]

        class Faulty(type(process)):
            def start(self, rows, generators):
                self.gains = spoil(np.ones((batch, *links, subcarriers), np.float32))

        process.__class__ = Faulty
        return process


@pytest.mark.parametrize("env_id", ["DMoE-JESA-v0", "WDMoE-v0", "ChannelAwareGating-v0"])
@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_gains_are_refused_when_they_are_drawn(env_id, fault):
    env = gym.make(env_id, channel=FaultyConfig(fault=fault), disable_env_checker=True)
    with pytest.raises(ValueError, match=f"channel: FaultyConfig.*{FAULTS[fault][1]}") as error:
        env.reset(seed=0)
    assert "\n" not in str(error.value).split("valid")[0]


class NothingConfig(SmallScaleConfig):
    def build(self, batch, links, subcarriers):
        return np.ones((batch, *links, subcarriers))


class UnevenConfig(FavouriteConfig):
    kind: Literal["uneven"] = "uneven"

    def build(self, batch, nodes, states, experts):
        process = super().build(batch, nodes, states, experts)
        process.share, process.gate_scores = 0.5, np.full_like(process.gate_scores, 0.3)
        process.start = lambda rows, generators: None
        return process


def test_no_process_and_scores_that_do_not_sum_to_one_are_refused():
    with pytest.raises(ValueError, match=r"channel: NothingConfig.build returned.*ChannelProcess"):
        gym.make("DMoE-JESA-v0", channel=NothingConfig())
    env = gym.make("DMoE-JESA-v0", scenario="small", relevance=UnevenConfig(), disable_env_checker=True)
    with pytest.raises(ValueError, match=r"relevance: UnevenConfig: gate_scores.* sum to 1\.2"):
        env.reset(seed=0)


def test_a_process_may_use_other_arrays_and_number_types():
    class Double(ChannelProcess):
        def start(self, rows, generators):
            self.gains = np.full(self.gains.shape, 0.5)

        advance = start

    class DoubleConfig(SmallScaleConfig):
        def build(self, batch, links, subcarriers):
            return Double(batch, links, subcarriers)

    env = gym.make("DMoE-JESA-v0", scenario="small", channel=DoubleConfig(), disable_env_checker=True)
    observation, _ = env.reset(seed=0)
    away = observation["spectral_efficiency"][~np.eye(4, dtype=bool)]
    np.testing.assert_allclose(away, np.log2(1 + 10 * 0.5), rtol=1e-6)


def test_fields_that_cannot_be_hashed_are_refused():
    class ListConfig(RayleighConfig):
        powers: dict[str, float]

    with pytest.raises(ValueError, match=r"channel is ListConfig.*tuples"):
        DMoEConfig(channel=ListConfig(powers={"first": 1.0}))


STALE = {"num_experts": 3, "num_layers": 3, "csi": CSIConfig(delay_rounds=1), "slot_duration_s": 0.05}


def test_what_a_channel_says_of_its_law_decides_who_is_in_the_line_up():
    """All of it with the closed form, the conditional mean alone, or nothing."""
    full = line_up_of("DMoE-JESA-v0", channel=ExponentialConfig(), **STALE)
    assert {"JESA-predicted", "JESA-margin", "JESA-expected"} <= set(full.policies)
    assert "informed" in full.bounds
    mean = line_up_of("DMoE-JESA-v0", channel=CHANNEL, **STALE)
    assert {"JESA-predicted", "JESA-margin"} <= set(mean.policies)
    assert not {"JESA-expected", "JESA-expected-restarts"} & set(mean.policies)
    assert "informed" not in mean.bounds
    none = line_up_of("DMoE-JESA-v0", channel=CHANNEL, **{**STALE, "csi": CSI})
    assert not any(name.startswith("JESA-") for name in none.policies)
    unknown = DMoEConfig(channel=CHANNEL, **{**STALE, "csi": CSI})
    for scheduler in (PredictedJESA, ExpectedCostJESA):
        with pytest.raises(ValueError, match="channel = LogNormalConfig"):
            scheduler(unknown)
    assert not informed_about(unknown)


def test_an_own_law_gives_what_the_package_s_own_gives():
    """The same fading under another class: the same schedulers decide the same."""
    own = DMoEConfig(channel=ExponentialConfig(rho=GaussMarkovConfig().correlation), **STALE)
    known = DMoEConfig(channel=GaussMarkovConfig(), **STALE)
    for scheduler in (PredictedJESA, ExpectedCostJESA):
        costs = []
        for config in (own, known):
            env = gym.make("DMoE-JESA-v0", disable_env_checker=True, **{**STALE, "channel": config.channel})
            observation, _ = env.reset(seed=3)
            batch = {key: values[None] for key, values in observation.items()}
            costs.append(scheduler(config).schedule(batch))
        for ours, theirs in zip(*costs, strict=True):
            np.testing.assert_array_equal(ours, theirs)


def test_relevance_as_an_object_is_the_same_as_by_name():
    assert isinstance(SCORES, RelevanceConfig)
    seen = [
        gym.make("WDMoE-v0", scenario="testbed", relevance=relevance, disable_env_checker=True).reset(seed=1)[0]
        for relevance in (SCORES, {"kind": "favourite", "share": 0.7})
    ]
    np.testing.assert_array_equal(seen[0]["gate_weights"], seen[1]["gate_weights"])
