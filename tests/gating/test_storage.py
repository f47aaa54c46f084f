"""Models on disk: round trip, foreign and damaged files, nothing destroyed."""

from __future__ import annotations

import json
import os
import pickle

import pytest
import torch
from safetensors.torch import save_file

from dmoe_gym.gating import GatedModel
from dmoe_gym.gating.networks import FORMAT


def test_round_trip(tmp_path, trained, digits):
    path = tmp_path / "model.safetensors"
    trained.save(path)
    loaded = GatedModel.load(path)
    assert loaded.config == trained.config
    for name, tensor in trained.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name])
    images = torch.from_numpy(digits.test.images)
    with torch.no_grad():
        assert torch.equal(loaded(images), trained(images))
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_existing_file_is_kept_unless_asked(tmp_path, trained):
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"precious")
    with pytest.raises(FileExistsError, match="exists already"):
        trained.save(path)
    assert path.read_bytes() == b"precious"
    trained.save(path, overwrite=True)
    GatedModel.load(path)


def header(config: dict) -> dict[str, str]:
    return {"model": json.dumps({"format": FORMAT, "config": config})}


def test_foreign_files_are_refused_in_one_line(tmp_path, trained):
    state, config = trained.state_dict(), trained.config.model_dump()
    path = tmp_path / "file"

    class Payload:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "ran"),))

    path.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(ValueError, match="not a safetensors file"):
        GatedModel.load(path)
    assert not (tmp_path / "ran").exists()

    save_file(state, path, metadata={"format": "pt"})
    with pytest.raises(ValueError, match="format is None"):
        GatedModel.load(path)

    save_file(state, path, metadata=header({**config, "experts": 5}))
    with pytest.raises(ValueError, match="do not fit"):
        GatedModel.load(path)

    save_file(state, path, metadata=header({**config, "surprise": 1}))
    with pytest.raises(ValueError, match="unexpected keyword argument 'surprise'"):
        GatedModel.load(path)

    save_file(state, path, metadata={"model": json.dumps({"format": FORMAT, "config": "{"})})
    with pytest.raises(ValueError, match="valid is a mapping"):
        GatedModel.load(path)

    broken = {name: torch.full_like(tensor, torch.nan) for name, tensor in state.items()}
    save_file(broken, path, metadata=header(config))
    with pytest.raises(ValueError, match="not finite"):
        GatedModel.load(path)


def test_truncated_and_missing_files(tmp_path, trained):
    path = tmp_path / "model.safetensors"
    trained.save(path)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged"):
        GatedModel.load(path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        GatedModel.load(tmp_path / "absent.safetensors")
