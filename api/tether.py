"""Run a command that ends when its parent ends, however the parent ends.

    python -m api.tether TERM valkey-server --port 7379

Linux only (PR_SET_PDEATHSIG survives exec); elsewhere the command runs untethered and ends
with an orderly stop of its parent.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def tether(name: str) -> None:
    """Ask the kernel to send this process SIG<name> when its parent dies."""
    if not sys.platform.startswith("linux"):
        return
    parent = os.getppid()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, getattr(signal, f"SIG{name}"), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent or parent == 1:  # it died before the tether held
        sys.exit(0)


def main() -> None:
    """Tether, then become the command."""
    name, command = sys.argv[1], sys.argv[2:]
    tether(name)
    os.execvp(command[0], command)  # noqa: S606 - the command comes from the supervisor


if __name__ == "__main__":
    main()
