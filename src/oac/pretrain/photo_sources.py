"""Where the pixels of a run come from, chosen by the size of its photos and said in the log."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pandas as pd
import torch
from torchvision.io import decode_jpeg, encode_jpeg

from oac import gpus
from oac.pretrain.device_photos import DevicePhotos
from oac.pretrain.host_photos import HostPhotos
from oac.pretrain.jpeg_photos import JpegPhotos

DEVICE_SHARE = (
    0.4  # of a run's share of the device's memory that decoded photos may take; the rest is for the network
)
HOST_SHARE = 0.5  # of the host's memory that JPEG files may fill as the system's file cache


def open_photos(
    folder: str | Path, images: pd.DataFrame, device: torch.device, *, threads: int = 1, reduced: bool = False
) -> DevicePhotos | JpegPhotos | HostPhotos:
    """Open the training photos under a store's folder for a run on `device`, and say in the log how.

    On a GPU: decoded in its memory where they fit; else as JPEG files that it decodes a batch at a time, where they
    fit into the host's memory and nvJPEG is there; else decoded by worker processes, as on a CPU.

    images: image_id, width and height. threads: for decoding at the start. reduced: whether
    a host may decode photos smaller than they are (see `HostPhotos`).
    """
    if device.type != "cuda":
        return HostPhotos(folder, images, reduced=reduced)
    photos = HostPhotos(folder, images, resident_gib=0, reduced=reduced)
    # Of the whole memory, so that the runs that share a GPU have equal parts in whatever order they start; others'
    # work on it is left its room too.
    free, whole = torch.cuda.mem_get_info(device)
    needed, room = DevicePhotos.bytes_needed(photos), DEVICE_SHARE * min(free, whole / gpus.runs_per_gpu())
    if needed <= room:
        _say(f"decoded in the GPU's memory: {_gib(needed)} of the {_gib(room)} they may take")
        return DevicePhotos(photos, device, threads)
    decoded = f"decoded they take {_gib(needed)} and may take {_gib(room)} of the GPU"
    files = sum(path.stat().st_size for path in Path(folder).glob("train/*.tar"))
    room = HOST_SHARE * os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    if files > room:
        reason = f"as JPEG files they take {_gib(files)} and may take {_gib(room)} of the host"
    elif not decodes_jpeg(device):
        reason = "this torchvision has no nvJPEG"
    else:
        _say(f"JPEG files of {_gib(files)}, decoded on the GPU a batch at a time: {decoded}")
        return JpegPhotos(folder, images, device)
    _say(f"decoded by {threads} worker processes: {decoded}, and {reason}")
    return photos


def decodes_jpeg(device: torch.device) -> bool:
    """Whether torchvision decodes JPEG files on a device."""
    try:
        decode_jpeg([encode_jpeg(torch.zeros(3, 16, 16, dtype=torch.uint8))], device=device)
    except RuntimeError:
        return False
    return True


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"


def _say(text: str) -> None:
    print(f"photos: {text}", file=sys.stderr)
