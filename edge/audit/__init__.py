"""Who saw and did what: DICOM audit messages in a chained file, and on to a syslog server."""
