"""What the box knows and must not lose: received objects, studies and their results, in SQLite."""
