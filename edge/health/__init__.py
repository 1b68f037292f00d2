"""Self-test of the machine and the box."""
