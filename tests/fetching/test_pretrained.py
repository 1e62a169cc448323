import hashlib
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from socketserver import BaseRequestHandler, TCPServer
from threading import Thread

import pytest
import torch
from torchvision.models import Weights, WeightsEnum

from archive_server import Fault, Server, serving
from lesion.fetching import pretrained
from lesion.fetching.pretrained import fetch_weights, imagenet_weights
from lesion.formats.architecture import ENCODERS
from lesion.network.encoders import TorchvisionEncoder
from lesion.pipeline.errors import InputError
from project import SHARED

TORCH_HOME = SHARED / "torch_home"
MOBILENET = TORCH_HOME / "hub/checkpoints/mobilenet_v2-b0353104.pth"


@pytest.mark.parametrize("name", ENCODERS[1:])
def test_each_encoder_has_imagenet_weights_whose_file_name_ends_with_their_hash(name):
    weights = imagenet_weights(name)
    assert weights.name == "IMAGENET1K_V1"
    assert re.fullmatch(rf"https://.*/{name}(_\w+)?-[0-9a-f]{{8}}\.pth", weights.url)


@dataclass(frozen=True)
class Offer:
    """Weights on a server of files, and where they are to be put."""

    server: Server
    content: bytes
    path: Path

    @property
    def url(self) -> str:
        return f"{self.server.url}/models/{self.path.name}"

    def put(self, content: bytes) -> None:
        self.server.put(f"models/{self.path.name}", content)

    def gets(self) -> int:
        return len(self.server.gets())

    def left(self) -> list[Path]:
        """Files in the cache."""
        return [path for path in self.path.parents[2].rglob("*") if path.is_file()]


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Offer]:
    buffer = io.BytesIO()
    torch.save({"weight": torch.arange(1000.0)}, buffer)
    content = buffer.getvalue()
    name = f"tiny-{hashlib.sha256(content).hexdigest()[:8]}.pth"
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    with serving() as server:
        offer = Offer(server, content, tmp_path / "hub" / "checkpoints" / name)
        offer.put(content)
        entry = Weights(url=offer.url, transforms=None, meta={})
        weights = WeightsEnum("TinyWeights", {"IMAGENET1K_V1": entry}).IMAGENET1K_V1
        monkeypatch.setattr(pretrained, "imagenet_weights", {"tiny": weights}.__getitem__)
        yield offer


def refusal() -> str:
    with pytest.raises(InputError) as error:
        fetch_weights("tiny")
    return str(error.value)


def test_weights_are_fetched_once_into_torch_home(offer):
    assert fetch_weights("tiny") == offer.path
    assert offer.path.read_bytes() == offer.content and offer.left() == [offer.path]
    assert fetch_weights("tiny") == offer.path
    assert offer.gets() == 1


@pytest.mark.parametrize("missing", ["connection", "file", "server error", "end", "right bytes"])
def test_what_cannot_be_had_is_refused_with_where_to_put_it_and_works_from_there(offer, missing):
    path = f"models/{offer.path.name}"
    if missing == "connection":
        offer.server.close()
    elif missing == "file":
        del offer.server.files[path]
    elif missing == "server error":
        offer.server.fail_always(path, Fault(status=503))
    elif missing == "end":
        offer.server.fail_always(path, Fault(cut=100))
    else:
        offer.put(offer.content + b"more")
    text = refusal()
    assert offer.url in text and str(offer.path) in text and "encoder tiny" in text
    assert offer.left() == []
    offer.path.parent.mkdir(parents=True, exist_ok=True)
    offer.path.write_bytes(offer.content)
    assert fetch_weights("tiny") == offer.path


def test_an_answer_that_is_no_http_is_refused(offer, monkeypatch):
    class Chatter(BaseRequestHandler):
        def handle(self) -> None:
            self.request.sendall(b"good morning\r\n")

    with TCPServer(("127.0.0.1", 0), Chatter) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}/{offer.path.name}"
        entry = Weights(url=url, transforms=None, meta={})
        weights = WeightsEnum("OtherWeights", {"IMAGENET1K_V1": entry}).IMAGENET1K_V1
        monkeypatch.setattr(pretrained, "imagenet_weights", {"tiny": weights}.__getitem__)
        assert "good morning" in refusal()
        server.shutdown()


def test_after_a_failure_the_next_run_fetches(offer):
    offer.server.fail(f"models/{offer.path.name}", Fault(status=503))
    refusal()
    assert fetch_weights("tiny").read_bytes() == offer.content


@pytest.mark.parametrize("spoil", ["empty", "cut", "one bit", "other file"])
def test_a_file_that_is_not_what_its_name_says_is_refused_and_stays(offer, spoil):
    spoiled = {
        "empty": b"",
        "cut": offer.content[:-1],
        "one bit": offer.content[:200] + bytes([offer.content[200] ^ 1]) + offer.content[201:],
        "other file": b"<html>sign in</html>",
    }[spoil]
    offer.path.parent.mkdir(parents=True)
    offer.path.write_bytes(spoiled)
    text = refusal()
    found = hashlib.sha256(spoiled).hexdigest()[:8]
    expected = hashlib.sha256(offer.content).hexdigest()[:8]
    assert str(offer.path) in text and f"begins with {found}, expected {expected}" in text
    assert "\n" not in text
    assert offer.path.read_bytes() == spoiled and offer.gets() == 0


@pytest.mark.skipif(not MOBILENET.is_file(), reason="no ImageNet weights beside this checkout")
def test_torchvisions_mobilenet_v2_passes_the_check_and_its_weights_arrive(monkeypatch):
    monkeypatch.setenv("TORCH_HOME", str(TORCH_HOME))
    monkeypatch.setattr(torch.hub, "_hub_dir", None)
    assert fetch_weights("mobilenet_v2") == MOBILENET
    weights = torch.load(MOBILENET, weights_only=True)
    encoder = TorchvisionEncoder("mobilenet_v2", 5, weights)
    first = next(encoder.parameters())
    assert torch.equal(first, weights["features.0.0.weight"]) and first.abs().max() > 0.5
