"""Files of others: each is read, or refused in one line that names the field; nothing is run, memory stays bounded."""

from __future__ import annotations

import json
import os
import struct
import tracemalloc
import zipfile

import gymnasium as gym
import numpy as np
import pytest
from safetensors.numpy import save

from dmoe_gym.gating.frozen import WEIGHTS
from dmoe_gym.io.files import read_model_file, read_tensors, regular_file
from dmoe_gym.models.digits.weights import SHIPPED, read_weights
from dmoe_gym.relevance import Trace, load_trace, read_trace, write_trace

GATING = WEIGHTS / "digits_analog.safetensors"
ROUNDS = 150


def small_trace() -> Trace:
    scores = np.random.default_rng(0).dirichlet(np.ones(4), (3, 16)).astype(np.float32)
    return Trace(scores, np.repeat([0, 1], 8), ("a", "b"), "model", {"command": "none"})


def mutants(content: bytes, other: bytes, seed: int):
    """Seeded damage: cut, bits turned, pieces doubled, left out or taken from another file."""
    generator = np.random.default_rng(seed)
    for _ in range(ROUNDS):
        data = bytearray(content)
        first, last = sorted(generator.integers(len(data), size=2))
        match generator.integers(5):
            case 0:
                del data[first:]
            case 1:
                for position in generator.integers(min(len(data), 2000), size=generator.integers(1, 6)):
                    data[position] ^= 1 << generator.integers(8)
            case 2:
                del data[first:last]
            case 3:
                data[first:first] = data[first:last]
            case 4:
                data[: min(last, 4096)] = other[: min(last, 4096)]
        yield bytes(data)


def read_or_refused(read, path) -> None:
    refusal = f"{path.name}: read"
    try:
        read(path)
    except ValueError as error:
        refusal = str(error)
    assert path.name in refusal
    assert "\n" not in refusal
    assert len(refusal) < 2000


@pytest.mark.parametrize("seed", range(3))
def test_damaged_traces_are_read_or_refused_in_one_line(tmp_path, seed):
    content = write_trace(small_trace(), tmp_path / "whole.npz").read_bytes()
    path = tmp_path / "damaged.npz"
    for data in mutants(content, SHIPPED.read_bytes(), seed):
        path.write_bytes(data)
        read_or_refused(read_trace, path)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("read", [read_weights, read_tensors])
def test_damaged_models_are_read_or_refused_in_one_line(tmp_path, read, seed):
    path = tmp_path / "damaged.safetensors"
    for data in mutants(SHIPPED.read_bytes(), GATING.read_bytes(), seed):
        path.write_bytes(data)
        read_or_refused(read, path)


def test_damaged_networks_are_read_or_refused_in_one_line(tmp_path):
    from dmoe_gym.gating import GatedModel

    path = tmp_path / "damaged.safetensors"
    for data in mutants(GATING.read_bytes(), SHIPPED.read_bytes(), 9):
        path.write_bytes(data)
        read_or_refused(GatedModel.load, path)


PATHS = ["~nobody/x", "x" * 5000, "a\0b", "", ".", "/dev/zero", "/dev/null", "no/such"]


@pytest.mark.parametrize("path", PATHS)
def test_paths_that_are_no_files_are_refused_naming_the_field(path):
    for read in (load_trace, read_trace, lambda path: gym.make("DMoE-JESA-v0", relevance=f"trace:{path}")):
        with pytest.raises(ValueError, match=r"trace|file"):
            read(path)
    with pytest.raises(ValueError, match="networks") as error:
        gym.make("ChannelAwareGating-v0", networks=path)
    assert len(str(error.value).split(" was raised from")[0]) < 1000
    for read in (read_weights, read_tensors):
        with pytest.raises(ValueError, match="path"):
            read(path)


def test_pipes_are_refused_and_not_waited_for(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for read in (read_trace, read_tensors):
        with pytest.raises(ValueError, match="a device or a pipe"):
            read(pipe)
    assert regular_file(GATING, "networks") == GATING


def test_a_trace_that_unpacks_to_more_than_its_header_says_takes_no_memory(tmp_path):
    """Nine gigabytes of zeros in a few megabytes: as the members say, or only as their headers do."""
    trace = small_trace()
    header = json.dumps(trace.header.model_dump(mode="json")).encode()
    for shape, written in (((3, 16, 4), 2**28), ((3 * 2**24, 16, 4), 2**20), ((3, 16, 4), 2**10)):
        path = tmp_path / "bomb.npz"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, dtype, size, content in (
                ("header", "|u1", (len(header),), header),
                ("gate_scores", "<f4", shape, bytes(written)),
                ("domains", "<i8", (16,), trace.domains.tobytes()),
            ):
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array_header_1_0(
                        member, {"descr": dtype, "fortran_order": False, "shape": size}
                    )
                    member.write(content)
        tracemalloc.start()
        with pytest.raises(ValueError, match=r"gate_scores: (takes|has)"):
            read_trace(path)
        assert tracemalloc.get_traced_memory()[1] < 2**24
        tracemalloc.stop()


def test_networks_that_claim_what_they_do_not_hold_take_no_memory(tmp_path):
    from dmoe_gym.gating import GatedModel
    from dmoe_gym.gating.networks import FORMAT

    config, arrays = read_model_file(GATING, FORMAT)
    path = tmp_path / "huge.safetensors"
    claim = {"format": FORMAT, "config": {**config, "experts": 1024, "expert_hidden": 65_536, "feature_size": 65_536}}
    path.write_bytes(save(arrays, metadata={"model": json.dumps(claim)}))
    with pytest.raises(ValueError, match=r"huge.*do not fit"):
        GatedModel.load(path)


@pytest.mark.parametrize("kind", ["BF16", "F8_E4M3", "F8_E5M2"])
def test_tensors_that_numpy_does_not_have_are_refused_by_name(tmp_path, kind):
    size = 2 if kind == "BF16" else 1
    header = json.dumps({"weight": {"dtype": kind, "shape": [4], "data_offsets": [0, 4 * size]}}).encode()
    path = tmp_path / "small.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4 * size))
    with pytest.raises(ValueError, match=rf"small\.safetensors'?: weight is of type {kind}, valid are F64"):
        read_tensors(path)


def test_a_tensor_that_stands_twice_is_refused(tmp_path):
    one = '"weight": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}'
    header = f"{{{one}, {one}}}".encode()
    path = tmp_path / "twice.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    with pytest.raises(ValueError, match=r"twice\.safetensors'?: its header: .*weight stands there twice"):
        read_tensors(path)


def test_deep_nesting_is_refused(tmp_path):
    deep = "[" * 100_000 + "]" * 100_000
    path = tmp_path / "deep.safetensors"
    path.write_bytes(save({"a": np.zeros(1, np.float32)}, metadata={"model": deep}))
    with pytest.raises(ValueError, match="nested too deeply"):
        read_model_file(path, "kind")
    file = tmp_path / "deep.npz"
    np.savez(
        file, header=np.frombuffer(deep.encode(), np.uint8), gate_scores=np.zeros(1), domains=np.zeros(1, np.int64)
    )
    with pytest.raises(ValueError, match=r"deep\.npz: header: is nested too deeply"):
        read_trace(file)
