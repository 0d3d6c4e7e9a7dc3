"""When an item is tried again, and when it is given up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from domain.setting_groups import WorkerSettings


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Waits and limits, in seconds and attempts.

    Attributes:
        max_attempts: attempts before an item is dead.
        base_s: wait after the first failed attempt; doubled with every further one.
        max_s: longest wait of any kind.
        resend_s: after this, what was sent and not taken is sent again; doubled every time.
        lease_s: after this, a worker that took an item and said nothing is held for dead.
    """

    max_attempts: int = 5
    base_s: float = 5.0
    max_s: float = 3600.0
    resend_s: float = 60.0
    lease_s: float = 180.0

    @classmethod
    def from_settings(cls, worker: WorkerSettings) -> Self:
        """The policy that FIRSTLIGHT_WORKER_* asks for."""
        return cls(
            max_attempts=worker.max_attempts,
            base_s=worker.retry_base_s,
            max_s=worker.retry_max_s,
            resend_s=worker.pending_resend_s,
            lease_s=worker.lease_s,
        )

    def after_attempt(self, attempts: int) -> float:
        """Seconds to wait after this many attempts."""
        return self._doubled(self.base_s, attempts)

    def after_send(self, sends: int) -> float:
        """Seconds to wait for a worker after this many messages."""
        return self._doubled(self.resend_s, sends)

    def while_away(self, waited_s: float) -> float:
        """Seconds to wait for a service that is away, for an item that has waited this long.

        Half as long again every time, from base_s up to resend_s.
        """
        return min(max(self.base_s, waited_s / 2), max(self.base_s, self.resend_s))

    def _doubled(self, base_s: float, times: int) -> float:
        return min(self.max_s, base_s * 2.0 ** min(max(times - 1, 0), 60))
