"""Training recipes: one file a model, run as ``python -m models.training.<name> --data DIR``."""
