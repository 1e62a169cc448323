"""Puts the ImageNet weights of the encoder into pretrained/, where DVC sees them.

reads   torchvision's file: in TORCH_HOME, or fetched into it; nothing for encoder none
writes  pretrained/source.json, pretrained/imagenet.pth
knobs   encoder (params.yaml)
"""

from pathlib import Path

from lesion import params
from lesion.cli import run
from lesion.files import whole_folder, write_bytes, write_json

PRETRAINED = Path("pretrained")
WEIGHTS_FILE = "imagenet.pth"


def main() -> None:
    name = params.load(params.EncoderParams).encoder
    with whole_folder(PRETRAINED) as folder:
        source = {"encoder": name}
        if name != "none":
            from lesion.pretrained import fetch_weights, imagenet_weights  # imports torchvision

            found = fetch_weights(name)
            source |= {"weights": str(imagenet_weights(name)), "file": found.name}
            write_bytes(folder / WEIGHTS_FILE, found.read_bytes())
        write_json(folder / "source.json", source)
    print(f"encoder {name}" + (f": {source['file']}" if name != "none" else ": no weights needed"))


if __name__ == "__main__":
    run(main)
