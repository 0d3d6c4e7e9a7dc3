"""Methods under test: ours, the usual ones, and peers', all on the same features."""

from evaluation.methods.registry import ENTRIES, Entry, chosen
from evaluation.methods.task import Method, Parameters, Task

__all__ = ["ENTRIES", "Entry", "Method", "Parameters", "Task", "chosen"]
