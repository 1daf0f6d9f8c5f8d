"""``python -m telecommands.groundsim``."""

import sys

from telecommands.groundsim.cli import main

sys.exit(main())
