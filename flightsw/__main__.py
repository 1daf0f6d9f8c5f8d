"""``python -m flightsw``."""

from flightsw.cli import main_and_exit

main_and_exit()
