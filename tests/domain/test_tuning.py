"""What a process that serves does to numpy's threads and to the allocator."""

from __future__ import annotations

import subprocess
import sys

import pytest

BLAS = """
import numpy, threadpoolctl
from domain.tuning import on_all_cores, tune_for_serving

def threads():
    found = threadpoolctl.threadpool_info()
    return {one["num_threads"] for one in found if one["user_api"] == "blas"}

@on_all_cores()
def learn():
    return threads()

before = threads()
assert learn() == before, learn()  # a process that does not serve keeps what it was given
tune_for_serving()
tune_for_serving()
assert threads() == {1}, threads()
assert learn() == before, learn()
assert threads() == {1}, threads()
first, second = on_all_cores(), on_all_cores()
first.__enter__()
second.__enter__()
first.__exit__(None, None, None)
assert threads() == before, "another one still learns"
second.__exit__(None, None, None)
assert threads() == {1}, threads()
"""

PAGES = """
import resource, numpy
from domain.tuning import tune_for_serving

def activations():
    return [numpy.full(5 * 2**20, 1.0, dtype=numpy.float32) for _ in range(4)]

tune_for_serving()
activations()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    activations()
found = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
assert found < 1000, f"{found} pages were cleared again"
"""


def run(code: str) -> None:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_small_products_take_one_thread_and_learning_takes_all() -> None:
    run(BLAS)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator is on Linux")
def test_the_memory_of_one_batch_serves_the_next_without_new_pages() -> None:
    run(PAGES)
