"""What needs no language model does not wait for torch and transformers."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "code",
    [
        "import dmoe_gym",
        "import gymnasium, dmoe_gym; gymnasium.make('DMoE-Inference-v0')",
        "from dmoe_gym.dmoe.inference import InferenceConfig; InferenceConfig(model='language')",
    ],
)
def test_torch_and_transformers_are_imported_where_a_model_needs_them(code):
    asked = f"import sys; {code}; print({{'torch', 'transformers'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"
