"""An encoder: a model in three stages behind its batcher, with an optional embedding cache."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import CancelledError
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from domain.errors import FirstlightError, PermanentError, RetryableError
from domain.setting_groups import EncoderSettings
from domain.vectors import Matrix, Vector
from encoders.batcher import Batcher, Job, Piece
from encoders.cache import EmbeddingCache, cache_key
from encoders.lanes import Lanes

In = TypeVar("In")
In_contra = TypeVar("In_contra", contravariant=True)


class Stages(Protocol[In_contra]):
    """A model as the batcher sees it.

    Attributes:
        model: how the model is called in reports (its source).
        dim: length of its vectors.
        stride: inputs that `pre` takes at once; small where preparing one is slow, so that the
            device starts on the first while the next is prepared.
        network: the torch module in its precision (encoders.precision.Network); None where
            another engine runs the model.
    """

    model: str
    dim: int
    stride: int
    network: Any

    @property
    def budget(self) -> int:
        """Most that one batch may cost (see Piece.cost)."""
        ...

    def pre(self, inputs: Sequence[In_contra]) -> list[list[Piece] | FirstlightError]:
        """Prepare inputs in the caller's thread; an error is that input's outcome."""
        ...

    def core(self, network: Any, payloads: list[Any]) -> Matrix:
        """Payloads of n pieces -> [n, dim] float32, on a lane of the device."""
        ...

    def content(self, value: In_contra) -> bytes:
        """The bytes that decide the vector: the key of the embedding cache."""
        ...

    def probe(self) -> list[list[Any]]:
        """Fixed batches of payloads on which precisions are compared and timed."""
        ...


class Pending:
    """A vector on its way. `result` finishes it (the `post` stage) in the caller's thread."""

    __slots__ = ("_deadline", "_job", "_name", "_outcome")

    def __init__(self, name: str, deadline: float, outcome: Job | Vector | FirstlightError) -> None:
        self._name = name
        self._deadline = deadline
        self._job = outcome if isinstance(outcome, Job) else None
        self._outcome = None if isinstance(outcome, Job) else outcome

    def outcome(self) -> Vector | FirstlightError:
        """The vector, [dim] float32 and unit norm, or what went wrong with this input."""
        if self._outcome is None and self._job is not None:
            self._outcome = self._wait(self._job)
            self._job = None
        assert self._outcome is not None
        return self._outcome

    def result(self) -> Vector:
        """The vector.

        Raises:
            FirstlightError: this input's own failure.
        """
        outcome = self.outcome()
        if isinstance(outcome, FirstlightError):
            raise outcome
        return outcome

    def _wait(self, job: Job) -> Vector | FirstlightError:
        try:
            vectors = job.future.result(max(0.0, self._deadline - time.monotonic()))
        except FutureTimeoutError:
            job.future.cancel()
            return RetryableError(
                f"the {self._name} encoder gave no vector in time",
                remedy="add workers, or raise FIRSTLIGHT_ENCODER_TIMEOUT_S",
            )
        except CancelledError:
            return RetryableError(f"the {self._name} encoder gave the input up")
        except FirstlightError as error:
            return error
        return mean_vector(vectors, [piece.weight for piece in job.pieces])


def mean_vector(
    vectors: Sequence[Vector], weights: Sequence[float] | None = None
) -> Vector | FirstlightError:
    """The weighted mean of n vectors [dim], scaled to unit norm, float32.

    Returns:
        PermanentError where the model gave no finite vector or nothing but zeros.
    """
    stacked = np.asarray(vectors, dtype=np.float64)
    if not np.isfinite(stacked).all():
        return PermanentError(
            "the model gave no finite vector for it",
            remedy="set FIRSTLIGHT_ENCODER_PRECISION=float32 if half precision overflows",
        )
    mean = np.average(stacked, axis=0, weights=weights)
    norm = float(np.linalg.norm(mean))
    if norm < 1e-12:
        return PermanentError("the model gave a zero vector for it")
    return (mean / norm).astype(np.float32)


class Encoder(Generic[In]):
    """Inputs of one modality to raw vectors, [dim] float32, unit norm."""

    def __init__(
        self,
        name: str,
        stages: Stages[In],
        device: Lanes,
        *,
        fingerprint: str,
        settings: EncoderSettings,
        cache: EmbeddingCache | None = None,
    ) -> None:
        """
        Args:
            name: text, image, image_text, audio or user.
            fingerprint: hash of all that decides the vectors, precision apart.
            cache: where vectors of inputs seen before are kept; None encodes every time.
        """
        self.name = name
        self.stages = stages
        self.dim = stages.dim
        self.fingerprint = fingerprint
        self._device = device
        self._cache = cache
        self._timeout_s = settings.timeout_s
        self._batcher = Batcher(
            device,
            name,
            lambda payloads: stages.core(stages.network, payloads),
            budget=stages.budget,
            queue_items=settings.queue_items,
            timeout_s=settings.timeout_s,
            max_wait_s=settings.max_wait_ms / 1000,
        )

    def submit(self, inputs: Sequence[In]) -> list[Pending]:
        """Prepare inputs here and queue them on the device; see `encode` for the outcomes."""
        deadline = time.monotonic() + self._timeout_s
        pending: list[Pending] = []
        self._batcher.expect(len(inputs))
        expected = len(inputs)
        try:
            for start in range(0, len(inputs), self.stages.stride):
                part = inputs[start : start + self.stages.stride]
                prepared = self.stages.pre(part)
                outcomes = [
                    one if isinstance(one, FirstlightError) else Job(one) for one in prepared
                ]
                jobs = [one for one in outcomes if isinstance(one, Job)]
                self._batcher.expect(-len(part))
                expected -= len(part)
                self._batcher.submit(jobs, deadline)
                pending += [Pending(self.name, deadline, one) for one in outcomes]
        finally:
            if expected:
                self._batcher.expect(-expected)
        return pending

    def start(self, inputs: Sequence[In]) -> Encoding[In]:
        """Look inputs up in the cache, queue the others; `finish` of the answer collects them."""
        return Encoding(self, self._cache, inputs)

    def encode(self, inputs: Sequence[In]) -> list[Vector | FirstlightError]:
        """Each input's own outcome, in order: its vector or what went wrong with it."""
        return self.start(inputs).finish()

    def check(self) -> None:
        """Raise RetryableError when the device is stuck or dead."""
        self._device.check()


class Encoding(Generic[In]):
    """Inputs of one call on their way through an encoder; equal ones are encoded once."""

    def __init__(
        self, encoder: Encoder[In], cache: EmbeddingCache | None, inputs: Sequence[In]
    ) -> None:
        self._encoder = encoder
        self._cache = cache
        if cache is None:
            self._pending = encoder.submit(inputs)
            return
        stages = encoder.stages
        self._keys = [cache_key(encoder.fingerprint, stages.content(one)) for one in inputs]
        first = {key: at for at, key in reversed(list(enumerate(self._keys)))}
        self._found = cache.get_many(list(first), encoder.dim)
        self._missing = [key for key in first if key not in self._found]
        self._pending = encoder.submit([inputs[first[key]] for key in self._missing])

    def finish(self) -> list[Vector | FirstlightError]:
        """Wait for the vectors, keep the new ones in the cache."""
        outcomes = [one.outcome() for one in self._pending]
        if self._cache is None:
            return outcomes
        new = dict(zip(self._missing, outcomes, strict=True))
        self._cache.put_many(
            {key: one for key, one in new.items() if not isinstance(one, FirstlightError)}
        )
        by_key = {**self._found, **new}
        return [by_key[key] for key in self._keys]
