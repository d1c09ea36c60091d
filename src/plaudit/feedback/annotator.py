"""Who gives feedback. Simulated people and data sets are annotators too, and say so wherever their name appears."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class AnnotatorKind(StrEnum):
    PERSON = "person"
    DATASET = "dataset"  # of imported labels: one of those that the data set names, or all together where it names none
    SIMULATED = "simulated"


@dataclass(frozen=True, slots=True)
class Annotator:
    """Somebody whose judgements are kept apart from other people's."""

    id: str  # a person's name, `simulated-NN`, or whom an import names (`labelled.annotator`)
    kind: AnnotatorKind = AnnotatorKind.PERSON
    note: str = ""  # what a reader of the results should know, such as a simulated annotator's planted habit
