"""Concepts of the objects as codes: SNOMED CT, DCM (PS3.16 annex D), UCUM, and our own where those have none.

Our own scheme, 99CHESTEDGE, is private as PS3.16 section 8.2 allows; each report names it. Rejected:
the nearest public code for the scores of severity, which would pass them off as something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

SCHEME = "99CHESTEDGE"


def own(value: str, meaning: str) -> Code:
    """A code of our own: at most 16 characters (VR SH) with a meaning of at most 64 (LO)."""
    return Code(value, SCHEME, meaning)


def schemes() -> list[CodingSchemeIdentificationItem]:
    """What a report tells of our own scheme."""
    return [CodingSchemeIdentificationItem(SCHEME, name="Chest Edge", responsible_organization="Chest Edge")]


LUNG, HEART = codes.SCT.Lung, codes.SCT.Heart
RADIOGRAPH = Code("363680008", "SCT", "Radiographic imaging procedure")
CHEST_RADIOGRAPH = Code("399208008", "SCT", "Plain chest X-ray")
CT, CHEST_CT = codes.SCT.ComputedTomography, Code("169069000", "SCT", "CT of chest")
SIDES: Mapping[str, Code] = MappingProxyType({"right": codes.SCT.Right, "left": codes.SCT.Left})
THIRDS: Mapping[str, Code] = MappingProxyType(
    {
        "upper": codes.SCT.UpperZoneOfLung,
        "middle": codes.SCT.MiddleZoneOfLung,
        "lower": codes.SCT.LowerZoneOfLung,
    }
)
FINDINGS: Mapping[str, Code] = MappingProxyType(
    {
        "ground_glass_opacity": codes.DCM.GroundGlassOpacity,
        "consolidation": Code("95436008", "SCT", "Lung consolidation"),
    }
)
CLASSES: Mapping[str, Code] = MappingProxyType(
    {
        "normal": codes.SCT.Normal,
        "bacterial": Code("53084003", "SCT", "Bacterial pneumonia"),
        "viral": Code("75570004", "SCT", "Viral pneumonia"),
        "covid19": Code("882784691000119100", "SCT", "Pneumonia caused by SARS-CoV-2"),
        "other_pneumonia": own("OTHER_PNEUMONIA", "Pneumonia of another kind"),
        "tuberculosis": Code("154283005", "SCT", "Pulmonary tuberculosis"),
        "other": own("OTHER_FINDING", "Other finding"),
    }
)
GRADES: Mapping[str, Code] = MappingProxyType(
    {
        "none": codes.SCT.None_,
        "mild": codes.SCT.Mild,
        "moderate": codes.SCT.Moderate,
        "severe": codes.SCT.Severe,
    }
)
CHANGES: Mapping[str, Code] = MappingProxyType(
    {
        "better": own("BETTER", "Better than before"),
        "same": own("SAME", "Same as before"),
        "worse": own("WORSE", "Worse than before"),
    }
)
DECISION = own("DECISION", "Decision of the algorithm")
DECISIONS: Mapping[str, Code] = MappingProxyType(
    {
        "normal": own("NO_PNEUMONIA", "No pneumonia seen"),
        "abnormal": own("ABNORMAL", "Abnormality suspected"),
        "refer": own("REFER", "No claim: a doctor must read it"),
        "no_result": own("NO_RESULT", "No result"),
    }
)
CT_DECISIONS: Mapping[str, Code] = MappingProxyType(
    {
        "normal": own("NO_OPACITY", "No opacity above that of normal lungs measured"),
        "abnormal": own("OPACITY", "Opacities measured in the lungs"),
        "refer": DECISIONS["refer"],
        "no_result": DECISIONS["no_result"],
    }
)
AGE_GROUP = own("AGE_GROUP", "Age group that the algorithm read for")
AGE_GROUPS: Mapping[str, Code] = MappingProxyType(
    {
        "adult": own("ADULT", "Read as an adult"),
        "child": own("CHILD", "Read as a child"),
        "unknown": own("AGE_UNKNOWN", "Age unknown"),
    }
)
SEVERITY, CHANGE = codes.SCT.Severity, own("CHANGE", "Change against an earlier radiograph")
CT_CHANGE = own("CT_CHANGE", "Change against an earlier CT")
CERTAINTY = codes.DCM.CertaintyOfFinding
CARDIOTHORACIC_RATIO = own("CTR", "Cardiothoracic ratio")
OPAQUE = own("OPAQUE_SHARE", "Share of the lung that is opaque")
OPAQUE_BOTH = own("OPAQUE_BOTH", "Share of both lungs that is opaque")
FINDING_SHARE = own("FINDING_SHARE", "Share of this lung that the finding covers")
EXTENT = own("EXTENT", "Geographic extent of opacity (Cohen 2020)")
DEGREE = own("DEGREE", "Degree of opacity (Cohen 2020)")
BRIXIA = own("BRIXIA", "Brixia score (Borghesi 2020)")
BRIXIA_ZONE = own("BRIXIA_ZONE", "Brixia score of a zone (Borghesi 2020)")
BOTH = codes.SCT.RightAndLeft
VOLUME, MEAN_HU = codes.SCT.Volume, codes.DCM.MeanAttenuationCoefficient
PERIPHERAL = own("PERIPHERAL_SHARE", "Share of the opacities that lies near the chest wall")
BASAL = own("BASAL_SHARE", "Share of the opacities that lies in the lower zones")
CT_SCORE = own("CT_SCORE", "CT score, the sum of six zones of the lungs")
CT_SCORE_ZONE = own("CT_SCORE_ZONE", "CT score of a zone of a lung")
MILLILITRE = Code("mL", "UCUM", "milliliter")
HOUNSFIELD = codes.UCUM.HounsfieldUnit
PERCENT, RATIO = codes.UCUM.Percent, codes.UCUM.Ratio


def score_unit(most: int) -> Code:
    """The unit of a score from 0 to ``most``, as PS3.16 writes such units."""
    return Code(f"{{0:{most}}}", "UCUM", f"range: 0:{most}")
