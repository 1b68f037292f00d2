"""Chest Edge: a chest radiograph and CT reading appliance for research use."""

__version__ = "0.1.0"
