"""Synthetic dermoscopy images with exact lesion masks, in the ISIC 2018 Task 1 layout.

Skin and lesion are painted in optical density (melanin and blood absorb per colour channel), then
hairs, fluid, rulers and the camera are laid over them. The mask is the region that the lesion was
painted with, whatever covers it afterwards. `python -m lesion.synthetic --help` tells the options.

Imports pipeline, photos, console.
"""

from lesion.synthetic.archives import write_archives
from lesion.synthetic.image import lesion_image

__all__ = ["lesion_image", "write_archives"]
