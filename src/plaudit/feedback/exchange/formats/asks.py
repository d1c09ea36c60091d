"""What a question of a labelling tool asks, by its name: people name them, and no export says what they mean.

A question asks which answer is better, or by its name something else (who is more harmful, who lost); how good an
answer is, how certain somebody was, why; or for a better answer. What can be two of these is none for certain.
"""

from __future__ import annotations

import re

_WHICH = re.compile(
    r"prefer|better|best|which|winner|\bwins?\b|chosen|choose|choice|compar|overall|\brank|\border|\bpick"
)
_OTHER = re.compile(  # who is chosen there is not the better one, and more of it does not make an answer better
    r"harm|toxic|saf(e|er|est|ety)\b|danger|offens|bias|risk|hate|violen|wrong|halluc|incorrect|error|mistake|problem|"
    r"issue|\bbad|poor|weak|inferior|wors|refus|longer|shorter|verbos|reject|\blosers?\b|\bloses?\b|\blosing\b|\blost\b|"
    r"\bless(er)?\b|least|fewer|lowest|\blast\b|bottom|dispref|dislik|unprefer|unchosen|\bnot\b|\bnon\b|discard|avoid|"
    r"\bfail|spam|confus|contradict"
)
_MEASURED = re.compile(  # a number that nobody judged
    r"\b(seeds?|tokens?|latency|time|times|seconds|duration|ms|cost|price|length|len|chars?|characters|words?|count|"
    r"num|number|n|size|bytes|temperature|ids?|idx|index|positions?|places?|turns?|perplexity|ppl|loss|logprobs?|elo|"
    r"version|year|line|row|page|model|top k|top p)\b|wordcount|charcount"
)
_GOOD = re.compile(  # more of it makes an answer better
    r"qualit|helpful|useful|honest|correct|accura|coheren|fluen|relevan|rating|rate\b|score|overall|clar|complete|"
    r"creativ|tru(e|th)|fact|instruct|style|ground|stars?\b|likert|grade|faithful|concis|engag|natural|"
    r"good|satisf|prefer|informat|insight|consisten|logic|reason|understand|interest|appropriate|polite|tone"
)
_GRADED = re.compile(  # a number or a letter there is a place on a scale
    r"grade|rating|\brate|scor|likert|scale|stars?\b|points?\b|level|\brank|\border|strength|confiden|margin|degree"
)
_RANKED = re.compile(r"\brank(s|ed|ing)?\b")
_HOW_SURE = re.compile(r"strength|confiden|certain|\bsure\b|margin|degree|how much|intensity")
_WHY = re.compile(
    r"\b(why|reasons?|reasoning|rationales?|comments?|explain|explanations?|justif\w*|notes?|feedback|because|remarks?)\b"
)
_OF_PROMPT = re.compile(r"prompt|instruction|question|query")
_ANSWER = r"(responses?|answers?|completions?|repl(y|ies)|generations?|outputs?|summar(y|ies)|texts?|versions?)"
_REWRITTEN = re.compile(  # a remark on how to correct it ("corrections", "what to improve") is none
    rf"\b(corrected|correction|improved|rewrit(e|ten)|revised|revision|edited|ideal|demonstration)\b"
    rf"|\b(better|best|correct|gold|golden|edit)\b.*\b{_ANSWER}( \d+| [a-i])?( optional)?$"
)
_NAMED = re.compile(rf"\b({_ANSWER}|demonstration)\b")
_OF_ONE = re.compile(r"\b(\d+|[a-i]|left|right|first|second)\b")


def words_of(question: str) -> str:
    """Its words in small letters, however they are joined."""
    return " ".join(re.findall(r"[^\W\d_]+|\d+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", question))).lower()


def which_is_better(question: str) -> bool:
    """Whether it asks which answer is better, or at least which of them."""
    return bool(_WHICH.search(words_of(question)))


def something_else(question: str) -> bool:
    """Whether it asks for something else than which is better: the worse, the safer, the one with more mistakes."""
    return bool(_OTHER.search(words_of(question)))


def for_a_grade(question: str) -> bool:
    """Whether a number or letter by itself is a grade there, whatever else the question asks."""
    return bool(_GRADED.search(words_of(question)))


def how_sure(question: str) -> bool:
    """Whether it asks how much better an answer is, or how certain somebody was."""
    return bool(_HOW_SURE.search(words_of(question)))


def is_measured(attribute: str) -> bool:
    """Whether it is a number about an answer that nobody judged."""
    return bool(_MEASURED.search(words_of(attribute)))


def more_is_better(attribute: str, for_certain: bool = False) -> bool:
    """Whether more of an attribute may make an answer better; `for_certain`, by what it is called."""
    good = not for_certain or bool(_GOOD.search(words_of(attribute)))
    return good and not something_else(attribute) and not is_measured(attribute)


def ranks_one(question: str) -> bool:
    """Whether it holds the rank of one answer, as `rank_1` and `response_a_rank` do."""
    words = words_of(question)
    return bool(_RANKED.search(words)) and bool(_OF_ONE.search(words))


def why(question: str) -> bool:
    return bool(_WHY.search(words_of(question)))


def of_the_prompt(question: str) -> bool:
    return bool(_OF_PROMPT.search(words_of(question)))


def for_a_rewriting(question: str, of_answer: bool = False) -> bool:
    """Whether it asks for an answer, better than those shown; `of_answer`: it is known to be about one of them."""
    words = words_of(question)
    asks = bool(_REWRITTEN.search(words)) and (of_answer or bool(_NAMED.search(words)))
    return asks and not _OF_PROMPT.search(words) and not _WHY.search(words)


def for_text(question: str) -> bool:
    """Whether it asks for a comment, or for a better answer."""
    return why(question) or for_a_rewriting(question)
