"""Puts the ImageNet weights of the encoder into pretrained/, where DVC sees them.

reads   torchvision's file: in TORCH_HOME, or fetched into it; nothing for encoder none
writes  pretrained/source.json, pretrained/imagenet.pth
knobs   encoder (params.yaml)
"""

from pathlib import Path

from lesion.console.cli import run
from lesion.parameters.encoder import EncoderParams
from lesion.parameters.reading import load_params
from lesion.pipeline.files import whole_folder, write_bytes, write_json

PRETRAINED = Path("pretrained")
WEIGHTS_FILE = "imagenet.pth"


def main() -> None:
    name = load_params(EncoderParams).encoder
    with whole_folder(PRETRAINED) as folder:
        source: dict[str, str] = {"encoder": name}
        if name != "none":
            from lesion.fetching.pretrained import (  # imports torchvision
                fetch_weights,
                imagenet_weights,
            )

            found = fetch_weights(name)
            source |= {"weights": str(imagenet_weights(name)), "file": found.name}
            write_bytes(folder / WEIGHTS_FILE, found.read_bytes())
        write_json(folder / "source.json", source)
    print(f"encoder {name}" + (f": {source['file']}" if name != "none" else ": no weights needed"))


if __name__ == "__main__":
    run(main)
