"""Event files are read back: the optimum is a flat line under the tags of learned runs."""

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from dmoe_gym.evaluation import evaluate_line_up, held_out_seeds, line_up_of
from dmoe_gym.evaluation.tensorboard import eval_scalars, landmarks, mean_cost, write_lines

TAGS = {"cost", "energy_per_state_mJ", "relevance", "shortfall", "gap_to_optimum", "normalized_score"}


@pytest.fixture(scope="module")
def charts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tensorboard")
    rows = evaluate_line_up("DMoE-JESA-v0", scenario="small", seeds=held_out_seeds(3))
    line_up = line_up_of("DMoE-JESA-v0", "small")
    write_lines(folder, rows, line_up, [*line_up.policies, *line_up.bounds], last_step=500)
    read = {}
    for path in folder.iterdir():
        events = EventAccumulator(str(path))
        events.Reload()
        read[path.name] = {tag: events.Scalars(tag) for tag in events.Tags()["scalars"]}
    return rows, read, folder


def test_every_policy_has_its_own_folder_with_the_same_tags(charts):
    rows, read, _ = charts
    assert set(read) == {f"baseline-{row['policy']}" for row in rows}
    assert {f"eval/{tag}" for tag in TAGS} <= set(read["baseline-exact"])


def test_lines_are_flat_from_the_first_to_the_last_step(charts):
    rows, read, _ = charts
    for name in ("exact", "JESA"):
        points = read[f"baseline-{name}"]["eval/cost"]
        assert [point.step for point in points] == [0, 500]
        assert [point.value for point in points] == pytest.approx([mean_cost(rows, name)] * 2)


def test_scores_are_zero_for_random_and_one_for_the_optimum(charts):
    _, read, _ = charts
    assert read["baseline-random"]["eval/normalized_score"][0].value == pytest.approx(0, abs=1e-6)
    assert read["baseline-exact"]["eval/normalized_score"][0].value == pytest.approx(1)
    assert read["baseline-exact"]["eval/gap_to_optimum"][0].value == pytest.approx(0, abs=1e-6)


def test_writing_again_adds_no_second_line(charts):
    rows, _, folder = charts
    write_lines(folder, rows, line_up_of("DMoE-JESA-v0", "small"), ["exact"], last_step=500)
    assert len(list((folder / "baseline-exact").iterdir())) == 1


def test_the_landmarks_are_random_the_reference_the_strongest_and_the_optimum(charts):
    rows, _, _ = charts
    line_up = line_up_of("DMoE-JESA-v0", "small")
    first, second, strongest, last = landmarks(rows, line_up)
    assert (first, second, last) == ("random", "JESA", "exact")
    assert mean_cost(rows, strongest) == min(mean_cost(rows, name) for name in line_up.policies)
    # a policy of another's is none, however good; and what is not among the rows is left out
    best = [{**row, "policy": "mine", "cost": 0.0} for row in rows if row["policy"] == "JESA"]
    assert landmarks([*rows, *best], line_up) == [first, second, strongest, last]
    assert landmarks([row for row in rows if row["policy"] == "top-2"], line_up) == ["top-2"]


def test_the_gap_is_charted_by_its_magnitude_where_there_is_one(charts):
    rows, read, _ = charts
    gap = mean_cost(rows, "JESA") / mean_cost(rows, "exact") - 1
    assert 10 ** read["baseline-JESA"]["eval/log10_gap"][0].value == pytest.approx(gap, rel=1e-4)
    assert "eval/log10_gap" not in read["baseline-exact"]
    line_up = line_up_of("DMoE-JESA-v0", "small")
    assert "eval/log10_gap" not in eval_scalars([row for row in rows if row["policy"] == "exact"], rows, line_up)
