"""The stage `encoder`, from torchvision's file to pretrained/."""

import hashlib
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

import encoder
from lesion.fetching import pretrained
from lesion.network.encoders import TorchvisionEncoder
from lesion.pipeline.errors import InputError
from project import SHARED, copy_of_stages, run, set_params

pytestmark = pytest.mark.long

TORCH_HOME = SHARED / "torch_home"
MOBILENET = "hub/checkpoints/mobilenet_v2-b0353104.pth"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in the current folder, with an empty TORCH_HOME."""
    folder = copy_of_stages(tmp_path / "project")
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    return folder


@pytest.fixture
def placed(project: Path, monkeypatch: pytest.MonkeyPatch) -> bytes:
    """The content of the file that lies in TORCH_HOME as the weights of any encoder."""
    content = b"weights of a classifier"
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    path = project.parent / "torch/hub/checkpoints" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    weights = SimpleNamespace(url=f"https://example.org/{name}")
    monkeypatch.setattr(pretrained, "imagenet_weights", lambda _: weights)
    return content


def written() -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path("pretrained").iterdir()}


def test_encoder_none_writes_its_source_alone_and_imports_no_torch(project):
    set_params(project, encoder="none")
    script = (
        "import sys; sys.path.insert(0, 'stages'); import encoder; encoder.main()\n"
        "sys.exit(bool({'torch', 'torchvision'} & set(sys.modules)))"
    )
    assert run(project, sys.executable, "-c", script).stdout == "encoder none: no weights needed\n"
    assert written().keys() == {"source.json"}
    assert json.loads(written()["source.json"]) == {"encoder": "none"}


def test_the_file_is_copied_to_the_byte_beside_what_it_is(project, placed):
    set_params(project, encoder="resnet18")
    encoder.main()
    files = written()
    source = json.loads(files.pop("source.json"))
    assert files == {"imagenet.pth": placed}
    assert source["encoder"] == "resnet18"
    assert source["file"].startswith("tiny-")


def test_running_again_gives_equal_bytes_and_none_removes_the_weights(project, placed):
    set_params(project, encoder="resnet18")
    encoder.main()
    first = written()
    encoder.main()
    assert written() == first
    set_params(project, encoder="none")
    encoder.main()
    assert written().keys() == {"source.json"}


def test_a_refusal_leaves_what_was_there_before(project, placed):
    set_params(project, encoder="resnet18")
    encoder.main()
    first = written()
    for path in project.parent.glob("torch/hub/checkpoints/*"):
        path.write_bytes(b"other")
    with pytest.raises(InputError, match="SHA-256"):
        encoder.main()
    assert written() == first


def test_a_refusal_says_what_was_found_and_leaves_no_folder(project):
    set_params(project, encoder="mobilenet_v2")
    path = project.parent / "torch" / MOBILENET
    path.parent.mkdir(parents=True)
    path.write_bytes(b"<html>sign in</html>")
    found = hashlib.sha256(path.read_bytes()).hexdigest()[:8]
    with pytest.raises(InputError, match=f"begins with {found}, expected b0353104") as error:
        encoder.main()
    assert str(error.value).startswith(f"{path}: ")
    assert list(project.glob("*encoder*")) == []


def test_an_encoder_that_is_not_known_is_refused(project):
    set_params(project, encoder="vgg16")
    with pytest.raises(InputError, match=r"'encoder': found 'vgg16'; expected one of none"):
        encoder.main()
    assert not Path("pretrained").exists()


@pytest.mark.skipif(
    not (TORCH_HOME / MOBILENET).is_file(), reason="no ImageNet weights beside this checkout"
)
def test_torchvisions_file_becomes_an_encoder(project, monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(TORCH_HOME))
    set_params(project, encoder="mobilenet_v2")
    encoder.main()
    files = written()
    assert files["imagenet.pth"] == (TORCH_HOME / MOBILENET).read_bytes()
    assert json.loads(files["source.json"]) == {
        "encoder": "mobilenet_v2",
        "weights": "MobileNet_V2_Weights.IMAGENET1K_V1",
        "file": "mobilenet_v2-b0353104.pth",
    }
    weights = torch.load("pretrained/imagenet.pth", weights_only=True)
    TorchvisionEncoder("mobilenet_v2", 5, weights)
