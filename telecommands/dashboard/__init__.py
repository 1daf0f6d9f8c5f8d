"""The web dashboard's bridge: from the three links to a browser, and an archive of what came."""
