"""Data sets: the digits' split, CIFAR's binary files, and one clear line where something is missing."""

from __future__ import annotations

import subprocess
import sys
import types

import gymnasium as gym
import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from dmoe_gym.gating import GatedModel, GatingConfig, load_digits_split, load_split, train_two_stage
from dmoe_gym.gating.frozen import weights_path
from dmoe_gym.gating.scenarios import dataset_shape


def test_digits_split_is_disjoint_complete_stratified_and_fixed():
    split = load_digits_split(seed=3)
    parts = (split.train, split.validation, split.test)
    assert [len(part) for part in parts] == [1077, 360, 360]
    images = np.concatenate([part.images for part in parts]).reshape(1797, -1)
    original = (load_digits().data / 8 - 1).astype(np.float32)
    np.testing.assert_array_equal(
        np.sort(images.view("f4,f4" + ",f4" * 62).ravel()), np.sort(original.view("f4,f4" + ",f4" * 62).ravel())
    )
    for part in parts:
        assert part.images.dtype == np.float32
        assert np.abs(part.images).max() <= 1
        share = np.bincount(part.labels, minlength=10) / len(part)
        assert np.abs(share - np.bincount(load_digits().target) / 1797).max() < 0.01
    again = load_digits_split(seed=3)
    np.testing.assert_array_equal(split.test.images, again.test.images)
    other = load_digits_split(seed=4)
    np.testing.assert_array_equal(split.test.images, other.test.images)  # no seed trains or tunes on another's test
    assert not np.array_equal(split.validation.images, other.validation.images)


def write_cifar(root, dataset: str, records: int = 30) -> None:
    folder, train, test = {
        "cifar10": ("cifar-10-batches-bin", [f"data_batch_{part}.bin" for part in range(1, 6)], "test_batch.bin"),
        "cifar100": ("cifar-100-binary", ["train.bin"], "test.bin"),
    }[dataset]
    (root / folder).mkdir()
    generator = np.random.default_rng(0)
    for name in (*train, test):
        pixels = generator.integers(0, 256, (records, 3072), dtype=np.uint8)
        label_bytes = [generator.integers(0, 10, (records, 1), dtype=np.uint8)]
        if dataset == "cifar100":
            label_bytes.append(generator.integers(0, 100, (records, 1), dtype=np.uint8))
        np.hstack([*label_bytes, pixels]).tofile(root / folder / name)


@pytest.mark.parametrize(("dataset", "total"), [("cifar10", 150), ("cifar100", 30)])
def test_cifar_binary_files_train_the_32_pixel_lenet(tmp_path, dataset, total):
    write_cifar(tmp_path, dataset)
    split = load_split(dataset, tmp_path, seed=1)
    assert len(split.train) + len(split.validation) == total
    assert split.train.images.shape[1:] == (3, 32, 32)
    raw = np.fromfile(next(tmp_path.glob("*/test*.bin")), np.uint8)
    offset = 1 if dataset == "cifar10" else 2
    assert split.test.labels[0] == raw[offset - 1]
    red = split.test.images[0, 0, 0, :2]
    np.testing.assert_allclose(red, raw[offset : offset + 2] / 127.5 - 1, atol=1e-6)
    config = GatingConfig(stage_one_epochs=1, stage_two_epochs=1, **dataset_shape(dataset))
    model = train_two_stage(split, config)
    with torch.no_grad():
        assert model(torch.from_numpy(split.test.images)).shape == (30, config.classes)


def test_missing_and_damaged_cifar_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchvision", None)
    for root, message in (
        (None, "--data-root DIR"),
        (tmp_path / "absent", "no such folder"),
        (tmp_path, "torchvision"),
    ):
        with pytest.raises(ValueError, match=message) as raised:
            load_split("cifar10", root)
        assert "\n" not in str(raised.value)
    write_cifar(tmp_path, "cifar10")
    broken = tmp_path / "cifar-10-batches-bin" / "data_batch_2.bin"
    broken.write_bytes(broken.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"data_batch_2.bin has 92189 bytes, valid is a multiple of 3073"):
        load_split("cifar10", tmp_path)
    broken.write_bytes(b"")
    with pytest.raises(ValueError, match=r"data_batch_2.bin has 0 bytes, valid is a multiple of 3073"):
        load_split("cifar10", tmp_path)
    broken.unlink()
    with pytest.raises(ValueError, match=r"data_batch_2.bin is missing"):
        load_split("cifar10", tmp_path)
    with pytest.raises(ValueError, match="dataset = 'mnist'"):
        load_split("mnist")


def test_torchvision_reads_the_other_version(tmp_path, monkeypatch):
    """A stand-in for torchvision with its documented interface: `data` (N, 32, 32, 3) uint8, `targets` a list."""

    class Reader:
        def __init__(self, root: str, train: bool, download: bool) -> None:
            assert not download
            if not (tmp_path / "cifar-10-batches-py").exists():
                raise RuntimeError("Dataset not found or corrupted.")
            self.data = np.full((20 if train else 10, 32, 32, 3), 255 if train else 0, np.uint8)
            self.targets = [1] * len(self.data)

    datasets = types.SimpleNamespace(CIFAR10=Reader, CIFAR100=Reader)
    monkeypatch.setitem(sys.modules, "torchvision", types.SimpleNamespace(datasets=datasets))
    with pytest.raises(ValueError, match="holds neither cifar-10-batches-bin nor torchvision's cifar10"):
        load_split("cifar10", tmp_path)
    (tmp_path / "cifar-10-batches-py").mkdir()
    split = load_split("cifar10", tmp_path)
    assert (len(split.train), len(split.validation), len(split.test)) == (18, 2, 10)
    assert split.train.images.min() == 1
    assert split.test.images.max() == -1


def test_backbones_of_torchvision_are_refused_clearly_or_built():
    with pytest.raises(ValueError, match=r"backbone = 'resnet18': takes image_channels = 3"):
        GatedModel(GatingConfig(backbone="resnet18"))
    colour = {"image_channels": 3, "image_size": 32}
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        with pytest.raises(ValueError, match=r"backbone = 'vit': needs a torchvision"):
            GatedModel(GatingConfig(backbone="vit", **colour))
        return
    for backbone in ("resnet18", "vit"):
        model = GatedModel(GatingConfig(backbone=backbone, **colour)).eval()
        with torch.no_grad():
            features = model.features(torch.zeros(2, 3, 32, 32))
        assert features.shape == (2, 16)
        assert features.abs().max() <= 1


def test_library_imports_without_torch():
    code = "import sys; sys.modules['torch'] = None; import dmoe_gym; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["cifar10_analog", "cifar10_digital"])
def test_the_shipped_lenet_of_cifar_answers_where_the_user_has_the_images(name, tmp_path):
    write_cifar(tmp_path, "cifar10")
    fields = {"networks": name, "dataset": "cifar10", "data_root": str(tmp_path)}
    env = gym.make("ChannelAwareGating-v0", **fields).unwrapped
    observation, _ = env.reset(seed=1)
    image = env.core.images[env.core.image[0]]
    features = GatedModel.load(weights_path(name)).features(torch.from_numpy(image[None].copy()))
    np.testing.assert_allclose(observation["features"], features.detach().numpy()[0], atol=1e-5)
    assert env.step(0)[4]["accuracy"] in (0, 1)
