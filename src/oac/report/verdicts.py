"""Does object-aware cropping win? The numbers of many runs as sentences."""

from __future__ import annotations

import pandas as pd

from oac.report.formats import half_width, points
from oac.report.headline import headline
from oac.report.statistics import Interval, intervals_overlap, t_interval, welch_interval
from oac.report.tables import METHOD_NAMES, check_comparable, line_name, lines_of, percent


def verdicts(runs: pd.DataFrame) -> list[str]:
    """One sentence for each object-dilate line against its method's scene-scene lines and against no training.

    Lines are compared that saw as many images.

    A method without such lines (CMC, supervised) has its others against no training, from three seeds on. "above" and
    "below" mean that the two 95 % t-intervals over seeds do not overlap; otherwise the two are not separated. Below
    three seeds there is no verdict.
    """
    check_comparable(runs)
    untrained = [(line, "random initialisation") for line in lines_of(runs[runs.method == "random"])]
    sentences = []
    for method in sorted(set(runs.method) - {"random"}, key=_place):
        own = runs[runs.method == method]
        dilated, scenes = (lines_of(own[own.policy == policy]) for policy in ("object-dilate", "scene-scene"))
        if not dilated:
            dilated, scenes = [line for line in lines_of(own) if len(line) >= 3 and method != "moco_v2"], []
        for line in dilated:
            # Only lines that saw as many images compare.
            fair = [scene for scene in scenes if scene.images_seen.max() == line.images_seen.max()]
            baselines = [*((scene, _of_method(scene)) for scene in fair), *untrained]
            sentences += [_verdict(line, _of_method(line), *baseline) for baseline in baselines]
    return sentences


def _place(method: str) -> tuple[bool, int]:
    """Sort key of a method in the verdicts: MoCo-v2, which the claim is about, before the others."""
    return method != "moco_v2", [*METHOD_NAMES, method].index(method)


def _of_method(line: pd.DataFrame) -> str:
    """A crop line in words, with its method where that is not MoCo-v2."""
    method = line.method.iloc[0]
    return line_name(line) if method == "moco_v2" else f"{METHOD_NAMES.get(method, method)}, {line_name(line)}"


def _verdict(first: pd.DataFrame, first_name: str, second: pd.DataFrame, second_name: str) -> str:
    """One sentence with the numbers of both lines and their difference."""
    a, b = t_interval(percent(first)), t_interval(percent(second))
    numbers = f"{_in_words(a)} (n = {len(first)}) against {_in_words(b)} (n = {len(second)}) {headline(first).name}"
    if a.half_width is None or b.half_width is None:
        return f"No verdict on {first_name} against {second_name}, fewer than 3 seeds: {numbers}."
    difference = welch_interval(percent(first), percent(second))
    numbers += f", difference {points(difference.mean, signed=True)} {half_width(difference.half_width)}"
    if intervals_overlap(a, b):
        return f"{first_name} is not separated from {second_name}, the 95 % intervals overlap: {numbers}."
    side = "above" if a.mean > b.mean else "below"
    return f"{first_name} is {side} {second_name} with non-overlapping 95 % intervals: {numbers}."


def _in_words(interval: Interval) -> str:
    shown = points(interval.mean)
    return shown if interval.half_width is None else f"{shown} {half_width(interval.half_width)}"
