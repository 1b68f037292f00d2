"""Sends results to the archives of the settings, and sees that they arrive."""
