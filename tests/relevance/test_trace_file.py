"""The file of recorded gate scores: what is written is read, and nothing else is."""

from __future__ import annotations

import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dmoe_gym.relevance import Trace, read_trace, write_trace
from dmoe_gym.relevance.trace import FORMAT

SCORES = np.full((2, 4, 5), 0.2, np.float32)
DOMAINS = np.array([0, 0, 1, 1])


def members_of(trace: Trace) -> dict[str, np.ndarray]:
    header = np.frombuffer(json.dumps(trace.header.model_dump(mode="json")).encode(), np.uint8)
    return {"header": header, "gate_scores": trace.gate_scores, "domains": trace.domains}


def header_with(trace: Trace, **fields: object) -> np.ndarray:
    return np.frombuffer(json.dumps({**trace.header.model_dump(mode="json"), **fields}).encode(), np.uint8)


def refused(path, *words: str) -> None:
    """Reading is refused with one line that names the file and the words."""
    with pytest.raises(ValueError) as error:
        read_trace(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    for word in words:
        assert word in message


@given(
    layers=st.integers(1, 4),
    experts=st.integers(2, 6),
    counts=st.lists(st.integers(1, 5), min_size=1, max_size=4),
    group=st.integers(1, 3),
)
def test_what_is_written_is_read(tmp_path_factory, layers, experts, counts, group):
    counts = [group * count for count in counts]
    scores = np.random.default_rng(1).dirichlet(np.ones(experts), (layers, sum(counts))).astype(np.float32)
    names = tuple(f"ä{index}" for index in range(len(counts)))
    written = Trace(scores, np.repeat(np.arange(len(counts)), counts), names, "model", {"seed": "3"}, group)
    read = read_trace(write_trace(written, tmp_path_factory.mktemp("trace") / "file.npz"))
    assert read.gate_scores.dtype == np.float32
    assert read.gate_scores.tobytes() == written.gate_scores.tobytes()
    np.testing.assert_array_equal(read.domains, written.domains)
    assert read.header == written.header
    assert (read.domain_names, read.model, read.recorded) == (names, "model", {"seed": "3"})
    assert read.tokens_per_input == group
    np.testing.assert_array_equal(read.domain_tokens, counts)


def test_the_same_trace_gives_the_same_bytes(tmp_path, trace):
    first, second = (write_trace(trace, tmp_path / name).read_bytes() for name in ("a.npz", "b.npz"))
    assert first == second


def test_a_file_is_not_overwritten_unasked(tmp_path, trace):
    path = tmp_path / "file.npz"
    path.write_text("mine")
    with pytest.raises(FileExistsError, match=r"file\.npz: exists"):
        write_trace(trace, path)
    assert path.read_text() == "mine"
    assert read_trace(write_trace(trace, path, overwrite=True)).model == trace.model
    assert [entry.name for entry in tmp_path.iterdir()] == ["file.npz"]


def test_every_cut_of_a_file_is_refused(tmp_path, trace):
    content = write_trace(trace, tmp_path / "whole.npz").read_bytes()
    cut = tmp_path / "cut.npz"
    for length in [0, 1, 4, 30, *range(100, len(content), 97), len(content) - 1]:
        cut.write_bytes(content[:length])
        refused(cut, "valid is a trace file", FORMAT)


def test_a_changed_byte_is_refused_or_changes_nothing(tmp_path, trace):
    content = write_trace(trace, tmp_path / "whole.npz").read_bytes()
    damaged = tmp_path / "damaged.npz"
    complaints = []
    for position in range(0, len(content), 11):
        damaged.write_bytes(content[:position] + bytes([content[position] ^ 0x5A]) + content[position + 1 :])
        try:
            read = read_trace(damaged)
        except ValueError as error:
            complaints.append(str(error))
        else:  # dates and attributes of the archive
            assert read.gate_scores.tobytes() == trace.gate_scores.tobytes()
            assert read.header == trace.header
    assert all(complaint.startswith(f"{damaged}: ") for complaint in complaints)
    assert len(complaints) > 0.7 * len(content) / 11


class Bomb:
    def __reduce__(self):
        return (pytest.fail, ("code from a file was run",))


@pytest.mark.parametrize("content", [b"", b"text", pickle.dumps(Bomb()), b"\x93NUMPY\x01\x00v\x00"])
def test_other_files_are_refused(tmp_path, content):
    path = tmp_path / "foreign.npz"
    path.write_bytes(content)
    refused(path, "is no npz archive", "valid is a trace file")


def test_python_objects_are_never_unpickled(tmp_path, trace):
    path = tmp_path / "objects.npz"
    for name in ("header", "gate_scores", "domains"):
        np.savez(path, **{**members_of(trace), name: np.array([Bomb()], dtype=object)})
        refused(path, "Object arrays cannot be loaded", "valid is a trace file")


def test_other_archives_are_refused(tmp_path, trace):
    path = tmp_path / "archive.npz"
    np.savez(path, weights=np.ones(3))
    refused(path, "holds weights", "header, gate_scores, domains")
    np.savez(path, **members_of(trace), more=np.ones(3))
    refused(path, "holds domains, gate_scores, header, more")
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("header", "gate_scores", "domains"):
            archive.writestr(name, "no array")
    refused(path, "valid is a trace file")


def test_a_missing_file_is_named(tmp_path):
    for path, words in ((tmp_path / "none.npz", "no such file"), (tmp_path, "a folder")):
        with pytest.raises(ValueError, match=f"^trace = '{path}': .*{words}.*; valid is a trace file"):
            read_trace(path)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"format": "dmoe_gym.relevance.trace/2"}, ["format is 'dmoe_gym.relevance.trace/2'", f"valid is {FORMAT!r}"]),
        ({"layers": 2}, ["gate_scores: has shape (3, 16, 4), the header says (2, 16, 4)"]),
        ({"tokens": 48}, ["the header says (3, 48, 4)"]),
        ({"experts": 12}, ["the header says (3, 16, 12)"]),
        ({"domains": ["one"]}, ["domains["]),
        ({"domains": []}, ["domains"]),
        ({"recorded": "by hand"}, ["recorded"]),
        ({"tokens_per_input": 3}, ["tokens_per_input = 3", "divisors of the domains' [5, 7, 4] tokens"]),
        ({"tokens_per_input": 0}, ["tokens_per_input = 0"]),
        ({"colour": "red"}, ["unexpected keyword argument 'colour'", "valid fields are"]),
        ({"layers": "3"}, ["layers = '3'"]),
    ],
)
def test_a_header_that_does_not_fit_is_refused(tmp_path, trace, fields, words):
    path = tmp_path / "header.npz"
    np.savez(path, **{**members_of(trace), "header": header_with(trace, **fields)})
    refused(path, *words)


@pytest.mark.parametrize(
    ("header", "words"),
    [
        (np.frombuffer(b"{not json", np.uint8), ["header: is no JSON"]),
        (np.frombuffer(b"[1]", np.uint8), ["header: holds list"]),
        (np.frombuffer(b"\xff\xfe", np.uint8), ["header: is no JSON"]),
        (np.zeros((2, 2), np.uint8), ["header: has dtype uint8 and 2 axes"]),
        (np.array("{}"), ["header: has dtype <U2"]),
    ],
)
def test_a_header_that_is_none_is_refused(tmp_path, trace, header, words):
    path = tmp_path / "header.npz"
    np.savez(path, **{**members_of(trace), "header": header})
    refused(path, *words)


def changed(values: np.ndarray, index: tuple[int, ...], value: float) -> np.ndarray:
    values = values.copy()
    values[index] = value
    return values


@pytest.mark.parametrize(
    ("scores", "words"),
    [
        (SCORES.astype(np.float64), ["gate_scores: has dtype float64", "float32"]),
        (SCORES.astype(np.float16), ["gate_scores: has dtype float16", "float32"]),
        (SCORES.astype(">f4"), ["gate_scores: has dtype >f4", "float32"]),
        (SCORES.reshape(2, 20), ["gate_scores: has shape (2, 20)"]),
        (SCORES[:, :0], ["gate_scores: has shape (2, 0, 5)"]),
        (SCORES[:, :, :1] * 5, ["2 or more experts"]),
        (changed(SCORES, (1, 2, 3), np.nan), ["gate_scores[1, 2, 3] = nan", "finite"]),
        (changed(SCORES, (1, 2, 3), np.inf), ["gate_scores[1, 2, 3] = inf"]),
        (changed(changed(SCORES, (0, 0, 0), -0.2), (0, 0, 1), 0.6), ["gate_scores[0, 0, 0] = -0.2"]),
        (changed(SCORES, (1, 3, 0), 0.21), ["gate_scores[1, 3] sum to 1.01", "sum of 1 within"]),
    ],
)
def test_scores_that_are_none_are_refused(tmp_path, scores, words):
    with pytest.raises(ValueError) as error:
        Trace(scores, DOMAINS, ("a", "b"), "model", {})
    assert all(word in str(error.value) for word in words)
    path = tmp_path / "scores.npz"
    good = Trace(SCORES, DOMAINS, ("a", "b"), "model", {})
    np.savez(path, **{**members_of(good), "gate_scores": scores})
    refused(path, *words)


@pytest.mark.parametrize(
    ("domains", "words"),
    [
        (DOMAINS.astype(np.int32), ["domains: has dtype int32", "int64"]),
        (DOMAINS[:3], ["domains: has shape (3,)", "(4,)"]),
        (np.array([0, 1, 0, 1]), ["ascending"]),
        (np.array([0, 0, 0, 0]), ["every one of 0 to 1"]),
        (np.array([0, 0, 1, 2]), ["domains[3] = 2"]),
        (np.array([-1, 0, 1, 1]), ["domains[0] = -1"]),
    ],
)
def test_domains_that_are_none_are_refused(domains, words):
    with pytest.raises(ValueError) as error:
        Trace(SCORES, domains, ("a", "b"), "model", {})
    assert all(word in str(error.value) for word in words)


def test_a_trace_is_read_only(trace):
    with pytest.raises(ValueError, match="read-only"):
        trace.gate_scores[0, 0, 0] = 1
    source = SCORES.copy()
    kept = Trace(source, DOMAINS, ("a", "b"), "model", {})
    source[:] = 0
    assert kept.gate_scores.min() > 0


def test_the_archive_needs_numpy_alone(trace, tmp_path):
    content = io.BytesIO(write_trace(trace, tmp_path / "plain.npz").read_bytes())
    with np.load(content, allow_pickle=False) as stored:
        assert json.loads(stored["header"].tobytes())["model"] == "a model"
        np.testing.assert_array_equal(stored["gate_scores"], trace.gate_scores)
