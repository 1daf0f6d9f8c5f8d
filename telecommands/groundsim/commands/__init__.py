"""One file a command of ``groundsim``: its options, what it runs, its exit status."""
