"""What leaves the box: DICOM objects and the printable report, out of a result and the header of its image."""
