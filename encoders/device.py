"""Where models run, and on how many threads."""

from __future__ import annotations

import math
import os
from functools import cache
from pathlib import Path

import torch

from domain.errors import RejectedError
from domain.setting_groups import EncoderSettings
from encoders.lanes import Lanes

MAX_LANES = 8
"""Most lanes of a processor: between torch's operations they share Python's lock."""

_CPU_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def choose_device(wanted: str) -> torch.device:
    """The device of a setting: auto takes cuda, else mps, else cpu.

    Raises:
        RejectedError: a device that is forced is absent.
    """
    present = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, there in present.items() if there))
    if not present[wanted]:
        raise RejectedError(
            f"{wanted} is not available to torch {torch.__version__} on this machine",
            field="FIRSTLIGHT_ENCODER_DEVICE",
            remedy="unset it, or install a torch build and driver that have it",
        )
    return torch.device(wanted)


def cpu_threads(settings: EncoderSettings) -> int:
    """Torch threads: the setting, else the cores this process may use.

    A container's quota counts too: torch on 64 visible cores with a quota of 2 crawls.
    """
    if settings.threads is not None:
        return settings.threads
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _quota()))


def start_lanes(device: torch.device, settings: EncoderSettings) -> Lanes:
    """The lanes that run models on the device: one on a GPU, on a processor one per thread.

    The calling thread, which loads and probes the models, computes on as many threads as a lane.
    """
    threads = cpu_threads(settings)
    lanes = min(threads, MAX_LANES) if device.type == "cpu" else 1
    torch.set_num_threads(max(1, threads // lanes))
    return Lanes(str(device), lanes=lanes, threads=threads, set_threads=torch.set_num_threads)


def _quota() -> int:
    try:
        quota, period = _CPU_QUOTA.read_text().split()
        return max(1, math.ceil(int(quota) / int(period)))
    except (OSError, ValueError):
        return 1 << 16


@cache
def processor_name() -> str:
    """The CPU's model and the vector extensions that decide which precision is fast."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        import platform

        return f"{platform.machine()} {platform.processor()}"
    seen: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        seen.setdefault(name.strip(), value.strip())
    flags = seen.get("flags", "").split()
    fast = [one for one in flags if one.startswith(("amx", "avx512_bf16", "avx512_fp16"))]
    return " ".join([seen.get("model name", "cpu"), *fast])
