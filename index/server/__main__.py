"""`python -m index.server`."""

import sys

from index.server.main import main

sys.exit(main())
