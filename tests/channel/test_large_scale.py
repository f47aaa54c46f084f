"""Path loss, shadowing and mobility against theory."""

from __future__ import annotations

import numpy as np
import pytest
from channel_statistics import SIGMAS, assert_distributed, assert_mean, generators
from scipy import stats

from dmoe_gym.channel import (
    GaussMarkovConfig,
    GaussMarkovMobilityConfig,
    LargeScaleConfig,
    RandomWaypointConfig,
    RayleighConfig,
    RicianConfig,
)
from dmoe_gym.channel.large_scale import ShadowingField, pairwise_distances

MOBILITIES = {
    "waypoint": RandomWaypointConfig(minimum_speed_m_s=5.0, maximum_speed_m_s=30.0, round_duration_s=0.1),
    "gauss_markov": GaussMarkovMobilityConfig(rms_speed_m_s=20.0, velocity_time_s=1.0, round_duration_s=0.1),
}


def test_path_loss_is_the_power_of_the_distance():
    config = LargeScaleConfig(path_loss_exponent=3.0, shadowing_std_db=0.0, reference_distance_m=20.0)
    process = config.build(1, (12, 12), 1)
    process.start([0], generators())
    distances = pairwise_distances(process.positions[0])
    pairs = ~np.eye(12, dtype=bool)
    expected = (np.maximum(distances, 1.0) / 20.0) ** -3.0
    np.testing.assert_allclose(process.mean_gains[0, ..., 0][pairs], expected[pairs], rtol=1e-5)
    np.testing.assert_array_equal(np.diag(process.mean_gains[0, ..., 0]), 1)


def test_path_loss_stops_at_the_minimum_distance():
    process = LargeScaleConfig(area_m=1.0, minimum_distance_m=5.0, shadowing_std_db=0.0).build(1, (4, 4), 1)
    process.start([0], generators())
    np.testing.assert_allclose(process.mean_gains[0][~np.eye(4, dtype=bool)], (5 / 50) ** -2.1, rtol=1e-5)


def test_small_scale_gains_are_multiplied_by_the_mean_gains():
    small_scale = GaussMarkovConfig(round_duration_s=0.1)
    config = LargeScaleConfig(small_scale=small_scale, mobility=MOBILITIES["gauss_markov"])
    process, alone = config.build(1, (4, 4), 8), small_scale.build(1, (4, 4), 8)
    process.start([0], generators())
    alone.start([0], generators())  # the small-scale process draws first, so this is the same draw
    np.testing.assert_allclose(process.gains, alone.gains * process.mean_gains, rtol=1e-6)
    first = process.mean_gains.copy()
    process.advance([0], generators())
    assert not np.array_equal(process.mean_gains, first)


def test_directions_of_a_link_are_equal_in_the_large_scale_part():
    process, rngs = LargeScaleConfig(mobility=MOBILITIES["waypoint"]).build(1, (6, 6), 2), generators()
    process.start([0], rngs)
    for _ in range(5):
        mean = process.mean_gains[0, ..., 0]
        np.testing.assert_array_equal(mean, mean.T)
        process.advance([0], rngs)


def test_static_nodes_keep_their_mean_gains():
    process, rngs = LargeScaleConfig().build(1, (5, 5), 2), generators()
    process.start([0], rngs)
    first, gains = process.mean_gains.copy(), process.gains.copy()
    process.advance([0], rngs)
    np.testing.assert_array_equal(process.mean_gains, first)
    assert not np.array_equal(process.gains, gains)


def test_shadowing_is_log_normal_of_mean_one_at_the_reference_distance():
    """Gain over path loss is normal in dB of the given spread, and 1 on average."""
    spread_db, episodes = 4.0, 20_000
    config = LargeScaleConfig(shadowing_std_db=spread_db, minimum_distance_m=1e-3)
    process, rngs = config.build(1, (2, 2), 1), generators()
    shadowing = np.empty(episodes)
    for episode in range(episodes):
        process.start([0], rngs)
        distance = pairwise_distances(process.positions[0])[0, 1]
        shadowing[episode] = process.mean_gains[0, 0, 1, 0] / (distance / 50.0) ** -2.1
    nepers = spread_db * np.log(10) / 10
    assert_mean(shadowing, 1, np.expm1(nepers**2))
    assert_distributed(10 * np.log10(shadowing), stats.norm(-(nepers**2) / 2 * 10 / np.log(10), spread_db).cdf)


def test_shadowing_correlation_over_1e5_episodes():
    """Nodes 2 and 3 are nodes 0 and 1 displaced; every covariance of the six links against the stated law."""
    decorrelation, episodes = 10.0, 100_000
    positions = np.array([[10.0, 10.0], [60.0, 40.0], [13.0, 14.0], [60.0, 48.0]])
    field, (rng,) = ShadowingField(1, decorrelation), generators()
    pairs = np.triu_indices(4, 1)
    values = np.empty((episodes, 6))
    for episode in range(episodes):
        field.start(0, rng)
        values[episode] = field.values(0, positions)[pairs]
    e = np.exp(-pairwise_distances(positions) / decorrelation)
    for first, (i, j) in enumerate(zip(*pairs, strict=True)):
        assert_distributed(values[:, first], stats.norm.cdf)
        for second, (k, m) in enumerate(zip(*pairs, strict=True)):
            theory = (e[i, k] * e[j, m] + e[i, m] * e[j, k]) / np.sqrt((1 + e[i, j] ** 2) * (1 + e[k, m] ** 2))
            # E[x^2 y^2] - theory^2 is 1 + theory^2 for normal x, y; the waves add a term of the order 1 / 128
            assert_mean(values[:, first] * values[:, second], theory, (1 + theory**2) * 1.02)
    # Gudmundson's law for one end moved by 5 m, both ends far apart
    moved = list(zip(*pairs, strict=True)).index((1, 2))
    assert abs((values[:, 0] * values[:, moved]).mean() - np.exp(-0.5)) < SIGMAS * np.sqrt(2 / episodes)


def test_shadowing_is_found_again_at_the_same_place():
    field, (rng,) = ShadowingField(1, 10.0), generators()
    field.start(0, rng)
    there, elsewhere = np.array([[0.0, 0.0], [30.0, 5.0]]), np.array([[0.0, 0.0], [90.0, 70.0]])
    first = field.values(0, there)
    assert abs(field.values(0, elsewhere)[0, 1] - first[0, 1]) > 1e-3
    np.testing.assert_array_equal(field.values(0, there), first)


@pytest.mark.parametrize("mobility", MOBILITIES.values(), ids=MOBILITIES)
def test_nodes_stay_in_the_square_and_keep_to_their_speed(mobility):
    nodes, area = 500, 100.0
    process, (rng,) = mobility.build(1, nodes, area), generators()
    process.start(0, rng)
    fastest = getattr(mobility, "maximum_speed_m_s", np.inf)
    travelled = 0.0
    for _ in range(200):
        before = process.positions[0].copy()
        process.advance(0, rng)
        assert (process.positions[0] >= 0).all()
        assert (process.positions[0] <= area).all()
        steps = np.hypot(*(process.positions[0] - before).T)
        assert steps.max() <= fastest * mobility.round_duration_s * (1 + 1e-12)
        travelled += steps.mean()
    assert travelled > 10.0


def test_random_waypoint_walks_straight_at_a_drawn_speed():
    config = RandomWaypointConfig(minimum_speed_m_s=1.0, maximum_speed_m_s=3.0, round_duration_s=1.0)
    process, (rng,) = config.build(1, 20_000, 1e6), generators()  # so large that nobody arrives
    process.start(0, rng)
    path = [process.positions[0].copy()]
    for _ in range(3):
        process.advance(0, rng)
        path.append(process.positions[0].copy())
    steps = np.diff(path, axis=0)
    np.testing.assert_allclose(steps[0], steps[2], atol=1e-6)
    assert_distributed(np.hypot(*steps[0].T), stats.uniform(1.0, 2.0).cdf)


def test_random_waypoint_goes_on_after_arriving():
    config = RandomWaypointConfig(minimum_speed_m_s=50.0, maximum_speed_m_s=50.0, round_duration_s=1.0)
    process, (rng,) = config.build(1, 300, 10.0), generators()  # every step reaches the waypoint
    process.start(0, rng)
    for _ in range(3):
        before = process.positions[0].copy()
        process.advance(0, rng)
        assert (process.positions[0] != before).all()
    assert_distributed(process.positions[0], stats.uniform(0, 10.0).cdf)


def test_gauss_markov_mobility_stays_uniform_with_the_stated_speed_and_memory():
    config = GaussMarkovMobilityConfig(rms_speed_m_s=20.0, velocity_time_s=2.0, round_duration_s=0.5)
    nodes, area = 100_000, 1e6  # so large that hardly anybody meets a wall
    process, (rng,) = config.build(1, nodes, area), generators()
    process.start(0, rng)
    path = [process.positions[0].copy()]
    for _ in range(4):
        process.advance(0, rng)
        path.append(process.positions[0].copy())
    velocities = np.diff(path, axis=0) / 0.5
    scaled = velocities / (20.0 / np.sqrt(2))
    assert_distributed(scaled[3], stats.norm.cdf)
    memory = np.exp(-0.5 / 2.0)
    assert_mean(scaled[0] * scaled[3], memory**3, 1 + memory**6)
    walled, (rng,) = config.build(1, nodes, 25.0), generators()
    walled.start(0, rng)
    for _ in range(10):
        walled.advance(0, rng)
    assert_distributed(walled.positions[0, :, 0], stats.uniform(0, 25.0).cdf)


def test_shadowing_is_the_documented_sum_of_waves():
    """W^(-1/2) sum a cos(k x + q y) + b sin(k x + q y) of what is drawn, wave vectors Cauchy, in both directions."""
    field, places = ShadowingField(1, 10.0), np.random.default_rng(1).uniform(0, 30, (4, 2))
    field.start(0, np.random.default_rng(2))
    drawn = np.random.default_rng(2).standard_normal((8, 128))
    first, second = (drawn[2 * end : 2 * end + 2] / (np.abs(drawn[4 + end]) * 10.0) for end in (0, 1))
    waves = np.empty((4, 4))
    for i in range(4):
        for j in range(4):
            phase = places[i] @ first + places[j] @ second
            waves[i, j] = (drawn[6] * np.cos(phase) + drawn[7] * np.sin(phase)).sum() / np.sqrt(128)
    closeness = np.exp(-pairwise_distances(places) / 10.0)
    np.testing.assert_allclose(field.values(0, places), (waves + waves.T) / np.sqrt(2 * (1 + closeness**2)))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: LargeScaleConfig(area_m=0.0), r"LargeScaleConfig.area_m = 0.0"),
        (lambda: LargeScaleConfig(shadowing_std_db=-1.0), r"shadowing_std_db = -1.0"),
        (lambda: LargeScaleConfig(small_scale={"kind": "large_scale"}), r"small_scale.*'rician'"),
        (lambda: LargeScaleConfig(mobility={"kind": "walk"}), r"mobility.*'random_waypoint'"),
        (lambda: RandomWaypointConfig(minimum_speed_m_s=4.0), r"maximum_speed_m_s = 3.0: valid is at least .* 4.0"),
        (lambda: RandomWaypointConfig(minimum_speed_m_s=0.0), r"minimum_speed_m_s = 0.0: .*greater than or equal to"),
        (lambda: GaussMarkovMobilityConfig(velocity_time_s=0.0), r"velocity_time_s = 0.0"),
        (
            lambda: LargeScaleConfig(
                small_scale=RicianConfig(scattered=GaussMarkovConfig(round_duration_s=0.1)),
                mobility=RandomWaypointConfig(round_duration_s=0.2),
            ),
            r"round_duration_s = 0.1 in small_scale and 0.2 in mobility",
        ),
    ],
)
def test_bad_configurations_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()


def test_mobility_goes_with_fading_that_has_no_round_duration():
    assert LargeScaleConfig(small_scale=RayleighConfig(), mobility=RandomWaypointConfig(round_duration_s=0.5))


def test_defaults_are_those_of_tr_38_901():
    """An independent copy of Tables 7.4.1-1 and 7.5-6, where `pip install tr3gpp` has put one; not a dependency."""
    tr38901 = pytest.importorskip("tr3gpp.tr38901")
    config = LargeScaleConfig()
    path_loss = tr38901.section("7.4").pathloss(scenario="UMi-StreetCanyon", condition="LOS")
    assert f"PL_1 = 32.4 + {10 * config.path_loss_exponent:.0f}\\log_{{10}}(d_{{3D}})" in path_loss.formula
    assert [spread.value_db for spread in path_loss.shadow_fading_std_db] == [config.shadowing_std_db]
    fading = tr38901.section("7.5").channel_model_parameters(scenario="UMi - Street Canyon", condition="LOS")
    assert float(fading.corr_distance_SF_m) == config.decorrelation_distance_m
