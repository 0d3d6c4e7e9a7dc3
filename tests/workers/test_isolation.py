"""One task at a time, where it must be."""

import threading
import time

import pytest

from domain.errors import RetryableError
from workers.isolation import Isolation


def test_tasks_in_company_run_beside_each_other() -> None:
    isolation = Isolation()
    both = threading.Barrier(2, timeout=5)

    def task() -> None:
        with isolation.together():
            both.wait()

    threads = [threading.Thread(target=task) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=5)
    assert not any(thread.is_alive() for thread in threads)


def test_nothing_runs_beside_a_loner() -> None:
    isolation = Isolation()
    running = 0
    most_beside_loner = 0
    lock = threading.Lock()

    def company() -> None:
        nonlocal running
        with isolation.together():
            with lock:
                running += 1
            time.sleep(0.002)
            with lock:
                running -= 1

    def loner() -> None:
        nonlocal most_beside_loner
        with isolation.alone():
            for _ in range(5):
                most_beside_loner = max(most_beside_loner, running)
                time.sleep(0.001)

    threads = [threading.Thread(target=loner if n % 5 == 0 else company) for n in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert not any(thread.is_alive() for thread in threads)
    assert most_beside_loner == 0


def test_a_waiting_loner_goes_before_later_company() -> None:
    isolation = Isolation()
    order: list[str] = []
    started = threading.Event()

    def loner() -> None:
        started.set()
        with isolation.alone():
            order.append("loner")

    def company() -> None:
        with isolation.together():
            order.append("company")

    first = threading.Thread(target=loner)
    second = threading.Thread(target=company)
    with isolation.together():
        first.start()
        started.wait(5)
        time.sleep(0.05)
        second.start()
        time.sleep(0.05)
    first.join(5)
    second.join(5)
    assert order == ["loner", "company"]


def test_no_wait_is_without_end() -> None:
    isolation = Isolation(wait_s=0.05)
    with isolation.together():
        with pytest.raises(RetryableError), isolation.alone():
            pass
        with isolation.together():
            pass
    with isolation.alone(), pytest.raises(RetryableError), isolation.together():
        pass
