"""What `edgecnn serve` does for whoever keeps it in service: systemd, and edgecnn deploy."""
