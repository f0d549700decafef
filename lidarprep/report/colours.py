"""Colours that people with colour-blindness can tell apart, for pictures and, alike, for the viewer of the page.

Figures are drawn in viridis (Smith and van der Walt, 2015; public domain, CC0), kinds in the palette of Okabe and Ito,
"Color Universal Design", 2008.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Colouring = Literal["frame", "height", "intensity", "device", "time", "depth", "fate"]

# (256, 3) uint8, dark to bright.
_VIRIDIS = """
44015444025645045745055946075a46085c460a5d460b5e470d60470e61471063471164471365481467481668481769
48186a481a6c481b6d481c6e481d6f481f70482071482173482374482475482576482677482878482979472a7a472c7a
472d7b472e7c472f7d46307e46327e46337f463480453581453781453882443983443a83443b84433d84433e85423f85
4240864241864142874144874045884046883f47883f48893e49893e4a893e4c8a3d4d8a3d4e8a3c4f8a3c508b3b518b
3b528b3a538b3a548c39558c39568c38588c38598c375a8c375b8d365c8d365d8d355e8d355f8d34608d34618d33628d
33638d32648e32658e31668e31678e31688e30698e306a8e2f6b8e2f6c8e2e6d8e2e6e8e2e6f8e2d708e2d718e2c718e
2c728e2c738e2b748e2b758e2a768e2a778e2a788e29798e297a8e297b8e287c8e287d8e277e8e277f8e27808e26818e
26828e26828e25838e25848e25858e24868e24878e23888e23898e238a8d228b8d228c8d228d8d218e8d218f8d21908d
21918c20928c20928c20938c1f948c1f958b1f968b1f978b1f988b1f998a1f9a8a1e9b8a1e9c891e9d891f9e891f9f88
1fa0881fa1881fa1871fa28720a38620a48621a58521a68522a78522a88423a98324aa8325ab8225ac8226ad8127ad81
28ae8029af7f2ab07f2cb17e2db27d2eb37c2fb47c31b57b32b67a34b67935b77937b87838b9773aba763bbb753dbc74
3fbc7340bd7242be7144bf7046c06f48c16e4ac16d4cc26c4ec36b50c46a52c56954c56856c66758c7655ac8645cc863
5ec96260ca6063cb5f65cb5e67cc5c69cd5b6ccd5a6ece5870cf5773d05675d05477d1537ad1517cd2507fd34e81d34d
84d44b86d54989d5488bd6468ed64590d74393d74195d84098d83e9bd93c9dd93ba0da39a2da37a5db36a8db34aadc32
addc30b0dd2fb2dd2db5de2bb8de29bade28bddf26c0df25c2df23c5e021c8e020cae11fcde11dd0e11cd2e21bd5e21a
d8e219dae319dde318dfe318e2e418e5e419e7e419eae51aece51befe51cf1e51df4e61ef6e620f8e621fbe723fde725
"""
VIRIDIS: NDArray[np.uint8] = np.frombuffer(bytes.fromhex(_VIRIDIS), dtype=np.uint8).reshape(256, 3)

# (8, 3) uint8: orange, sky blue, bluish green, yellow, blue, vermilion, reddish purple, light grey. Okabe and Ito's
# black is grey here, since points are drawn on a dark ground.
OKABE_ITO: NDArray[np.uint8] = np.frombuffer(
    bytes.fromhex("e69f00 56b4e9 009e73 f0e442 0072b2 d55e00 cc79a7 bbbbbb"), dtype=np.uint8
).reshape(8, 3)

# (6, 3) uint8, by `Fate`: what is kept is bright, what is dropped a darker grey or brown by its reason.
FATES: NDArray[np.uint8] = np.frombuffer(
    bytes.fromhex("56b4e9 6b6b6b 8a6d4b 4f6b5c 7d5a7d ff0000"), dtype=np.uint8
).reshape(6, 3)


def by_value(values: NDArray[Any], lowest: float, highest: float) -> NDArray[np.uint8]:
    """Colour figures.

    Args:
        values: (N,) numbers; what is no number gets the darkest colour.
        lowest, highest: What gets the darkest and the brightest colour.

    Returns:
        (N, 3) uint8 red, green, blue.
    """
    span = max(float(highest) - float(lowest), 1e-12)
    with np.errstate(invalid="ignore", over="ignore"):
        shares = (values.astype(np.float32) - np.float32(lowest)) * np.float32(255.0 / span)
        # fmax takes the other number for NaN.
        np.fmin(np.fmax(shares, np.float32(0), out=shares), np.float32(255), out=shares)
    colours: NDArray[np.uint8] = VIRIDIS.take(shares.astype(np.uint8), axis=0)
    return colours


def by_kind(numbers: NDArray[np.integer[Any]]) -> NDArray[np.uint8]:
    """Colour kinds, (N,) whole numbers from 0: (N, 3) uint8; beyond eight the colours come again."""
    colours: NDArray[np.uint8] = OKABE_ITO[numbers % len(OKABE_ITO)]
    return colours


def of_frame(row: int, frames: int) -> NDArray[np.uint8]:
    """Return the colour (3,) uint8 of one of some frames that are drawn together, by its row.

    Few frames get colours far apart; more run from dark to bright in time order.
    """
    if frames <= len(OKABE_ITO):
        colour: NDArray[np.uint8] = OKABE_ITO[row]
        return colour
    colour = VIRIDIS[40 + round(215 * row / (frames - 1))]
    return colour
