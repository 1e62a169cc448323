"""The usual notebook: U-Net of 64 to 1024 channels without BatchNorm, cross-entropy, Adam.

A rate of 1e-4, batches of 8 at 256 pixels, files decoded in the loader.
"""

from itertools import pairwise

import numpy as np
import torch
from PIL import Image
from race import Race
from torch import nn
from torch.utils.data import DataLoader, Dataset

SIZE, BATCH, LR = 256, 8, 1e-4


def block(inputs, outputs):
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1),
        nn.ReLU(),
    )


class UNet(nn.Module):
    def __init__(self, channels=(64, 128, 256, 512, 1024)):
        super().__init__()
        self.down = nn.ModuleList(map(block, (3, *channels), channels))
        joined = [below + own for below, own in pairwise(reversed(channels))]
        self.up = nn.ModuleList(map(block, joined, channels[-2::-1]))
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, images):
        skips = []
        for level, conv in enumerate(self.down):
            images = conv(nn.functional.max_pool2d(images, 2) if level else images)
            skips.append(images)
        for conv, skip in zip(self.up, skips[-2::-1], strict=True):
            images = nn.functional.interpolate(images, scale_factor=2, mode="bilinear")
            images = conv(torch.cat([images, skip], 1))
        return self.head(images)


def read(path, mode):
    return np.array(Image.open(path).convert(mode).resize((SIZE, SIZE)))


def read_image(path):
    return torch.from_numpy(read(path, "RGB")).permute(2, 0, 1).float() / 255


class Lesions(Dataset):
    def __init__(self, pairs):
        self.pairs = pairs

    def __len__(self):
        return len(self.pairs)

    def __getitem__(self, index):
        image, mask = self.pairs[index]
        return read_image(image), torch.from_numpy(read(mask, "L") > 127).float()[None]


race = Race()
train = DataLoader(Lesions(race.pairs("train")), BATCH, shuffle=True, num_workers=race.workers)
model = UNet()
loss_of = nn.BCEWithLogitsLoss()
optimizer = torch.optim.Adam(model.parameters(), lr=LR)

going = True
while going:
    for images, masks in train:
        loss = loss_of(model(images), masks)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if not (going := race.goes_on(model, len(images))):
            break

race.end(model, read_image, lambda images: model(images).sigmoid())
