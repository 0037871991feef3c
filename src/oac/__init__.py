"""Object-aware cropping for self-supervised learning: the study of Mishra et al. (TMLR 2022), rebuilt."""

__version__ = "0.2.0"
