"""Pictures that experiments share."""

from __future__ import annotations

import numpy as np

from experiments.page import gate_score_panels


def test_every_mean_gate_score_stands_in_the_panel_of_its_layer():
    means = np.random.default_rng(0).dirichlet(np.ones(3), (5, 2))
    panels = gate_score_panels(means, ["one", "two"]).axes[:5]
    for layer, axes in enumerate(panels):
        assert [text.get_text() for text in axes.texts] == [f"{value:.2f}" for value in means[layer].ravel()]
        assert [label.get_text() for label in axes.get_yticklabels()] == ["one", "two"]
