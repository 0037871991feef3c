"""Stage 2: photos become ranked boxes that may hold objects.

    from oac.proposals import Bing
    boxes, scores = Bing.load().propose(image, 10)  # image: uint8 RGB (H, W, 3)

imports without torch, in a tenth of a second. From the shell: python -m oac.proposals PHOTOS... --out boxes.csv
"""

from oac.proposals.bing import Bing

__all__ = ["Bing"]
