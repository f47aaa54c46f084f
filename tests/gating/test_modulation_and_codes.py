"""Error rates against closed forms, enumeration and another library."""

from __future__ import annotations

import sys
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.special import comb

from dmoe_gym.gating.transmission import BCHCode, Digital, bit_error_rate, code

CODES = ("uncoded", "repetition3", "hamming74", "golay2312")


def test_bit_error_rate_of_bpsk_and_qpsk_is_the_gaussian_tail():
    snr = np.array([0.0, 0.1, 1.0, 4.0, 10.0, np.inf])
    np.testing.assert_allclose(bit_error_rate("bpsk", snr), stats.norm.sf(np.sqrt(2 * snr)), rtol=1e-12)
    np.testing.assert_allclose(bit_error_rate("qpsk", snr), stats.norm.sf(np.sqrt(snr)), rtol=1e-12)


@pytest.mark.parametrize(("modulation", "dimensions"), [("bpsk", 1), ("qpsk", 2)])
def test_bit_error_rate_against_detected_symbols(modulation, dimensions):
    """Symbols of energy Es = SNR in noise of density N0 = 1, half of it in each real dimension."""
    snr, symbols = 1.5, 200_000
    generator = np.random.default_rng(5)
    signs = generator.choice([-1.0, 1.0], (symbols, dimensions))
    received = signs * np.sqrt(snr / dimensions) + np.sqrt(0.5) * generator.standard_normal((symbols, dimensions))
    errors = int((np.sign(received) != signs).sum())
    assert stats.binomtest(errors, signs.size, float(bit_error_rate(modulation, snr))).pvalue > 1e-3


@pytest.mark.parametrize("mean_snr", [0.5, 3.0, 20.0])
def test_rayleigh_mean_of_bpsk_has_its_closed_form(mean_snr):
    gains = np.random.default_rng(1).standard_exponential(400_000)
    simulated = bit_error_rate("bpsk", mean_snr * gains)
    exact = 0.5 * (1 - np.sqrt(mean_snr / (1 + mean_snr)))
    assert abs(simulated.mean() - exact) < 4 * simulated.std() / np.sqrt(len(gains))


@pytest.mark.parametrize("name", CODES)
def test_decoding_is_nearest_codeword_for_every_received_word(name):
    """All shipped codes are perfect: the table decoder must agree with minimum distance over all codewords."""
    block = code(name)
    if block.length <= 7:
        received = np.array(list(product([0, 1], repeat=block.length)))
    else:
        received = np.random.default_rng(2).integers(0, 2, (500, block.length))
    messages = np.array(list(product([0, 1], repeat=block.dimension)))
    distance = (received[:, None, :] != block.encode(messages)[None]).sum(axis=2)
    assert (np.sort(distance, axis=1)[:, :2] @ [-1, 1] > 0).all()  # the nearest is unique
    np.testing.assert_array_equal(block.decode(received), messages[distance.argmin(axis=1)])


@pytest.mark.parametrize(("name", "minimum_distance"), [("repetition3", 3), ("hamming74", 3), ("golay2312", 7)])
def test_minimum_distance_is_the_known_one_and_corrects_t_errors(name, minimum_distance):
    block = code(name)
    messages = np.array(list(product([0, 1], repeat=block.dimension)))
    weights = block.encode(messages).sum(axis=1)
    assert weights[weights > 0].min() == minimum_distance == 2 * block.correctable + 1


def test_every_shipped_code_is_perfect():
    for name in CODES:
        block = code(name)
        patterns = sum(comb(block.length, weight, exact=True) for weight in range(block.correctable + 1))
        assert patterns == 2 ** (block.length - block.dimension)


@pytest.mark.parametrize("name", CODES)
def test_simulated_word_error_rate_has_its_closed_form(name):
    """A perfect code fails exactly when more than t of n bits are wrong."""
    block, crossover, words = code(name), 0.06, 40_000
    generator = np.random.default_rng(3)
    messages = generator.integers(0, 2, (words, block.dimension))
    received = block.encode(messages) ^ (generator.random((words, block.length)) < crossover)
    failures = int((block.decode(received) != messages).any(axis=1).sum())
    exact = stats.binom.sf(block.correctable, block.length, crossover)
    assert stats.binomtest(failures, words, exact).pvalue > 1e-3


def test_repetition_bit_error_rate_has_its_closed_form():
    block, p, bits = code("repetition3"), 0.1, 100_000
    flips = np.random.default_rng(4).random((bits, 3)) < p
    errors = int(block.decode(flips.astype(np.uint8)).sum())
    assert stats.binomtest(errors, bits, p**2 * (3 - 2 * p)).pvalue > 1e-3


def test_hamming_bit_error_rate_has_its_enumerated_value():
    """Sum over all 128 error patterns of probability times wrong message bits, decoded by minimum distance."""
    block, p, words = code("hamming74"), 0.08, 60_000
    codewords = block.encode(np.array(list(product([0, 1], repeat=4))))
    patterns = np.array(list(product([0, 1], repeat=7)))
    nearest = codewords[(patterns[:, None] != codewords[None]).sum(axis=2).argmin(axis=1)]
    weights = patterns.sum(axis=1)
    exact = float((p**weights * (1 - p) ** (7 - weights) * nearest[:, :4].sum(axis=1)).sum() / 4)
    flips = np.random.default_rng(6).random((words, 7)) < p
    per_word = block.decode(flips.astype(np.uint8)).mean(axis=1)
    assert abs(per_word.mean() - exact) < 4 * per_word.std() / np.sqrt(words)


@given(
    name=st.sampled_from(CODES),
    errors=st.lists(st.integers(0, 22), max_size=3),
    seed=st.integers(0, 2**16),
)
def test_up_to_t_errors_are_always_corrected(name, errors, seed):
    block = code(name)
    message = np.random.default_rng(seed).integers(0, 2, block.dimension).astype(np.uint8)
    word = block.encode(message)
    for position in {position % block.length for position in errors[: block.correctable]}:
        word[position] ^= 1
    np.testing.assert_array_equal(block.decode(word), message)


@pytest.mark.parametrize("name", ["hamming74", "golay2312"])
def test_table_decoder_agrees_with_komm(name):
    """Decoders of another author on the same codewords, sent with any number of errors."""
    komm = pytest.importorskip("komm")
    block = code(name)
    generator_matrix = block.encode(np.eye(block.dimension, dtype=np.uint8))
    reference = komm.SyndromeTableDecoder(komm.BlockCode(generator_matrix=generator_matrix))
    generator = np.random.default_rng(7)
    messages = generator.integers(0, 2, (400, block.dimension))
    received = block.encode(messages) ^ (generator.random((400, block.length)) < 0.1)
    np.testing.assert_array_equal(block.decode(received), reference.decode(received.astype(int)))


def test_the_bch_code_corrects_ten_errors_and_leaves_what_it_cannot_place():
    """Message first; t = 10; where decoding changes nothing, what was received stands."""
    pytest.importorskip("komm")
    block = code("bch12764")
    generator = np.random.default_rng(8)
    messages = generator.integers(0, 2, (40, 64)).astype(np.uint8)
    sent = block.encode(messages)
    assert sent.shape == (40, 127)
    np.testing.assert_array_equal(sent[:, :64], messages)
    for errors in (0, 1, 10, 14):
        received = sent.copy()
        for word in received:
            word[generator.choice(127, errors, replace=False)] ^= 1
        decoded = block.decode(received)
        if errors <= 10:
            np.testing.assert_array_equal(decoded, messages)
        else:
            # nothing within 10 errors of such a word is likely: fewer than 1 in 1000 of all words are
            np.testing.assert_array_equal(decoded, received[:, :64])


def test_word_error_rate_of_the_bch_code_is_the_binomial_tail():
    pytest.importorskip("komm")
    block, crossover, words = code("bch12764"), 0.07, 400
    generator = np.random.default_rng(9)
    messages = generator.integers(0, 2, (words, 64)).astype(np.uint8)
    received = block.encode(messages) ^ (generator.random((words, 127)) < crossover)
    failures = int((block.decode(received) != messages).any(axis=1).sum())
    assert stats.binomtest(failures, words, stats.binom.sf(10, 127, crossover)).pvalue > 1e-3


def test_a_missing_komm_is_said_with_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "komm", None)
    with pytest.raises(ImportError, match=r"dmoe_gym\[codes\]"):
        BCHCode()


def test_unknown_code_is_refused_by_name():
    with pytest.raises(ValueError, match=r"code = 'turbo'.*golay2312"):
        code("turbo")
    with pytest.raises(ValueError, match=r"Digital.code = 'turbo'"):
        Digital(code="turbo")
