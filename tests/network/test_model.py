import subprocess
import sys
from dataclasses import dataclass

import pytest
import torch
from torchvision.models import get_model

from lesion.network.encoders import TorchvisionEncoder
from lesion.network.model import build_model
from lesion.network.unet import ContractingPath
from lesion.pipeline.errors import InputError

pytestmark = pytest.mark.long


@dataclass(frozen=True)
class Architecture:
    encoder: str
    width: int = 2
    depth: int = 3


def weights(architecture: Architecture, seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.nn.utils.parameters_to_vector(build_model(architecture).parameters())


@pytest.mark.parametrize(
    ("name", "kind"), [("none", ContractingPath), ("mobilenet_v3_small", TorchvisionEncoder)]
)
def test_architecture_decides_the_encoder_its_depth_and_the_width(name, kind):
    network = build_model(Architecture(name, width=3, depth=4))
    assert isinstance(network.encoder, kind)
    assert max(network.encoder.channels) == 4 and network.multiple == 16
    assert network.merge[0][0].out_channels == 3 * 8


@pytest.mark.parametrize("name", ["none", "mobilenet_v3_small"])
def test_seed_decides_the_weights(name):
    architecture = Architecture(name)
    assert torch.equal(weights(architecture, 1), weights(architecture, 1))
    assert not torch.equal(weights(architecture, 1), weights(architecture, 2))


def test_imagenet_weights_become_the_encoders_and_the_rest_stays_random():
    torch.manual_seed(0)
    imagenet = get_model("mobilenet_v3_small", weights=None).state_dict()

    def network(seed: int) -> dict[str, torch.Tensor]:
        torch.manual_seed(seed)
        return build_model(Architecture("mobilenet_v3_small"), imagenet).state_dict()

    one, other = network(1), network(2)
    assert torch.equal(one["encoder.blocks.0.0.0.weight"], imagenet["features.0.0.weight"])
    drawn = {key.split(".")[0] for key in one if not torch.equal(one[key], other[key])}
    assert drawn == {"up", "merge", "head"}


def test_imagenet_weights_of_another_network_are_refused():
    imagenet = get_model("mobilenet_v3_small", weights=None).state_dict()
    with pytest.raises(InputError, match="not those of mobilenet_v2"):
        build_model(Architecture("mobilenet_v2"), imagenet)


def test_without_an_encoder_torchvision_is_not_imported(root):
    script = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from lesion.network.model import build_model\n"
        "build_model(SimpleNamespace(encoder='none', width=1, depth=2))\n"
        "sys.exit('torchvision' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=root / "stages", check=True)
