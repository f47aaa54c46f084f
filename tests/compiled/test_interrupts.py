"""Ctrl-C while Numba compiles: what it works on becomes whole first."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from numba.core import event

from dmoe_gym.compiled.njit import njit


class _Presser(event.Listener):
    """Presses Ctrl-C so often when the compiler begins with a function."""

    def __init__(self, times: int) -> None:
        self.left = times

    def on_start(self, event: event.Event) -> None:
        while self.left:
            self.left -= 1
            os.kill(os.getpid(), signal.SIGINT)

    def on_end(self, event: event.Event) -> None:
        pass


@pytest.fixture(autouse=True)
def heard() -> Iterator[None]:
    """Ctrl-C as in a terminal; jobs in the background of a shell ignore it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@contextmanager
def pressed(times: int = 1) -> Iterator[None]:
    with event.install_listener("numba:run_pass", _Presser(times)):
        yield


def fresh(factor: float):
    """A caller and what it calls, neither compiled yet."""

    @njit
    def scaled(value):
        return factor * value

    @njit
    def total(value):
        return scaled(value) + factor

    return scaled, total


def test_what_is_being_compiled_is_whole_before_ctrl_c_is_heard(capsys):
    scaled, total = fresh(3.5)
    with pressed(), pytest.raises(KeyboardInterrupt):
        total(2.0)
    assert capsys.readouterr().err.count("stopping after this compilation") == 1
    # it stopped after the function that was at work, not after all that wait for it
    assert scaled.signatures
    assert not total.signatures
    assert total(2.0) == 10.5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_second_ctrl_c_stops_at_once_and_leaves_the_handler_as_it_was():
    scaled, total = fresh(4.5)
    with pressed(2), pytest.raises(KeyboardInterrupt):
        total(2.0)
    assert not scaled.signatures
    assert total(2.0) == 13.5
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_handler_that_goes_on_is_asked_once():
    """As training's does, which stops after its update."""
    heard, (_, total) = [], fresh(5.5)
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        with pressed():
            assert total(2.0) == 16.5
    finally:
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT]


def test_other_threads_compile_without_a_handler():
    found, (_, total) = [], fresh(6.5)
    thread = threading.Thread(target=lambda: found.append(total(2.0)))
    thread.start()
    thread.join()
    assert found == [19.5]
