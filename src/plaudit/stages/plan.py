"""What a stage will take on this machine, said before it begins: time, memory, tokens, disk.

A stage says in its record what it will do (`Stage.work`): answers to draw, rows to read, rows to learn from. How long
each of those takes here is measured in seconds (`plaudit.models.pace`), on the model itself or, for `plaudit plan`, on
a twin with fewer layers. On a GPU that is not there nothing can be measured: `GPUS` are its maker's figures.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from plaudit.progress import duration_text, say
from plaudit.runs import Run
from plaudit.types import Prompt

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel
    from plaudit.models.pace import Pace, Shape
    from plaudit.stages import Stage
    from plaudit.workspace import Workspace

WRITTEN = 0.85  # of the tokens that answers may have: those that end early leave
ANSWERS = 4.0  # to each prompt, where a plan begins after the sampling
LONGEST_PROMPT = 256  # tokens that are read, as the stages' defaults have it
SOME = 200  # prompts whose tokens are counted, of many
TRAINED_BYTES = 16  # of each number of an adapter: itself, its gradient, and AdamW's two
DRAWN_BYTES = 24  # of each token of the vocabulary, for each row that draws one: logits, probabilities, their sums
HEAD_ROWS = 128  # positions that go through the head at once, at most
SCRATCH = 1.2  # of what is counted: what the allocator and oneDNN keep besides
CUDA_BYTES = 0.6e9  # that CUDA takes of a GPU by itself
SAVED_BYTES = 12  # of each number of an adapter in a checkpoint: itself, and AdamW's two


@dataclass(frozen=True)
class Material:
    """What there is to work on."""

    prompts: int  # that the stage works on
    prompt_tokens: float  # the mean
    heldout: int = 0  # prompts besides, that it measures on
    answers: float = 4.0  # to each prompt, of those that are there already
    answer_tokens: float = 48.0  # of each of those


@dataclass(frozen=True)
class Draw:
    """Answers that are sampled, `rows` at a time."""

    answers: float
    max_tokens: int
    rows: float


@dataclass(frozen=True)
class Pass:
    """Rows that are read as a whole."""

    positions: float
    layers: float  # how many of the model's
    answer_tokens: float = 0.0  # of the positions, those that go through the head
    learned: bool = False  # with a gradient


@dataclass(frozen=True)
class Work:
    """All that a stage does."""

    draws: tuple[Draw, ...] = ()
    passes: tuple[Pass, ...] = ()
    merged: float = 0.0  # copies of the weights from `split` on, with an adapter in them, that answers are drawn from
    at_once: float = 0.0  # positions times layers of the largest micro-batch that is learned from
    kept: float = 0.0  # positions whose hidden states are kept for later
    adapters: float = 0.0  # that are trained, each in all adapted layers


@dataclass(frozen=True)
class Twin:
    """A model as a plan needs it: its tokenizer, its shape, and how fast it will run."""

    tokenizer: Any
    shape: Shape
    base_bytes: float  # of the process, without the model
    pace: Callable[[float, int, bool], Pace]  # (tokens of a prompt, of an answer, whether it learns)
    how: str = "measured here"
    memory_bytes: float | None = None  # of the GPU that it is to run on; None: what is left here

    @classmethod
    def of(cls, model: LanguageModel, resident: float) -> Twin:
        """A model that is loaded, in a process that has so many bytes with it."""
        from plaudit.models.pace import measure_pace, shape_of

        shape = shape_of(model.trunk)
        return cls(
            model.tokenizer,
            shape,
            resident - shape.weight_bytes,
            lambda prompt, answer, learns: measure_pace(model.trunk, round(prompt), answer, learns=learns),
        )


@dataclass(frozen=True)
class Forecast:
    """What a stage takes."""

    seconds: float
    memory_bytes: float  # the largest that the process will be
    drawn_tokens: float
    learned_tokens: float
    disk_bytes: float

    def record(self) -> dict[str, float]:
        return asdict(self)

    def __str__(self) -> str:
        parts = [f"about {duration_text(self.seconds)}", f"{self.memory_bytes / 1e9:.1f} GB of memory"]
        parts += [f"{amount_text(self.drawn_tokens)} tokens to write"] if self.drawn_tokens else []
        parts += [f"{amount_text(self.learned_tokens)} to learn from"] if self.learned_tokens else []
        return ", ".join([*parts, f"{max(1, round(self.disk_bytes / 1e6))} MB of disk"])


def amount_text(count: float) -> str:
    """`840`, `12,000`, `1.2 million`"""
    if count >= 1e6:
        return f"{count / 1e6:.1f} million"
    return f"{round(count, -3 if count >= 10_000 else -1):,.0f}"


def forecast(work: Work, shape: Shape, pace: Pace, material: Material, base_bytes: float) -> Forecast:
    """What `work` takes where the process holds `base_bytes` without any model."""
    from plaudit.models.prepacked import MOST_BYTES

    seconds = sum(d.answers / d.rows * d.max_tokens * pace.decode(shape, WRITTEN * d.rows) for d in work.draws)
    for part in work.passes:
        layer, head = (pace.learn, pace.learn_head) if part.learned else (pace.read, pace.read_head)
        seconds += part.positions * part.layers * layer + part.answer_tokens * head
    drawing = max((_drawing_bytes(draw, shape, material) for draw in work.draws), default=0.0)
    of_head = HEAD_ROWS * shape.vocabulary * DRAWN_BYTES if any(part.answer_tokens for part in work.passes) else 0
    learning = work.at_once * pace.kept_bytes + of_head
    merged = work.merged * shape.upper_bytes
    others = shape.weight_bytes - merged if work.draws else 0  # brought into another order for drawing, too, if few
    merged += others if others <= MOST_BYTES else 0
    trained = work.adapters * shape.adapter_numbers
    kept = work.kept * shape.hidden * shape.number_bytes
    most = max(drawing + merged, learning)
    return Forecast(
        seconds,
        base_bytes + shape.weight_bytes + SCRATCH * (trained * TRAINED_BYTES + kept + most),
        sum(draw.answers * draw.max_tokens * WRITTEN for draw in work.draws),
        sum(part.positions for part in work.passes if part.learned),
        trained * (4 + SAVED_BYTES),
    )


def _drawing_bytes(draw: Draw, shape: Shape, material: Material) -> float:
    cache = (material.prompt_tokens + draw.max_tokens) * shape.cache_bytes
    return draw.rows * (2 * cache + shape.vocabulary * DRAWN_BYTES)  # it is copied when a row leaves


def material_of(model: LanguageModel, prompts: Sequence[Prompt], prompt_tokens: int, **more: Any) -> Material:
    """The prompts as what there is to work on: so many, and how long they are."""
    return Material(len(prompts), mean_tokens(model.tokenizer, prompts, prompt_tokens), **more)


def mean_tokens(tokenizer: Any, prompts: Sequence[Prompt], longest: int) -> float:
    """Tokens of a prompt, the mean of SOME of them."""
    from plaudit.models.chat import encode_prompt

    some = prompts[:: max(1, len(prompts) // SOME)]
    return sum(len(encode_prompt(tokenizer, prompt, longest)) for prompt in some) / len(some)


def plan_loop(
    configs: Mapping[Stage, Any],
    model: LanguageModel | Twin,
    prompts: Sequence[Prompt],
    heldout: int,
    answer_tokens: int,
) -> dict[str, Forecast]:
    """What each stage takes, by its name, where `heldout` of `prompts` are held out, and answers may be so long."""
    from plaudit.models.pace import resident_bytes

    twin = model if isinstance(model, Twin) else Twin.of(model, resident_bytes())
    tokens, answers = mean_tokens(twin.tokenizer, prompts, LONGEST_PROMPT), ANSWERS
    pace = twin.pace(tokens, answer_tokens, True)
    takes = {}
    for stage, config in configs.items():
        assert stage.work is not None
        answers = getattr(config, "answers", answers) if stage.name == "sample" else answers
        mine = heldout if stage.name == "evaluate" else len(prompts) - (0 if stage.name == "sample" else heldout)
        material = Material(mine, tokens, heldout, answers, WRITTEN * answer_tokens)
        work = stage.work(config, material, twin.shape)
        takes[stage.name] = forecast(work, twin.shape, pace, material, twin.base_bytes)
    return takes


def say_plan(stage: Stage, config: Any, model: LanguageModel, material: Material, run: Run) -> None:
    """Print what the stage will take here, and what to change where that does not fit; a resumed run says nothing."""
    if stage.work is None or len(run.sessions) > 1:
        return
    from plaudit.models.pace import resident_bytes

    twin = Twin.of(model, resident_bytes())
    work = stage.work(config, material, twin.shape)
    learns = any(part.learned for part in work.passes)
    pace = twin.pace(material.prompt_tokens, longest_answer(config) or round(material.answer_tokens), learns)
    takes = forecast(work, twin.shape, pace, material, twin.base_bytes)
    say(f"{run.id} will take {takes}.")
    run.measure()
    run.sessions[-1]["plan"] = takes.record() | {"after_seconds": run.costs.wall_seconds}
    run.save()
    if lacking := what_lacks(takes, run.path):
        say(lacking)


def longest_answer(config: Any) -> int | None:
    """How many tokens an answer may have, where the configuration of a stage says so."""
    rollout = getattr(getattr(config, "training", None), "rollout", None)
    found: int | None = getattr(rollout or config, "max_tokens", None)
    return found


def twin_of(workspace: Workspace, name: str | None, gpu: str | None) -> Twin:
    """A twin of the workspace's model or of the one that is named, whose configuration is all that has to be there.

    Raises:
        UsageError: there is no such model or GPU, or the architecture cannot be the trunk.
    """
    import torch
    from transformers import AutoConfig

    from plaudit.models import catalog, pace
    from plaudit.models.arithmetic import DTYPES, choose_arithmetic
    from plaudit.models.gpus import compute_pace, gpu_named
    from plaudit.models.runtime import tune

    named, there = name or workspace.model, gpu_named(gpu) if gpu else None
    tune(workspace.threads)
    catalog.quiet_transformers()
    device = torch.device("cuda" if torch.cuda.is_available() and not gpu else "cpu")
    arithmetic = choose_arithmetic(workspace.dtype, device)
    path = catalog.locate(named)
    try:
        config = AutoConfig.from_pretrained(path, **catalog.OWN_CODE)
        tokenizer = catalog.tokenizer_of(
            path if (Path(path) / "tokenizer_config.json").exists() or name is None else catalog.locate(workspace.model)
        )
    except Exception as error:  # as the catalog says
        raise catalog.no_such_model(named, path, error) from error
    base = pace.resident_bytes()
    trunk = pace.make_twin(config, torch.bfloat16 if there else DTYPES[arithmetic.dtype], device)
    shape = pace.shape_of(trunk, config)
    if there:
        computed = compute_pace(shape, there)
        how = f"computed from the figures of {gpu}'s maker, not measured"
        return Twin(tokenizer, shape, CUDA_BYTES, lambda prompt, answer, learns: computed, how, there.memory_bytes)
    how = f"measured just now on layers of its shape, in {arithmetic}"

    def measure(prompt: float, answer: int, learns: bool) -> pace.Pace:
        return pace.measure_pace(trunk, round(prompt), answer, shape.vocabulary, learns=learns)

    return Twin(tokenizer, shape, base, measure, how)


def what_lacks(takes: Forecast, folder: Path, memory_bytes: float | None = None) -> str | None:
    """A sentence where the machine, or the GPU with so much memory, has not what a stage takes."""
    import psutil

    left = psutil.virtual_memory().available + psutil.Process().memory_info().rss
    memory = left if memory_bytes is None else memory_bytes
    if takes.memory_bytes > memory:
        return (
            f"There are {memory / 1e9:.1f} GB of memory for it, which is too little: lower the answers and "
            "max_tokens, or training.rollout.rows, compute in bf16 (--dtype bf16), or take a smaller model."
        )
    free = shutil.disk_usage(folder).free
    if takes.disk_bytes > free:
        return f"The disk has {free / 1e9:.1f} GB left, which is too little: free some space, or work on another disk."
    return None
