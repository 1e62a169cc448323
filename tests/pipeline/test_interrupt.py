import os
import signal
import subprocess
import sys

import pytest

from lesion.pipeline.interrupt import SIGNALS, noted


def handlers() -> list:
    return [signal.getsignal(number) for number in SIGNALS]


@pytest.fixture(autouse=True)
def unchanged_handlers():
    before = handlers()
    yield
    for number, handler in zip(SIGNALS, before, strict=True):
        signal.signal(number, handler)


def test_sigterm_and_ctrl_c_are_what_is_noted():
    assert set(SIGNALS) == {signal.SIGTERM, signal.SIGINT}


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_is_noted_and_nothing_else_happens(number):
    with noted() as wish:
        assert wish.signal is None
        os.kill(os.getpid(), number)
        assert wish.signal is number
    assert wish.signal is number


@pytest.mark.parametrize("number", SIGNALS)
def test_after_the_block_signals_do_what_they_did_before_whether_one_came_or_not(number):
    before = handlers()
    with noted():
        assert handlers() != before
    assert handlers() == before
    with noted():
        os.kill(os.getpid(), number)
    assert handlers() == before


def test_handlers_come_back_also_after_an_exception():
    before = handlers()
    with pytest.raises(ZeroDivisionError), noted():
        raise ZeroDivisionError
    assert handlers() == before


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_ctrl_c_interrupts_as_it_always_would(first):
    with pytest.raises(KeyboardInterrupt), noted() as wish:
        os.kill(os.getpid(), first)
        os.kill(os.getpid(), signal.SIGINT)
    assert wish.signal is first


@pytest.mark.parametrize("first", SIGNALS)
def test_a_second_sigterm_ends_the_process(root, first):
    code = (
        "import os, signal; from lesion.pipeline.interrupt import noted\n"
        f"with noted():\n    os.kill(os.getpid(), {int(first)})\n    print('on', flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n    print('still on', flush=True)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root / "stages", capture_output=True, text=True
    )
    assert (result.returncode, result.stdout) == (-signal.SIGTERM, "on\n")
