import hashlib
import random
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from lesion.training import checkpoint
from lesion.training.checkpoint import INTERVAL, SAVING_SHARE, Checkpoint

STATE = {"weights": torch.arange(100_000.0), "history": [{"epoch": 1, "loss": 0.5}]}


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "checkpoint" / "train.pt"
    Checkpoint(path, "abc").save(STATE)
    return path


def assert_starts_anew_and_says_so(path: Path, capsys: pytest.CaptureFixture) -> None:
    assert Checkpoint(path, "abc").load() is None
    assert f"{path} " in (said := capsys.readouterr().out)
    assert said.endswith(": training starts anew\n") and said.count("\n") == 1


def test_state_comes_back_as_it_was_and_nothing_is_said(path, capsys):
    state = Checkpoint(path, "abc").load()
    assert state.keys() == STATE.keys() and state["history"] == STATE["history"]
    assert torch.equal(state["weights"], STATE["weights"])
    assert capsys.readouterr().out == ""


def test_no_checkpoint_gives_none_and_nothing_is_said(tmp_path, capsys):
    assert Checkpoint(tmp_path / "none.pt", "abc").load() is None
    assert capsys.readouterr().out == ""


def test_a_checkpoint_of_another_run_is_not_used_and_that_is_said(path, capsys):
    Checkpoint(path, "other").save(STATE)
    assert_starts_anew_and_says_so(path, capsys)


def test_a_later_checkpoint_replaces_the_earlier_and_leaves_nothing_beside_it(path):
    Checkpoint(path, "abc").save({"epoch": 2})
    assert Checkpoint(path, "abc").load() == {"epoch": 2}
    assert [file.name for file in path.parent.iterdir()] == ["train.pt"]


@pytest.mark.parametrize("kept", [0, 10, 1000, -1])
def test_a_cut_checkpoint_is_not_used_and_that_is_said(path, capsys, kept):
    path.write_bytes(path.read_bytes()[:kept])
    assert_starts_anew_and_says_so(path, capsys)


@pytest.mark.parametrize(
    "content", [[1], {"a": 1}, {"fingerprint": "abc"}, torch.zeros(2), "abc", None], ids=str
)
def test_a_file_that_is_no_checkpoint_is_not_used_and_that_is_said(path, capsys, content):
    torch.save(content, path)
    assert_starts_anew_and_says_so(path, capsys)


@pytest.mark.parametrize("seed", range(9))
def test_a_checkpoint_with_a_changed_byte_is_not_used(path, capsys, seed):
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content))] ^= 0x55
    path.write_bytes(content)
    assert_starts_anew_and_says_so(path, capsys)


def test_code_in_a_checkpoint_is_not_run(path, tmp_path, capsys):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "mark",))

    torch.save({"fingerprint": "abc", "state": Payload()}, path)
    content = path.read_bytes()
    path.write_bytes(hashlib.sha256(content).digest() + content)  # whole, as its hash shows
    assert_starts_anew_and_says_so(path, capsys)  # in one line, of the many that torch says
    assert not (tmp_path / "mark").exists()


def test_an_error_without_words_is_named(path, capsys, monkeypatch):
    def fails(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(torch, "load", fails)
    assert Checkpoint(path, "abc").load() is None
    assert capsys.readouterr().out.startswith(f"{path} cannot be read (MemoryError): ")


class Clock:
    """Stands still until it is moved on."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(checkpoint, "time", clock)
    return clock


@pytest.fixture
def saved(tmp_path, clock, monkeypatch) -> Checkpoint:
    """Saved just now, which took a second."""
    saved = Checkpoint(tmp_path / "train.pt", "abc")
    write = checkpoint.write_bytes

    def slowly(path: Path, content: bytes) -> None:
        write(path, content)
        clock.now += 1

    monkeypatch.setattr(checkpoint, "write_bytes", slowly)
    saved.save(STATE)
    return saved


def test_an_epochs_end_is_saved_as_soon_as_the_savings_stay_below_their_share(saved, clock):
    clock.now += 0.99 / SAVING_SHARE
    assert not saved.is_due(at_rest=True) and not saved.is_due(at_rest=False)
    clock.now += 0.02 / SAVING_SHARE
    assert saved.is_due(at_rest=True) and saved.is_due(at_rest=False)


def test_before_the_first_saving_an_epochs_end_is_due_and_its_middle_after_a_while(tmp_path, clock):
    new = Checkpoint(tmp_path / "train.pt", "abc")
    clock.now += 0.01
    assert new.is_due(at_rest=True) and not new.is_due(at_rest=False)
    clock.now += INTERVAL
    assert new.is_due(at_rest=False)


def test_of_a_training_little_is_lost_and_little_of_its_time_spent_on_saving(saved, clock):
    times = [clock.now]
    for step in range(2000):
        clock.now += 0.7
        if saved.is_due(at_rest=step % 100 == 99):
            saved.save(STATE)
            times.append(clock.now)
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert len(gaps) > 10 and min(gaps) > 1 / SAVING_SHARE and max(gaps) < 1 / SAVING_SHARE + 2
