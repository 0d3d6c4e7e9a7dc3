"""Half precision where it is faster and as good: a probe at load, per encoder, kept on disk."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import nn

from domain.locks import alone
from domain.log import logger
from domain.vectors import Matrix
from encoders.device import processor_name

log = logger(__name__)

MIN_COSINE = 0.999
"""What is promised: vectors of a half precision are this close to float32."""

PROBE_COSINE = 1 - (1 - MIN_COSINE) / 2
"""What the worst of the probe's few inputs must reach, for real inputs stray further: the starter's
image tower under autocast has .9991 on the probe and .9985 on the worst of 40 pictures."""

MIN_SPEEDUP = 1.1
"""Below this a half precision is not worth having: timing is that noisy on a shared machine."""

_ROUNDS = 8
_ROUNDS_S = 2.0
"""Time for the rounds in which precisions are timed beside each other; one is always made."""

_HOPELESS = 2.0
"""A candidate this many times slower than float32 on one small input is not measured further."""

_FIRST_RUN_S = 0.5
"""What a first run may take for itself: kernels are made then, on a machine that may be busy."""


Dtype: TypeAlias = Literal["float32", "bfloat16", "float16"]


@dataclass(frozen=True, slots=True)
class Precision:
    """How a model computes, with what the probe found (1.0 where nothing was measured).

    Attributes:
        dtype: float32, bfloat16 or float16.
        autocast: the module stays float32 and torch casts per operation; else it is cast.
        speedup: float32's time over this one's.
        cosine: least cosine to float32's vectors.
    """

    dtype: Dtype = "float32"
    autocast: bool = False
    speedup: float = 1.0
    cosine: float = 1.0

    @property
    def label(self) -> str:
        """For reports: "bfloat16 cast"."""
        return self.dtype + (
            "" if self.dtype == "float32" else " autocast" if self.autocast else " cast"
        )


class Network:
    """A torch module on its device, in its precision."""

    def __init__(
        self, module: nn.Module, device: torch.device, precision: Precision | None = None
    ) -> None:
        self.precision = precision or Precision()
        self.device = device
        self.half: torch.dtype = getattr(torch, self.precision.dtype)
        self.dtype = torch.float32 if self.precision.autocast else self.half
        """What floating-point inputs must have."""
        self.module = module.to(device=device, dtype=self.dtype).eval().requires_grad_(False)

    def run(self, forward: Callable[[Any], torch.Tensor]) -> Matrix:
        """forward(module) -> tensor [n, dim]; returned as float32 on the host."""
        cast = (
            torch.autocast(self.device.type, dtype=self.half)
            if self.precision.autocast
            else contextlib.nullcontext()
        )
        with torch.inference_mode(), cast:
            found: Matrix = forward(self.module).float().cpu().numpy()
        return found


Core = Callable[[Network, list[Any]], Matrix]


def settle(
    network: Network,
    core: Core,
    payloads: Sequence[list[Any]],
    wanted: str,
    *,
    name: str,
    key: str,
    folder: Path | None,
) -> Network:
    """The network in the precision that is wanted, or that the probe finds best.

    Args:
        network: in float32.
        core: runs a network on payloads -> [n, dim] float32.
        payloads: batches of the probe.
        wanted: auto, float32, bfloat16 or float16.
        name: of the encoder, for the log.
        key: what the result depends on beside the machine: the encoder's fingerprint.
        folder: where results are kept, so that the second start is quick; None keeps none.
    """
    if wanted == "float32":
        return network
    if wanted != "auto":
        forced = _cast(network, Precision(wanted))  # type: ignore[arg-type]
        small = [payloads[0][:1]]
        cosine = _cosine(_vectors(network, core, small), _vectors(forced, core, small))
        forced.precision = replace(forced.precision, cosine=cosine)
        (forced.precision,) = _timed(network, [forced], core, small)
        return forced
    kept = _Kept(folder, key, network.device)
    best = kept.read()
    if best is None:
        with kept.alone():
            best = kept.read()
            if best is None:
                best = _probe(network, core, payloads, name)
                kept.write(best)
    return network if best.dtype == "float32" else _cast(network, best)


def _probe(network: Network, core: Core, payloads: Sequence[list[Any]], name: str) -> Precision:
    """Try every half precision; the fastest of those that are as good as float32, or float32."""
    started = time.perf_counter()
    small = [payloads[0][:1]]
    small_s = min(_run_s(network, core, small) for _ in range(3))
    reference = _vectors(network, core, payloads)
    as_good: list[Network] = []
    tried: list[str] = []
    for precision in _candidates(network.device):
        cast = _cast(network, precision)
        try:
            if not _promises(cast, core, small, small_s):
                tried.append(f"{precision.label} more than {_HOPELESS:g} times slower")
                continue
            cosine = _cosine(reference, _vectors(cast, core, payloads))
        except (RuntimeError, NotImplementedError) as error:
            tried.append(f"{precision.label} unsupported: {error}")
            continue
        if cosine >= PROBE_COSINE:
            cast.precision = replace(precision, cosine=cosine)
            as_good.append(cast)
        else:
            tried.append(f"{precision.label} cos {cosine:.5f}")
    best = Precision()
    for precision in _timed(network, as_good, core, payloads):
        tried.append(f"{precision.label} x{precision.speedup:.2f} cos {precision.cosine:.5f}")
        if precision.speedup >= max(MIN_SPEEDUP, best.speedup):
            best = precision
    log.info(
        "precision chosen",
        encoder=name,
        precision=best.label,
        speedup=round(best.speedup, 2),
        cosine=round(best.cosine, 5),
        tried=tried,
        probe_s=round(time.perf_counter() - started, 2),
    )
    return best


def _candidates(device: torch.device) -> list[Precision]:
    kinds: list[Dtype] = ["bfloat16"] if device.type == "cpu" else ["float16", "bfloat16"]
    return [Precision(dtype, autocast) for dtype in kinds for autocast in (False, True)]


def _promises(cast: Network, core: Core, small: Sequence[list[Any]], small_s: float) -> bool:
    """Whether one small input is not hopelessly slower than in float32.

    A processor without instructions for a half precision emulates it, up to a hundred times
    slower: that must not take a minute to find out.
    """
    best_s = math.inf
    for _ in range(3):
        taken_s = _run_s(cast, core, small)
        best_s = min(best_s, taken_s)
        if best_s <= _HOPELESS * small_s:
            return True
        if taken_s > 10 * small_s + _FIRST_RUN_S:
            return False
    return False


def _cast(network: Network, precision: Precision) -> Network:
    module = network.module if precision.autocast else copy.deepcopy(network.module)
    return Network(module, network.device, precision)


def _timed(
    network: Network, casts: Sequence[Network], core: Core, payloads: Sequence[list[Any]]
) -> list[Precision]:
    """The precisions of the cast networks with their speed-ups over `network`.

    Runs alternate and the fastest of each counts: what other processes take from this one then
    falls on all of them, or on none.
    """
    several = [network, *casts]
    best_s = [math.inf] * len(several)
    started = time.perf_counter()
    for _ in range(_ROUNDS if casts else 0):
        for at, one in enumerate(several):
            best_s[at] = min(best_s[at], _run_s(one, core, payloads))
        if time.perf_counter() - started > _ROUNDS_S:
            break
    return [
        replace(cast.precision, speedup=best_s[0] / cast_s)
        for cast, cast_s in zip(casts, best_s[1:], strict=True)
    ]


def _vectors(network: Network, core: Core, payloads: Sequence[list[Any]]) -> Matrix:
    return np.concatenate([core(network, one) for one in payloads])


def _run_s(network: Network, core: Core, payloads: Sequence[list[Any]]) -> float:
    started = time.perf_counter()
    for one in payloads:
        core(network, one)
    return time.perf_counter() - started


def _cosine(left: Matrix, right: Matrix) -> float:
    if not np.isfinite(right).all():
        return -1.0
    products = np.einsum("nd,nd->n", left, right, dtype=np.float64)
    norms = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    return float((products / np.maximum(norms, 1e-30)).min())


class _Kept:
    """The probe's result on disk, by encoder, processor, torch, thread count and bound."""

    def __init__(self, folder: Path | None, key: str, device: torch.device) -> None:
        machine = (
            processor_name()
            if device.type == "cpu"
            else (torch.cuda.get_device_name() if device.type == "cuda" else device.type)
        )
        parts = [key, machine, torch.__version__, str(torch.get_num_threads()), device.type]
        parts.append(str(PROBE_COSINE))
        digest = hashlib.sha256("\x00".join(parts).encode()).hexdigest()[:24]
        self._path = None if folder is None else folder / f"{digest}.json"

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """While one process measures, the others wait for what it finds; together they would only
        measure each other."""
        if self._path is None:
            yield
            return
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with alone(self._path.with_name("probe.lock")):
            yield

    def read(self) -> Precision | None:
        if self._path is None:
            return None
        try:
            found = Precision(**json.loads(self._path.read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if found.dtype in ("float32", "bfloat16", "float16") else None

    def write(self, precision: Precision) -> None:
        if self._path is None:
            return
        draft = self._path.with_suffix(f".{time.monotonic_ns()}")
        draft.write_text(json.dumps(asdict(precision)))
        draft.replace(self._path)
