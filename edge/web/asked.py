"""What the page says of a PACS or a worklist that was asked for a study."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from edge.types import N_, Remark, Severity

_NO_EARLIER_IMAGES = Remark(
    code="no_earlier_images",
    text=N_("Earlier images of this patient could not be fetched from the PACS."),
)
PULLED: Mapping[tuple[str, str], Remark] = MappingProxyType(
    {
        ("priors", "failed"): _NO_EARLIER_IMAGES,
        ("study", "failed"): _NO_EARLIER_IMAGES,
        ("study", "nothing_came"): _NO_EARLIER_IMAGES,
        ("worklist", "matched"): Remark(
            code="worklist_matched",
            text=N_("The accession number comes from the modality worklist, not from the image."),
        ),
        ("worklist", "ambiguous"): Remark(
            code="worklist_ambiguous",
            text=N_("The modality worklist holds several requests that fit; none was taken."),
            severity=Severity.WARN,
            advice=N_("Enter the accession number at the PACS by hand."),
        ),
        ("worklist", "contradicting"): Remark(
            code="worklist_contradicting",
            text=N_("The modality worklist names another person under this patient number; no request was taken."),
            severity=Severity.WARN,
            advice=N_("Check the patient at the X-ray unit and in the worklist."),
        ),
        ("worklist", "failed"): Remark(
            code="worklist_failed",
            text=N_("The modality worklist could not be asked for the accession number."),
        ),
    }
)
"""What came of asking a PACS or a worklist, by kind and code; the other codes need no words."""
IS_PRIOR = Remark(code="is_prior", text=N_("The box fetched this study to compare another one with it."))
