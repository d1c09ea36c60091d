"""What the figures say in plain words: the verdict on top of the page, and what to keep in mind at its end.

Every sentence follows from figures by a rule that can be read here, and an unfavourable one is written as readily as a
favourable one.
"""

from __future__ import annotations

from plaudit.report.data import ReportData

FEW_PROMPTS = 100  # with fewer held-out prompts a win rate's interval is at least about ±8 points wide
NOTABLE_CORRELATION = 0.3
NOTABLE_LENGTH_CHANGE = 0.2
FAR_NATS = 12.0  # the demo's own limit: further from the base, the reward model judges text unlike any it learned from
LOOSE_ECE = 0.1
SAME_OPENINGS = 0.2


def percent(share: float) -> str:
    """Whole percent, never rounded to a certainty that was not measured."""
    if 0 < share < 0.01 or 0.99 < share < 1:
        return f"{100 * share:.1f}%"
    return f"{100 * share:.0f}%"


def number(value: float, digits: int = 2) -> str:
    """Fixed digits, a real minus sign, thin groups of thousands; no sign on a zero."""
    text = f"{value:,.{digits}f}".replace(",", "\u202f")
    return text.replace("-", "−") if float(f"{value:.{digits}f}") else text.replace("-", "")


def verdict(data: ReportData) -> str:
    """One sentence: did it get better?"""
    if data.win_rate is None:
        return "No win rate was measured, so this page cannot say whether the answers got better."
    if data.win_rate_low is None or data.win_rate_high is None:
        return "The win rate has no interval, so the difference may be chance."
    if data.win_rate_low > 0.5:
        return "Yes: the aligned model’s answers are preferred."
    if data.win_rate_high < 0.5:
        return "No: the aligned model’s answers are worse than the base’s."
    return "Not shown: the difference may be chance."


def finding(data: ReportData) -> str | None:
    """The verdict's ground, in one sentence."""
    if data.win_rate is None:
        return None
    where = f"On {data.prompts_heldout} held-out prompts" if data.prompts_heldout else "On held-out prompts"
    sure = ""
    if data.win_rate_low is not None and data.win_rate_high is not None:
        sure = f" (95% interval {percent(data.win_rate_low)} to {percent(data.win_rate_high)})"
    judge = data.judge or ("the simulated panel" if data.simulated else "")
    by = f", judged by {judge}" if judge else ""
    won = percent(data.win_rate)
    return f"{where}, its answers win {won} of comparisons with the base model’s{sure}{by}."


def caveats(data: ReportData) -> list[str]:
    """What a careful reader would want to be told, the gravest first."""
    sentences = [*_about_judges(data), *_about_reward(data), *_about_policy(data)]
    sentences.append(
        "One run with one seed. Intervals cover the choice of prompts, not the luck of training; another seed can land "
        "outside them."
    )
    return sentences


def _about_judges(data: ReportData) -> list[str]:
    sentences = []
    if data.simulated:
        sentences.append(
            "The panel was simulated: these figures show that the loop works on a preference that is known, not what "
            "people would prefer."
        )
    if data.prompts_heldout is not None and data.prompts_heldout < FEW_PROMPTS:
        sentences.append(f"Only {data.prompts_heldout} held-out prompts: small differences cannot be told from chance.")
    return sentences


def _about_reward(data: ReportData) -> list[str]:
    sentences = []
    low, longer = data.reward_accuracy_low, data.longer_wins_accuracy
    if low is not None and longer is not None and low <= max(longer, 1 - longer):
        sentences.append("The reward model is not shown to beat a bet on length alone.")
    for name, learned in (("text statistics", data.text_statistics_accuracy), ("words alone", data.tfidf_accuracy)):
        if low is not None and learned is not None and low <= learned:
            sentences.append(f"The reward model is not shown to beat what {name} predict, without a language model.")
    rho = data.reward_length.spearman if data.reward_length else None
    if rho is not None and abs(rho) >= NOTABLE_CORRELATION:
        kind = "longer" if rho > 0 else "shorter"
        sentences.append(f"Reward goes with length (ρ = {number(rho)}): part of the gain may be {kind} answers.")
    if data.calibration and data.calibration.ece is not None and data.calibration.ece > LOOSE_ECE:
        sentences.append(
            f"The reward model’s confidence is off by {percent(data.calibration.ece)} on average: read rewards as an "
            "order, not as odds."
        )
    return sentences


def _about_policy(data: ReportData) -> list[str]:
    sentences = []
    by_reward, by_judge = data.reward_win_rate_low, data.win_rate_low
    if by_reward is not None and by_judge is not None and by_reward > 0.5 >= by_judge:
        sentences.append("Reward rose but the answers are not shown to be better: a sign of over-optimisation.")
    if data.kl_nats is not None and data.kl_nats > FAR_NATS:
        sentences.append(
            f"The policy moved {number(data.kl_nats, 1)} nats from the base, further than rewards can be trusted."
        )
    before, after = data.length_before, data.length_after
    if before and after and abs(after / before - 1) > NOTABLE_LENGTH_CHANGE:
        change = "longer" if after > before else "shorter"
        sentences.append(
            f"Answers became {percent(abs(after / before - 1))} {change}; a judge may like that for itself."
        )
    alike = data.text.after.get("same_opening_share", 0.0) if data.text else 0.0
    if alike > SAME_OPENINGS:
        sentences.append(
            f"{percent(alike)} of the aligned answers open with words that open another: look for a formula."
        )
    return sentences
