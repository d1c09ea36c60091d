"""One target for some seconds, in a process of its own: `python -m bench._fuzz_worker TARGET SECONDS FOLDER`.

libFuzzer ends its process when an input hangs or takes all memory, and never gives control back.
"""

from __future__ import annotations

import random
import shutil
import sys
from pathlib import Path

import atheris

MEASURED = ("plaudit", "markdown_it", "python_multipart")  # whose branches tell which inputs are worth to keep
MOST_MB = 3_000
HANGS_SECONDS = 60
LONGEST = 1 << 16  # bytes of an input


def main(target: str, seconds: int, folder: Path) -> None:
    with atheris.instrument_imports(include=list(MEASURED)):
        from bench._fuzz_mutations import MUTATIONS
        from bench._fuzz_targets import CORPUS, TARGETS, Watch

    change = MUTATIONS[target]

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if chance.random() < 0.3:
            return atheris.Mutate(data, most)  # type: ignore[no-any-return]
        return change(data, chance)[:most]

    corpus = folder / "corpus"
    shutil.copytree(CORPUS / target, corpus, dirs_exist_ok=True)
    arguments = [
        sys.argv[0], str(corpus), f"-max_total_time={seconds}", f"-rss_limit_mb={MOST_MB}", f"-timeout={HANGS_SECONDS}",
        f"-report_slow_units={HANGS_SECONDS}",  # by the wall; what an input takes of the processor, `Watch` knows
        f"-max_len={LONGEST}", f"-artifact_prefix={folder / 'found'}/", "-print_final_stats=1",
    ]  # fmt: skip
    (folder / "found").mkdir(parents=True, exist_ok=True)
    with TARGETS[target]() as attempt:
        atheris.Setup(arguments, Watch(attempt, folder / "found"), custom_mutator=mutate)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]))
