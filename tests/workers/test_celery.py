"""The Celery app as operators meet it."""

import subprocess
import sys
from types import SimpleNamespace
from typing import Any
from unittest.mock import Mock

import pytest
from celery.exceptions import Reject
from structlog.testing import capture_logs

from domain.errors import RejectedError
from domain.limits import Limits
from domain.settings import LANES, load_settings
from tests.fixtures.valkey import ROOT
from workers import process, tasks
from workers.celery import configuration, create_app
from workers.main import checked_lanes
from workers.process import refuse_prefork, refuse_unknown
from workers.queues import CONTROL


def test_a_broker_of_a_kind_that_is_not_there_is_refused_by_its_setting() -> None:
    for url in ("nonsense://host", "sqs://"):
        with pytest.raises(RejectedError, match="FIRSTLIGHT_BROKER_URL") as caught:
            create_app(load_settings(broker={"url": url}))
        assert "redis://host:port/0" in caught.value.remedy


def test_a_message_is_acknowledged_when_its_work_is_done_and_nothing_is_unpickled() -> None:
    conf = configuration(load_settings())
    assert conf["task_acks_late"]
    assert conf["task_reject_on_worker_lost"]
    assert conf["worker_prefetch_multiplier"] == 1
    assert conf["accept_content"] == ["json"]
    assert conf["result_backend"] is None
    assert conf["worker_pool"] == "threads"
    assert conf["broker_transport_options"]["unacked_restore_interval"] == 1
    assert conf["broker_transport_options"]["unacked_restore_throttle"] == 1


def test_another_broker_gets_no_options_that_only_redis_knows() -> None:
    conf = configuration(load_settings(broker={"url": "amqp://guest@127.0.0.1//"}))
    assert conf["broker_transport_options"] == {}


def test_every_lane_is_a_queue_and_every_task_is_known() -> None:
    app = create_app(load_settings())
    assert set(app.amqp.queues) == {*LANES, CONTROL}
    app.loader.import_default_modules()
    app.finalize()
    assert {
        "firstlight.index_items",
        "firstlight.publish",
        "firstlight.reconcile",
        "firstlight.fit_fusion",
        "firstlight.reindex",
    } <= set(app.tasks)


def test_long_work_goes_to_the_train_lane() -> None:
    app = create_app(load_settings())
    for task in ("firstlight.fit_fusion", "firstlight.reindex"):
        assert app.amqp.router.route({}, task)["queue"].name == "train"
    assert app.amqp.router.route({}, "firstlight.publish")["queue"].name == CONTROL


def test_what_only_sends_messages_loads_no_model() -> None:
    code = (
        "import workers.celery, workers.publish, workers.tasks, sys; print('torch' in sys.modules)"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert ended.stdout.strip() == "False"


def test_a_worker_that_is_ending_gives_a_message_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "is_ending", lambda: True)
    with pytest.raises(Reject) as given_back:
        tasks.index_items([("a", 1)])
    assert given_back.value.requeue


def test_a_message_of_too_many_pairs_is_refused() -> None:
    with pytest.raises(RejectedError, match="65 pairs in one message, the limit is 64"):
        tasks.index_items([(f"item-{n}", 1) for n in range(65)])


@pytest.mark.parametrize("events", ["notalist", None, 3])
def test_what_is_no_list_of_events_is_logged_once(
    events: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Mock()
    monkeypatch.setattr(tasks, "log", logged)
    tasks.publish(events)
    (call,) = logged.error.mock_calls
    assert call.args == ("event_rejected",)
    (reason,) = call.kwargs["reasons"]
    assert reason.startswith("events: ")
    assert "send a list" in reason


@pytest.mark.parametrize("pairs", [["garbage"], "garbage", None, [["a", "1"]], [None]])
def test_what_is_no_list_of_pairs_is_logged_once(
    pairs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Mock()
    monkeypatch.setattr(tasks, "log", logged)
    tasks.index_items(pairs)
    (call,) = logged.error.mock_calls
    assert call.args == ("message_rejected",)


def test_prefork_with_cuda_is_refused() -> None:
    with pytest.raises(RejectedError, match="threads"):
        refuse_prefork("celery.concurrency.prefork", "cuda")
    refuse_prefork("celery.concurrency.prefork", "cpu")
    refuse_prefork("celery.concurrency.thread", "cuda")


def test_only_lanes_can_be_served() -> None:
    refuse_unknown(["text", CONTROL])
    with pytest.raises(RejectedError, match="-Q: no lane vidoe; use some of text,image"):
        refuse_unknown(["text", "vidoe", CONTROL])
    assert checked_lanes("text, image") == ["text", "image"]
    with pytest.raises(RejectedError, match="no lane vidoe; use some of text,image"):
        checked_lanes("text,vidoe")
    with pytest.raises(RejectedError):
        checked_lanes(" ,")


def test_a_rejected_event_is_logged_with_the_item_and_version_it_speaks_of(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    held = SimpleNamespace(settings=SimpleNamespace(limits=Limits()))
    monkeypatch.setattr(tasks, "runtime", lambda: held)
    events = [
        {"type": "item.created", "data": {"id": "a", "version": 3, "title": ""}},
        {"type": "interaction", "data": {"item": "b"}},
        {"type": "item.updated", "data": {"id": ["no"]}},
        {"type": "user.updated", "data": {"id": "u", "colour": "red"}},
        "no event",
    ]
    with capture_logs() as lines:
        tasks.publish(events)
    assert [line["event"] for line in lines] == ["event_rejected"] * 5
    assert [(line.get("item"), line.get("version")) for line in lines] == [
        ("a", 3),
        ("b", None),
        (None, None),
        (None, None),
        (None, None),
    ]
