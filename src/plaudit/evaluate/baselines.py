"""What needs no language model to predict preferences: a few statistics of a text, and its words.

A reward model that is no better than these has learned no more than they know. They are fitted to the preferences that
it was trained on, by logistic regression on the difference of two answers, and judged on the same held-out ones.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from plaudit.evaluate.text import WORD
from plaudit.stats.intervals import Floats
from plaudit.stats.pair_regression import fit_pairs
from plaudit.types import Preference

Scores = dict[str, float]  # response id -> score
LIST_ITEM = re.compile(r"^\s*(?:[-*•]|\d+[.)])\s", re.MULTILINE)
FEWEST_ANSWERS = 2  # that a word is in, to count at all
MOST_PAIRS = 20_000  # that are learned from: more take long, and change a baseline little

STATISTICS: dict[str, Callable[[str], float]] = {
    "words": lambda text: math.log1p(len(text.split())),
    "letters a word": lambda text: len("".join(text.split())) / max(1, len(text.split())),
    "lines": lambda text: math.log1p(text.count("\n")),
    "list items": lambda text: math.log1p(len(LIST_ITEM.findall(text))),
    "question marks": lambda text: math.log1p(text.count("?")),
    "exclamation marks": lambda text: math.log1p(text.count("!")),
    "digits": lambda text: sum(c.isdigit() for c in text) / max(1, len(text)),
    "capitals": lambda text: sum(c.isupper() for c in text) / max(1, len(text)),
    "different words": lambda text: len(set(text.lower().split())) / max(1, len(text.split())),
    "code": lambda text: float("```" in text),
    "ends a sentence": lambda text: float(text.rstrip()[-1:] in set(".!?:\"')`")),
}


def baseline_scores(train: Sequence[Preference], texts: Mapping[str, str], heldout: Iterable[str]) -> dict[str, Scores]:
    """Each baseline's scores of the held-out answers. `texts`: response id -> text, of all of them."""
    learned = train[:MOST_PAIRS]
    ids = list(dict.fromkeys(id_ for p in learned for id_ in (p.a, p.b)))
    asked = list(heldout)
    if not asked:
        return {}
    row = {id_: n for n, id_ in enumerate(ids)}
    a, b = [row[p.a] for p in learned], [row[p.b] for p in learned]
    probability, weights = [p.probability for p in learned], [p.weight for p in learned]
    of_train, of_asked = [texts[id_] for id_ in ids], [texts[id_] for id_ in asked]
    found = {}
    for name, features in (("text_statistics", statistics), ("tfidf", tfidf)):
        x, x_asked = features(of_train, of_asked)
        scores = x_asked @ fit_pairs(x[a] - x[b], probability, weights)
        found[name] = dict(zip(asked, scores.tolist(), strict=True))
    return found


def statistics(train: Sequence[str], others: Sequence[str]) -> tuple[Floats, Floats]:
    """(N, F) of either: `STATISTICS`, each at unit spread over the training texts."""
    x, y = (np.array([[f(text) for f in STATISTICS.values()] for text in texts]) for texts in (train, others))
    spread = x.std(0)
    spread[spread == 0] = 1.0
    return x / spread, y.reshape(len(others), len(STATISTICS)) / spread


def tfidf(train: Sequence[str], others: Sequence[str]) -> tuple[Any, Any]:
    """(N, F) sparse of either: words and pairs of neighbouring words, as scikit-learn's `TfidfVectorizer` weighs them.

    Counts times ln((1 + n) / (1 + df)) + 1, at unit length.
    """
    counted = [_grams(text) for text in train]
    df = Counter(gram for grams in counted for gram in grams)
    columns = {gram: n for n, gram in enumerate(sorted(g for g, n in df.items() if n >= FEWEST_ANSWERS))}
    idf = np.array([math.log((1 + len(train)) / (1 + df[gram])) + 1 for gram in columns])
    return _weighed(counted, columns, idf), _weighed([_grams(text) for text in others], columns, idf)


def _grams(text: str) -> Counter[str]:
    words = WORD.findall(text.lower())
    return Counter([*words, *(f"{first} {second}" for first, second in pairwise(words))])


def _weighed(counted: Sequence[Counter[str]], columns: Mapping[str, int], idf: Floats) -> Any:
    from scipy.sparse import csr_matrix

    cells = [(n, columns[gram], count) for n, grams in enumerate(counted) for gram, count in grams.items()
             if gram in columns]  # fmt: skip
    rows, places, counts = np.array(cells, dtype=int).reshape(-1, 3).T
    values = counts * idf[places]
    length = np.sqrt(np.bincount(rows, values**2, minlength=len(counted)))
    return csr_matrix((values / length[rows], (rows, places)), shape=(len(counted), len(columns)))
