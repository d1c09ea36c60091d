"""Whatever shape a record has, it is read or refused in a sentence (bench `import-shapes` tries 20,000)."""

from __future__ import annotations

from bench._random_records import try_records
from bench.import_shapes import known_records


def test_records_of_random_shape() -> None:
    counted = try_records(known_records(), 250)
    assert counted["read"] > 30
    assert counted["refused"] > 20
