"""DICOM in and out: receiving, parsing in a limited child process, pixels, sending."""
