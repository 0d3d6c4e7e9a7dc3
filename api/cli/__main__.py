"""`python -m api.cli`: the command without its entry point."""

from api.cli import main

main()
