"""Who gives feedback. Simulated people and data sets are annotators too, and say so wherever their name appears."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AnnotatorKind(StrEnum):
    PERSON = "person"
    DATASET = "dataset"  # whoever labelled a data set, together: its labels come without names
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Annotator:
    """Somebody whose judgements are kept apart from other people's."""

    id: str  # a person's name, `dataset:NAME` or `simulated-NN`
    kind: AnnotatorKind = AnnotatorKind.PERSON
    note: str = ""  # what a reader of the results should know, such as a simulated annotator's planted habit
