import random
from pathlib import Path

import pytest
import torch

from lesion.checkpoint import load_checkpoint, save_checkpoint

STATE = {"weights": torch.arange(100_000.0), "history": [{"epoch": 1, "loss": 0.5}]}


@pytest.fixture
def path(tmp_path) -> Path:
    path = tmp_path / "checkpoint" / "train.pt"
    save_checkpoint(path, "abc", STATE)
    return path


def assert_starts_anew_and_says_so(path: Path, capsys: pytest.CaptureFixture) -> None:
    assert load_checkpoint(path, "abc") is None
    assert f"{path} " in (said := capsys.readouterr().out)
    assert said.endswith(": training starts anew\n") and said.count("\n") == 1


def test_state_comes_back_as_it_was_and_nothing_is_said(path, capsys):
    state = load_checkpoint(path, "abc")
    assert state.keys() == STATE.keys() and state["history"] == STATE["history"]
    assert torch.equal(state["weights"], STATE["weights"])
    assert capsys.readouterr().out == ""


def test_no_checkpoint_gives_none_and_nothing_is_said(tmp_path, capsys):
    assert load_checkpoint(tmp_path / "none.pt", "abc") is None
    assert capsys.readouterr().out == ""


def test_a_checkpoint_of_another_run_is_not_used_and_that_is_said(path, capsys):
    save_checkpoint(path, "other", STATE)
    assert_starts_anew_and_says_so(path, capsys)


def test_a_later_checkpoint_replaces_the_earlier_and_leaves_nothing_beside_it(path):
    save_checkpoint(path, "abc", {"epoch": 2})
    assert load_checkpoint(path, "abc") == {"epoch": 2}
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


@pytest.mark.parametrize("seed", range(5))
def test_a_checkpoint_with_a_changed_byte_among_the_weights_is_not_used(path, capsys, seed):
    content = bytearray(path.read_bytes())
    content[random.Random(seed).randrange(len(content) // 4, len(content) // 2)] ^= 0x55
    path.write_bytes(content)
    assert_starts_anew_and_says_so(path, capsys)


def test_code_in_a_checkpoint_is_not_run(path, tmp_path, capsys):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "mark",))

    torch.save({"fingerprint": "abc", "state": Payload()}, path)
    assert_starts_anew_and_says_so(path, capsys)
    assert not (tmp_path / "mark").exists()
