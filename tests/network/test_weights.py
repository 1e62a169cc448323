import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save

from lesion.formats.header import read_header
from lesion.network.model import build_model
from lesion.network.unet import UNet
from lesion.network.weights import load_imagenet, load_model, save_weights
from lesion.pipeline.errors import InputError
from small_model import HEADER

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


@pytest.mark.long
@pytest.mark.parametrize(("encoder", "depth"), [("mobilenet_v2", 5), ("resnet18", 3)])
def test_a_network_with_an_encoder_is_loaded_without_its_imagenet_weights(
    tmp_path, monkeypatch, encoder, depth
):
    header = replace(HEADER, encoder=encoder, depth=depth)
    torch.manual_seed(0)
    network = build_model(header)
    network(torch.randn(2, 3, 64, 64))  # moves the running statistics off their start
    save_weights(tmp_path / "unet", network.state_dict(), header)

    def fetched(*_: object, **__: object) -> None:
        raise AssertionError("fetched")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "empty"))
    monkeypatch.setattr(torch.hub, "download_url_to_file", fetched)
    loaded, found = load_model(tmp_path / "unet", CPU)
    images = torch.randn(1, 3, 40, 33, generator=torch.Generator().manual_seed(0))
    assert found == header
    torch.testing.assert_close(loaded(images), network.eval()(images), rtol=0, atol=1e-4)


def test_the_file_explains_itself_to_a_program_without_this_code(path, network):
    with safe_open(path, framework="np") as file:
        assert json.loads(file.metadata()["lesion"]) == {
            "encoder": "none",
            "width": 2,
            "depth": 1,
            "image_size": 16,
            "resize": "letterbox",
            "fingerprint": "f" * 64,
            "epoch": 3,
            "architecture": "unet",
            "mean": [0.485, 0.456, 0.406],
            "deviation": [0.229, 0.224, 0.225],
        }
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    assert {name: tensor.tolist() for name, tensor in tensors.items()} == {
        name: tensor.tolist() for name, tensor in network.state_dict().items()
    }


def test_a_missing_file_is_refused(tmp_path):
    assert "not found" in refusal(tmp_path / "none.safetensors")


def test_a_folder_in_the_place_of_the_file_is_refused(tmp_path):
    assert str(tmp_path) in refusal(tmp_path)


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
        {"width": 10**30},
        {"depth": 0},
        {"depth": -1},
        {"depth": None},
        {"encoder": "vgg"},
        {"encoder": "mobilenet_v2"},
        {"encoder": "mobilenet_v2", "depth": 5},
        {"encoder": "alexnet", "depth": 5},
        {"encoder": 3},
        {"encoder": None},
        {"encoder": ["none"]},
        {"encoder": "vit_b_16"},
        {"architecture": "other"},
        {"mean": (0.5, 0.5, 0.5)},
        {"deviation": (1.0, 1.0, 1.0)},
    ],
    ids=str,
)
def test_a_header_that_this_code_cannot_follow_is_refused(path, network, change):
    save_weights(path, network.state_dict(), replace(HEADER, **change))
    assert str(path) in refusal(path)


@pytest.mark.parametrize("change", ["missing", "foreign"])
def test_weights_that_are_not_all_of_the_network_and_nothing_else_are_refused(
    path, network, change
):
    state = network.state_dict()
    if change == "missing":
        del state["head.bias"]
    else:
        state["other"] = torch.zeros(1)
    save_weights(path, state, HEADER)
    assert str(path) in refusal(path)


CLEAR, STATUS = Path("/proc/self/clear_refs"), Path("/proc/self/status")


@pytest.mark.skipif(not CLEAR.exists(), reason="needs Linux, which tells the peak of memory")
@pytest.mark.parametrize(
    "change",
    [
        {"width": 256, "depth": 5},  # 6 GB
        {"width": 1024, "depth": 8},
        {"encoder": "resnet18", "width": 1024, "depth": 5},
    ],
    ids=str,
)
def test_a_header_that_implies_gigabytes_takes_no_memory(path, network, change):
    def memory(name: str) -> int:  # MB
        return int(re.search(rf"{name}:\s+(\d+) kB", STATUS.read_text())[1]) // 1000

    if "encoder" in change:
        import torchvision  # noqa: F401 (which needs memory of its own)

    save_weights(path, network.state_dict(), replace(HEADER, **change))
    CLEAR.write_text("5")  # the peak begins anew
    before = memory("VmRSS")
    assert "do not fit its header (encoder." in refusal(path)
    assert memory("VmHWM") - before < 500


@pytest.mark.parametrize("name", ["head.weight", "head.bias", "merge.0.1.running_var"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_number_that_is_not_finite_is_refused_by_the_name_of_its_tensor(
    path, network, name, value
):
    state = {key: tensor.clone() for key, tensor in network.state_dict().items()}
    state[name].view(-1)[-1] = value
    save_weights(path, state, HEADER)
    assert f"({name} has numbers that are not finite)" in refusal(path)


@pytest.mark.parametrize(
    "kind", [torch.float64, torch.float16, torch.bfloat16, torch.int8, torch.int64, torch.bool]
)
def test_weights_of_another_kind_than_float32_are_refused(path, network, kind):
    save_weights(path, network.state_dict() | {"head.bias": torch.zeros(1, dtype=kind)}, HEADER)
    message = refusal(path)
    assert "(head.bias: found " in message and "expected F32 of [1])" in message


@pytest.mark.parametrize("shape", [(), (2,), (1, 1), (0,)])
def test_a_tensor_of_another_shape_is_refused_by_name(path, network, shape):
    save_weights(path, network.state_dict() | {"head.bias": torch.zeros(shape)}, HEADER)
    assert f"(head.bias: found F32 of {list(shape)}; expected F32 of [1])" in refusal(path)


@pytest.mark.parametrize(
    "content",
    [
        5,
        [1.0],
        {"a": 1},
        {"a": torch.zeros(1, dtype=torch.float64)},
        {"a": torch.tensor(float("nan"))},
    ],
    ids=str,
)
def test_imagenet_weights_that_are_no_finite_float32_are_refused(tmp_path, content):
    torch.save(content, tmp_path / "imagenet.pth")
    with pytest.raises(InputError, match=r"imagenet\.pth: no weights .*; run `dvc repro encoder`"):
        load_imagenet(tmp_path / "imagenet.pth")


def test_imagenet_weights_are_as_they_were_saved(tmp_path):
    state = {"a.weight": torch.rand(3, 2), "a.num_batches_tracked": torch.tensor(0)}
    torch.save(state, tmp_path / "imagenet.pth")
    loaded = load_imagenet(tmp_path / "imagenet.pth")
    assert all(torch.equal(loaded[name], state[name]) for name in state) and len(loaded) == 2


@pytest.mark.long
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
