"""Stages for a projection radiograph of the chest."""
