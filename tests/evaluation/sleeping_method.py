"""A method that says in which process it is, and does not come back."""

from __future__ import annotations

import os
import time
from pathlib import Path

from evaluation.methods import Task


class Sleeping:
    """Writes a file named by its process into the folder SLEEPERS."""

    name = "sleeping"
    content = False

    def fit(self, task: Task) -> None:
        Path(os.environ["SLEEPERS"], str(os.getpid())).touch()
        time.sleep(600.0)
