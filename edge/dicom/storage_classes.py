"""Storage SOP classes that the box receives and reads (PS3.4 annex B.5).

One list for the receiver and the parser: what is acknowledged is also looked at. On its
own, so that the parsing process need not load the network library.
"""

from __future__ import annotations

from pydicom.uid import (
    UID,
    ComputedRadiographyImageStorage,
    CTImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

STORAGE_CLASSES: tuple[UID, ...] = (
    ComputedRadiographyImageStorage,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    CTImageStorage,
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)
