"""The reading of a chest CT, one stage a module."""
