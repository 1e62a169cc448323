import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save

from lesion.errors import InputError
from lesion.header import Header, read_header
from lesion.predict import Predictor
from lesion.unet import UNet
from lesion.weights import load_model, save_weights

HEADER = Header(width=2, depth=1, image_size=16, fingerprint="f" * 64, epoch=3)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def network() -> UNet:
    torch.manual_seed(0)
    network = UNet(HEADER.width, HEADER.depth)
    network(torch.randn(2, 3, 16, 16))
    return network.eval().requires_grad_(False)


@pytest.fixture
def path(tmp_path, network) -> Path:
    path = tmp_path / "model" / "unet.safetensors"
    save_weights(path, network.state_dict(), HEADER)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as error:
        load_model(path, CPU)
    return str(error.value)


def test_equal_weights_are_equal_bytes_whatever_their_memory_layout(path, tmp_path, network):
    state = {
        name: tensor.clone(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in reversed(network.state_dict().items())
    }
    save_weights(tmp_path / "again", state, HEADER)
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_header_comes_back_as_it_was(path):
    assert read_header(path) == HEADER
    assert load_model(path, CPU)[1] == HEADER


def test_loaded_network_gives_the_same_logits_and_is_ready_to_predict(path, network):
    loaded, _ = load_model(path, CPU)
    images = torch.randn(3, 3, 17, 16, generator=torch.Generator().manual_seed(0))
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    torch.testing.assert_close(loaded(images), network(images), rtol=0, atol=1e-6)


@pytest.mark.parametrize("count", [1, 2, 5])
def test_predictor_turns_uint8_images_into_probabilities(path, count):
    network, header = load_model(path, CPU)
    rng = np.random.default_rng(0)
    images = torch.from_numpy(rng.integers(0, 256, (count, 17, 33, 3)).astype(np.uint8))
    probabilities = Predictor(network)(images)
    mean, deviation = (torch.tensor(x).view(3, 1, 1) for x in (header.mean, header.deviation))
    inputs = (images.permute(0, 3, 1, 2) / 255 - mean) / deviation
    assert probabilities.shape == (count, 17, 33) and probabilities.dtype == torch.float32
    torch.testing.assert_close(probabilities, network(inputs)[:, 0].sigmoid(), rtol=0, atol=1e-5)


def test_predictor_gives_float32_near_that_of_float32_also_from_bfloat16(path):
    network, _ = load_model(path, CPU)
    images = torch.arange(16 * 16 * 3, dtype=torch.uint8).view(1, 16, 16, 3)
    exact, rough = (Predictor(network, kind)(images) for kind in ("float32", "bfloat16"))
    assert rough.dtype == torch.float32
    torch.testing.assert_close(rough, exact, rtol=0, atol=0.05)


def test_a_missing_file_is_refused(tmp_path):
    assert "not found" in refusal(tmp_path / "none.safetensors")


@pytest.mark.parametrize("kept", [0, 4, 60, -1])
def test_a_cut_file_is_refused(path, kept):
    path.write_bytes(path.read_bytes()[:kept])
    assert str(path) in refusal(path)
    with pytest.raises(InputError):
        read_header(path)


@pytest.mark.parametrize(
    "metadata",
    [None, {"format": "pt"}, *({"lesion": text} for text in ["", "text", "[]", "{}", '{"a": 1}'])],
    ids=str,
)
def test_a_file_of_another_program_is_refused(path, network, metadata):
    path.write_bytes(save(network.state_dict(), metadata=metadata))
    assert str(path) in refusal(path)
    with pytest.raises(InputError):
        read_header(path)


@pytest.mark.parametrize(
    "change",
    [
        {"width": 3},
        {"depth": 2},
        {"width": "2"},
        {"architecture": "other"},
        {"mean": (0.5, 0.5, 0.5)},
        {"deviation": (1.0, 1.0, 1.0)},
    ],
    ids=str,
)
def test_a_header_that_this_code_cannot_follow_is_refused(path, network, change):
    save_weights(path, network.state_dict(), replace(HEADER, **change))
    assert str(path) in refusal(path)


def test_damage_anywhere_in_the_header_is_refused_or_harmless_and_never_crashes(path, network):
    content = path.read_bytes()
    size = 8 + int.from_bytes(content[:8], "little")
    assert json.loads(content[8:size])
    for place in range(0, size, 7):
        damaged = bytearray(content)
        damaged[place] ^= 0x55
        path.write_bytes(damaged)
        try:
            load_model(path, CPU)
        except InputError as error:
            assert str(path) in str(error)
