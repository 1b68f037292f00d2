"""From a trained network to the INT8 file that every machine runs."""
