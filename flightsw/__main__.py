"""``python -m flightsw``."""

import sys

from flightsw.cli import main

sys.exit(main())
