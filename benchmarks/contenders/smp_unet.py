"""segmentation-models-pytorch as its example for binary segmentation trains: U-Net, MobileNetV2.

Dice loss, Adam with 2e-4 and cosine annealing over ten epochs, batches of 16, 256 pixels, files
decoded in the loader, validation each epoch. With --expert also channels-last, and bfloat16 where
the processor has instructions for it.
"""

from pathlib import Path

import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image
from race import Race
from torch.utils.data import DataLoader, Dataset
from torchvision.models import MobileNet_V2_Weights

SIZE, BATCH, EPOCHS, LR = 256, 16, 10, 2e-4


def read_image(path: Path) -> torch.Tensor:
    image = Image.open(path).convert("RGB").resize((SIZE, SIZE), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def read_mask(path: Path) -> torch.Tensor:
    mask = Image.open(path).convert("L").resize((SIZE, SIZE), Image.Resampling.NEAREST)
    return torch.from_numpy(np.array(mask) > 127).float()[None]


class Lesions(Dataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, mask = self.pairs[index]
        return read_image(image), read_mask(mask)


class Model(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.network = smp.Unet("mobilenet_v2", encoder_weights=None, in_channels=3, classes=1)
        # What encoder_weights="imagenet" would fetch from elsewhere: torchvision's own file.
        imagenet = MobileNet_V2_Weights.IMAGENET1K_V1
        weights = imagenet.get_state_dict(progress=False)
        weights = {k: v for k, v in weights.items() if not k.startswith("classifier")}
        self.network.encoder.load_state_dict(weights)
        self.register_buffer("mean", torch.tensor(imagenet.transforms().mean).view(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(imagenet.transforms().std).view(1, 3, 1, 1))

    def forward(self, images):
        return self.network((images - self.mean) / self.std)


def has_bfloat16() -> bool:
    flags = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    return "avx512_bf16" in flags or "amx_bf16" in flags


race = Race()
train = DataLoader(Lesions(race.pairs("train")), BATCH, shuffle=True, num_workers=race.workers)
validation = DataLoader(Lesions(race.pairs("validation")), BATCH, num_workers=race.workers)
model = Model()
half = race.expert and has_bfloat16()
memory = torch.channels_last if race.expert else torch.contiguous_format
model = model.to(memory_format=memory)
if race.expert:
    race.notes.append("channels-last, " + ("bfloat16" if half else "float32: no bfloat16 here"))
loss_of = smp.losses.DiceLoss(smp.losses.BINARY_MODE, from_logits=True)
optimizer = torch.optim.Adam(model.parameters(), lr=LR)
scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(
    optimizer, T_max=EPOCHS * len(train), eta_min=1e-5
)


def forward(images):
    with torch.autocast("cpu", torch.bfloat16, enabled=half):
        return model(images.to(memory_format=memory)).float()


going = True
while going:
    model.train()
    for images, masks in train:
        loss = loss_of(forward(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.step()
        if not (going := race.goes_on(model, len(images))):
            break
    else:
        model.eval()
        with torch.no_grad():
            for images, masks in validation:
                smp.metrics.get_stats(forward(images) > 0, masks.long(), mode="binary")

race.end(model, read_image, lambda images: forward(images).sigmoid())
