"""The proposals stage: photos become ranked boxes that may hold objects."""

VERSION = 2
"""Raise this when the same photos and options get other boxes: the workflow then proposes again."""
