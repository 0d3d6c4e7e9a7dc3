import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from domain.errors import RejectedError
from domain.setting_groups import EncoderSettings
from encoders import device as devices
from encoders import precision
from encoders.device import choose_device, cpu_threads
from encoders.precision import Network, Precision, settle

CPU = torch.device("cpu")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.weight = nn.Parameter(torch.randn(16, 16))


def core_with(
    seconds: dict[str, float], errors: dict[str, float], runs: Counter[str] | None = None
) -> Any:
    """A model whose speed and accuracy in each precision are what the test says."""

    def core(network: Network, payloads: list[np.ndarray]) -> np.ndarray:
        label = network.precision.label
        if runs is not None:
            runs[label] += 1
        time.sleep(seconds[label])
        rows = torch.from_numpy(np.stack(payloads))
        found = (rows @ network.module.weight.float()).numpy()
        return found + errors.get(label, 0.0) * np.roll(found, 1, axis=1)

    return core


def settled(
    seconds: dict[str, float],
    errors: dict[str, float],
    wanted: str = "auto",
    folder: Path | None = None,
    runs: Counter[str] | None = None,
) -> Network:
    payloads = [[np.random.default_rng(at).normal(size=16).astype(np.float32)] for at in range(3)]
    network = Network(Model(), CPU)
    core = core_with(seconds, errors, runs)
    return settle(network, core, payloads, wanted, name="test", key="k", folder=folder)


FASTER = {"float32": 0.02, "bfloat16 cast": 0.005, "bfloat16 autocast": 0.01}


def test_the_fastest_precision_that_is_as_good_is_taken() -> None:
    chosen = settled(FASTER, {})
    assert chosen.precision.label == "bfloat16 cast"
    assert chosen.module.weight.dtype == torch.bfloat16
    assert 2 < chosen.precision.speedup < 8
    assert chosen.precision.cosine > 0.999


def test_a_precision_whose_vectors_stray_is_not_taken_however_fast() -> None:
    assert settled(FASTER, {"bfloat16 cast": 0.2}).precision.label == "bfloat16 autocast"
    both = {"bfloat16 cast": 0.2, "bfloat16 autocast": 0.2}
    chosen = settled(FASTER, both)
    assert chosen.precision == Precision()
    assert chosen.module.weight.dtype == torch.float32


def test_vectors_that_are_not_finite_are_not_taken() -> None:
    strays = {"bfloat16 cast": float("nan"), "bfloat16 autocast": float("inf")}
    assert settled(FASTER, strays).precision == Precision()


def test_float32_stays_where_nothing_is_faster() -> None:
    slower = {"float32": 0.005, "bfloat16 cast": 0.012, "bfloat16 autocast": 0.012}
    chosen = settled(slower, {})
    assert chosen.precision == Precision()
    assert torch.equal(chosen.module.weight, Model().weight), (
        "bit for bit the model that was loaded"
    )


def test_the_choice_is_kept_on_disk_and_the_second_start_measures_nothing(tmp_path: Path) -> None:
    first = settled(FASTER, {}, folder=tmp_path)
    runs: Counter[str] = Counter()
    second = settled(FASTER, {}, folder=tmp_path, runs=runs)
    assert not runs
    assert second.precision == first.precision
    assert second.module.weight.dtype == torch.bfloat16
    for path in tmp_path.iterdir():
        path.write_text("damaged")
    assert settled(FASTER, {}, folder=tmp_path).precision.label == "bfloat16 cast"


def test_what_was_kept_on_another_machine_is_measured_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settled(FASTER, {}, folder=tmp_path)
    monkeypatch.setattr(precision, "processor_name", lambda: "another processor")
    slower = {"float32": 0.005, "bfloat16 cast": 0.012, "bfloat16 autocast": 0.012}
    assert settled(slower, {}, folder=tmp_path).precision == Precision()


@pytest.mark.parametrize("wanted", ["bfloat16", "float16"])
def test_a_forced_precision_is_used_and_measured_whatever_its_speed(wanted: str) -> None:
    seconds = {"float32": 0.001, "bfloat16 cast": 0.005, "float16 cast": 0.005}
    chosen = settled(seconds, {}, wanted)
    assert chosen.precision.dtype == wanted
    assert chosen.precision.speedup < 1
    assert chosen.module.weight.dtype == getattr(torch, wanted)
    assert settled({"float32": 0.0}, {}, "float32").precision == Precision()


def test_an_emulated_precision_a_hundred_times_slower_is_found_out_in_one_run() -> None:
    runs: Counter[str] = Counter()
    seconds = {"float32": 0.01, "bfloat16 cast": 1.0, "bfloat16 autocast": 1.0}
    assert settled(seconds, {}, runs=runs).precision == Precision()
    assert runs["bfloat16 cast"] == runs["bfloat16 autocast"] == 1


def test_however_slow_the_machine_every_precision_is_tried_and_the_choice_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(precision, "_ROUNDS_S", 0.0)
    strays = {"bfloat16 cast": 0.2}
    assert settled(FASTER, strays, folder=tmp_path).precision.label == "bfloat16 autocast"
    runs: Counter[str] = Counter()
    kept = settled(FASTER, strays, folder=tmp_path, runs=runs)
    assert kept.precision.label == "bfloat16 autocast"
    assert not runs


def test_the_probe_asks_for_more_than_is_promised_since_it_sees_few_inputs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    strays = {"bfloat16 cast": 0.04, "bfloat16 autocast": 0.2}
    assert settled(FASTER, strays).precision == Precision()
    monkeypatch.setattr(precision, "PROBE_COSINE", precision.MIN_COSINE)
    assert settled(FASTER, strays).precision.label == "bfloat16 cast"


def test_of_several_processes_that_start_at_once_one_measures(tmp_path: Path) -> None:
    counts: list[Counter[str]] = [Counter() for _ in range(4)]

    def start(runs: Counter[str]) -> Precision:
        return settled(FASTER, {}, folder=tmp_path, runs=runs).precision

    with ThreadPoolExecutor(len(counts)) as threads:
        chosen = set(threads.map(start, counts))
    assert len(chosen) == 1
    assert sum(bool(runs) for runs in counts) == 1


def test_autocast_computes_in_half_precision_and_answers_in_float32() -> None:
    network = Network(nn.Linear(4, 4), CPU, Precision("bfloat16", autocast=True))
    kinds = []

    def forward(module: Any) -> torch.Tensor:
        found: torch.Tensor = module(torch.ones(2, 4))
        kinds.append(found.dtype)
        return found

    assert network.run(forward).dtype == np.float32
    assert kinds == [torch.bfloat16]
    assert network.dtype == torch.float32


@pytest.mark.parametrize("wanted", ["cuda", "mps"])
def test_a_forced_device_that_is_absent_is_refused_by_name(
    wanted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(RejectedError, match="FIRSTLIGHT_ENCODER_DEVICE"):
        choose_device(wanted)
    assert choose_device("auto") == CPU
    assert choose_device("cpu") == CPU
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert choose_device("auto") == torch.device("cuda")
    assert choose_device("cpu") == CPU


def test_threads_are_the_setting_or_the_cores_and_quota_of_this_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    quota = tmp_path / "cpu.max"
    monkeypatch.setattr(devices, "_CPU_QUOTA", quota)
    monkeypatch.setattr(devices.os, "sched_getaffinity", lambda pid: set(range(16)))
    assert cpu_threads(EncoderSettings.model_validate({"threads": 3})) == 3
    assert cpu_threads(EncoderSettings()) == 16
    quota.write_text("250000 100000\n")
    assert cpu_threads(EncoderSettings()) == 3
    quota.write_text("max 100000\n")
    assert cpu_threads(EncoderSettings()) == 16
