"""Mission-control systems in front of the service; pure clients, like the dashboard's bridge."""
