"""One file a command of ``flightsw``: its options (``add_parser``), what it runs (``run``).

What takes long to load is imported when the command runs: ``flightsw --help`` must answer soon,
and an interrupt while libraries load must end the command in order.
"""
