"""One number for each stage, a parameter of the stage's rules.

Raise a stage's number when its code comes to mean something else, so that finished files are made again and none is
served stale. `tests/test_versions.py` fails when the code of a stage changed and its number may have to follow.
"""

STORE = 3
"""The image store and the tables of the data stage."""

PROPOSALS = 3
"""The proposals, BING's training included. Part of the recipe of each run that crops around BING's boxes."""

PRETRAIN = 3
"""Pretraining. Part of every recipe, so a new number trains all runs again."""

PROBE = 4
"""Feature extraction, the linear probe and its metrics."""

REPORT = 9
"""Tables and figures."""
