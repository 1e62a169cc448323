"""MONAI's BasicUNet, trained as in its 2-D tutorial: CacheDataset, Dice loss, Adam with 1e-3.

Batches of 4; the tutorial's crops of 96 pixels are whole images of 256 here, its quarter turns
stay. Validation every second epoch, as there.
"""

import torch
from monai.data import CacheDataset, DataLoader, decollate_batch
from monai.data.image_reader import PILReader
from monai.losses import DiceLoss
from monai.metrics import DiceMetric
from monai.networks.nets import BasicUNet
from monai.transforms import (
    Activations,
    AsDiscrete,
    Compose,
    EnsureChannelFirstd,
    LoadImaged,
    RandRotate90d,
    Resized,
    ScaleIntensityd,
)
from monai.utils import set_determinism
from race import Race

SIZE, BATCH, LR = (256, 256), 4, 1e-3

race = Race()
set_determinism(race.given.seed)


def items(split):
    return [{"image": str(image), "mask": str(mask)} for image, mask in race.pairs(split)]


def prepared(*keys):
    return [
        LoadImaged(keys, reader=PILReader(reverse_indexing=False)),
        EnsureChannelFirstd(keys),
        ScaleIntensityd(keys),
        Resized(keys, SIZE, mode=["area", "nearest"][: len(keys)]),
    ]


turned = RandRotate90d(("image", "mask"), prob=0.5, spatial_axes=(0, 1))
train = DataLoader(
    CacheDataset(
        items("train"),
        Compose([*prepared("image", "mask"), turned]),
        num_workers=race.workers,
        progress=False,
    ),
    batch_size=BATCH,
    shuffle=True,
    num_workers=race.workers,
)
validation = DataLoader(
    CacheDataset(
        items("validation"),
        Compose(prepared("image", "mask")),
        num_workers=race.workers,
        progress=False,
    ),
    batch_size=BATCH,
    num_workers=race.workers,
)
model = BasicUNet(spatial_dims=2, in_channels=3, out_channels=1)
loss_of = DiceLoss(sigmoid=True)
optimizer = torch.optim.Adam(model.parameters(), LR)
metric = DiceMetric()
discrete = Compose([Activations(sigmoid=True), AsDiscrete(threshold=0.5)])

going, epoch = True, 0
while going:
    model.train()
    for batch in train:
        optimizer.zero_grad()
        loss = loss_of(model(batch["image"]), batch["mask"])
        loss.backward()
        optimizer.step()
        if not (going := race.goes_on(model, len(batch["image"]))):
            break
    epoch += 1
    if going and epoch % 2 == 0:
        model.eval()
        with torch.no_grad():
            for batch in validation:
                found = [discrete(one) for one in decollate_batch(model(batch["image"]))]
                metric(y_pred=found, y=batch["mask"])
            metric.aggregate()
            metric.reset()

one = Compose(prepared("image"))
race.end(
    model,
    lambda path: one({"image": str(path)})["image"].as_tensor(),
    lambda images: model(images).sigmoid(),
)
