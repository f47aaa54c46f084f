"""One small trained model, shared by the tests that need trained networks."""

from __future__ import annotations

import pytest

from dmoe_gym.gating import DataSplit, GatedModel, GatingConfig, load_digits_split, train_two_stage


@pytest.fixture(scope="session")
def digits() -> DataSplit:
    return load_digits_split(seed=0)


@pytest.fixture(scope="session")
def quick_config() -> GatingConfig:
    return GatingConfig(stage_one_epochs=8, stage_two_epochs=8)


@pytest.fixture(scope="session")
def trained(digits: DataSplit, quick_config: GatingConfig) -> GatedModel:
    return train_two_stage(digits, quick_config, seed=0)
