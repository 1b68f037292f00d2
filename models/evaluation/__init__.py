"""Figures of the shipped models: ``python -m models.evaluation --data DIR``."""
