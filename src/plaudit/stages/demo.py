"""`plaudit demo`: the whole loop with one command, in a workspace of its own that any other command can go on with.

    demo/report.html, summary.json     of the run that was last asked for
    demo/seed-0/                       its workspace; one for each seed, model, dtype that was asked for, and kind of
                                       feedback

One process, one loaded model. What is finished is not done again, and what was cut goes on where it was.
"""

from __future__ import annotations

import json
import random
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import plaudit
from plaudit.errors import UsageError
from plaudit.feedback.exchange.imports import import_preferences
from plaudit.feedback.exchange.sources import name_of
from plaudit.feedback.labelling.task_plan import tasks_from
from plaudit.feedback.store import FeedbackStore
from plaudit.feedback.terminal import ask
from plaudit.files import content_digest, to_json, write_atomically
from plaudit.progress import duration_text, say
from plaudit.report.outcome import QUICK_NAME, outcome
from plaudit.runs import Run, RunStatus
from plaudit.stages import Stage, align, evaluate, panel, reward, sample
from plaudit.stages.demo_settings import PPO, QUICK, DemoSettings
from plaudit.stages.inputs import open_feedback
from plaudit.stages.lifecycle import ensure, has_configuration, headline, refuse_while_running
from plaudit.train.configs import ALGORITHMS
from plaudit.types import Prompt, Split, Task, content_id
from plaudit.workspace import SETTINGS_FILE, Workspace

if TYPE_CHECKING:
    from plaudit.models.catalog import LanguageModel

DEFAULT_MODEL = "smollm2"
STAGES = ("sample", "reward", "align", "evaluate")  # that compute
PERSON = "you"  # who ranks with --people
HELDOUT_SHARE = 0.25  # of the tasks that a person ranks: enough to say something about the reward model
PROMPTS_FROM = "everyday"  # what the demo's prompts say as their source


@dataclass(frozen=True)
class Demo:
    """What was asked for."""

    out: Path = Path("demo")
    seed: int = 0
    model: str = DEFAULT_MODEL
    algorithm: str = "rloo"  # wins as often a minute as ppo, nearer to the base: docs/results.md
    people: bool = False
    preferences: str | None = None  # a file or data set
    quick: bool = False
    dtype: str = "auto"
    threads: int = 0
    settings: DemoSettings = field(default_factory=DemoSettings)

    @classmethod
    def from_options(cls, *, quick: bool, iterations: int | None, **others: Any) -> Demo:
        """With the settings that `--quick` and `--iterations` make. UsageError where two of them exclude each other."""
        settings = QUICK if quick else PPO if others.get("algorithm") == "ppo" else DemoSettings()
        if iterations is not None:
            settings = replace(settings, iterations=iterations)
        demo = cls(quick=quick, settings=settings, **others)
        if demo.people and demo.preferences:
            raise UsageError("--people collects preferences and --preferences brings them; give one of them.")
        if demo.algorithm not in ALGORITHMS:
            raise UsageError(f"There is no algorithm {demo.algorithm}; use {' or '.join(ALGORITHMS)}.")
        if ALGORITHMS[demo.algorithm].needs_thumbs:
            raise UsageError(
                f"{demo.algorithm} learns from thumbs up or down on single answers, and the demo has rankings. Bring "
                "thumbs into a workspace by `plaudit import FILE`, and use "
                f"`plaudit align --algorithm {demo.algorithm}` there."
            )
        if settings.iterations < 1:
            raise UsageError("--iterations must be at least 1.")
        if iterations is not None and ALGORITHMS[demo.algorithm].is_direct:
            raise UsageError(
                f"{demo.algorithm} has no iterations: it learns from the preferences once. Leave them out."
            )
        return demo

    @property
    def folder(self) -> Path:
        """Whatever would give other feedback has a folder of its own."""
        parts = [f"seed-{self.seed}"]
        parts += [_slug(self.model)] if self.model != DEFAULT_MODEL else []
        parts += [self.dtype] if self.dtype != "auto" else []
        parts += ["quick"] if self.quick else []
        parts += ["people"] if self.people else []
        parts += ["preferences", _slug(self.preferences)] if self.preferences else []
        return self.out / "-".join(parts)

    def stamp(self) -> dict[str, Any]:
        """Everything that the result depends on."""
        source = Path(self.preferences).expanduser() if self.preferences else None
        options = {name: value for name, value in asdict(self).items() if name not in ("out", "threads")}
        digest = content_digest(source) if source and source.exists() else None
        return json.loads(to_json({**options, "preferences_digest": digest, "plaudit": plaudit.__version__}))


def _slug(name: str) -> str:
    """A folder's name for a path or id: readable, and different for different ones."""
    path = Path(name).expanduser()
    full = str(path.resolve()) if path.exists() else name
    return f"{re.sub(r'[^A-Za-z0-9]+', '-', name_of(name)).strip('-').lower()[:24]}-{content_id(full)[:6]}"


def demo(
    options: Demo, *, fresh: bool = False, read: Callable[[str], str] = input, write: Callable[[str], None] = print
) -> bool:
    """Do what is left to do of the demo and leave its report in `options.out`; False when people have to rank first."""
    folder = options.folder
    if (folder / SETTINGS_FILE).exists():
        refuse_while_running(Workspace.open(folder))
        if fresh:
            shutil.rmtree(folder)
    if not _is_done(options):
        is_new = not (folder / SETTINGS_FILE).exists()
        # A new one's model is loaded before anything is made: an unknown one leaves nothing behind.
        model = _load(options.model, options.dtype, options.threads) if is_new else None
        workspace = _workspace(options).override(threads=options.threads or None)
        write(f"The demo works in {folder} (model {options.model}, seed {options.seed}).")
        proof = _Loop(options, workspace, read, write, model).run()
        if proof is None:
            return False
        from plaudit.stages.report import report  # brings matplotlib

        report(workspace, [proof.id])
        write_atomically(folder / "demo.json", to_json(options.stamp(), indent=2) + "\n")
    for name in ("report.html", "summary.json"):
        write_atomically(options.out / name, (folder / name).read_bytes())
    write(outcome(json.loads((folder / "summary.json").read_text(encoding="utf-8"))))
    write(f"\nOpen {options.out / 'report.html'}")
    return True


def _is_done(options: Demo) -> bool:
    stamp = options.folder / "demo.json"
    whole = all((options.folder / name).exists() for name in ("demo.json", "report.html", "summary.json"))
    return whole and json.loads(stamp.read_text(encoding="utf-8")) == options.stamp()


def _workspace(options: Demo) -> Workspace:
    """The demo's workspace, with its feedback or prompts in it."""
    exists = (options.folder / SETTINGS_FILE).exists()
    workspace = Workspace.open(options.folder) if exists else _new_workspace(options)
    with FeedbackStore.open(workspace.database) as store:
        if options.preferences:
            import_preferences(store, options.preferences, heldout_share=workspace.heldout_share)
        else:
            add_everyday_prompts(store, options.settings.every)
    return workspace


def _new_workspace(options: Demo) -> Workspace:
    name = f"{QUICK_NAME if options.quick else 'demo'}, seed {options.seed}"
    return Workspace.create(options.folder, options.model, options.seed, name, dtype=options.dtype)


def add_everyday_prompts(store: FeedbackStore, every: int = 1) -> None:
    """The project's own prompts, or one in `every` of them; those held out come with a reference answer."""
    lines = (
        (files("plaudit") / "feedback" / "simulated" / "everyday_prompts.jsonl")
        .read_text(encoding="utf-8")
        .splitlines()
    )
    rows = [json.loads(line) for line in lines[::every]]
    prompts = [Prompt.from_text(r["prompt"], PROMPTS_FROM, topic=r["topic"], split=r["split"]) for r in rows]
    written = [(p.id, r["reference"]) for p, r in zip(prompts, rows, strict=True) if "reference" in r]
    with store.transaction():
        store.add_prompts(prompts)
        store.add_demonstrations(written, PROMPTS_FROM)


def stage_flags(settings: DemoSettings, algorithm: str) -> dict[str, dict[str, Any]]:
    """What each stage of the demo is told, by its name; the same commands one by one give the same bytes."""
    s = settings
    length = {"max_tokens": s.max_tokens, "temperature": s.temperature}
    rollout = {"prompts": s.rollout_prompts, "answers": s.rollout_answers, **length}
    training = {"iterations": s.iterations, "learning_rate": s.learning_rate}
    training |= {f"rollout.{key}": value for key, value in rollout.items()}
    if ALGORITHMS[algorithm].is_direct:
        training = {}
    return {
        "sample": {"answers": s.answers, **length, "hint": s.hint, "hinted": s.hinted},
        "panel": {"annotators": s.annotators, "overlap": s.overlap},
        "reward": {"training.epochs": s.reward_epochs},
        "align": {"algorithm": algorithm} | {f"training.{key}": value for key, value in training.items()},
        "evaluate": {"answers": s.evaluate_answers},
    }


class _Loop:
    """The stages of one demo, one after the other, on one model, which is loaded once one of them needs it."""

    def __init__(
        self,
        options: Demo,
        workspace: Workspace,
        read: Callable[[str], str],
        write: Callable[[str], None],
        model: LanguageModel | None,
    ) -> None:
        self.options, self.workspace, self.read, self.write = options, workspace, read, write
        self._model = model

    def run(self) -> Run | None:
        """The evaluate run; None when people have to rank first."""
        self._say_how_long()
        if not self.options.preferences and not self._get_feedback():
            return None
        flags = stage_flags(self.options.settings, self.options.algorithm)
        learned = self._do(reward.STAGE, flags["reward"])
        guide = {} if ALGORITHMS[self.options.algorithm].is_direct else {"reward": learned.id}
        aligned = self._do(align.STAGE, flags["align"] | guide)
        return self._do(evaluate.STAGE, {**flags["evaluate"], "align": aligned.id})

    def _say_how_long(self) -> None:
        """What the stages that are not done yet will take here, before the first of them begins."""
        with FeedbackStore.open(self.workspace.database) as store:
            prompts, held_out = store.prompts(), store.prompts(Split.HELDOUT)
        waiting = self._waiting()
        if not waiting:
            return
        from plaudit.stages.plan import plan_loop

        flags = stage_flags(self.options.settings, self.options.algorithm)
        stages = [stage for stage in (sample.STAGE, reward.STAGE, align.STAGE, evaluate.STAGE) if stage.name in waiting]
        configs = {stage: stage.configure(flags[stage.name]) for stage in stages}
        takes = plan_loop(configs, self._load_model(), prompts, len(held_out), self.options.settings.max_tokens)
        left = duration_text(sum(each.seconds for each in takes.values()))
        ranking = " besides your ranking" if self.options.people else ""
        self.write(f"It will take about {left} here{ranking}.")

    def _waiting(self) -> set[str]:
        """The stages that have to compute yet, as far as can be seen before the first of them ends."""
        finished = [run for run in self.workspace.runs() if run.status is RunStatus.FINISHED]
        waiting = set(STAGES) - {run.stage for run in finished} - ({"sample"} if self.options.preferences else set())
        training: dict[str, Any] = {"algorithm": self.options.algorithm}
        if not ALGORITHMS[self.options.algorithm].is_direct:
            training["iterations"] = self.options.settings.iterations
        aligned = [run.results for run in finished if run.stage == "align"]
        if not any(results.items() >= training.items() for results in aligned):
            waiting |= {"align", "evaluate"}
        return waiting

    def _get_feedback(self) -> bool:
        """Sample answers and have them ranked; whether they are."""
        flags = stage_flags(self.options.settings, self.options.algorithm)
        config = sample.STAGE.configure(flags["sample"])
        if any(not has_configuration(run, config, self.workspace.seed) for run in self.workspace.runs("sample")):
            raise UsageError(f"{self.workspace.path} was made with other settings; --fresh starts it over.")
        sampled = self._do(sample.STAGE, flags["sample"])
        if self.options.people:
            count = self.options.settings.people_tasks
            return rank_by_person(self.workspace, sampled, count, self.read, self.write)
        self._do(panel.STAGE, {**flags["panel"], "sample": sampled.id})
        return True

    def _do(self, stage: Stage, flags: Mapping[str, Any]) -> Run:
        run, was_there = ensure(self.workspace, stage, stage.configure(flags), self._load_model)
        self.write(f"{headline(run)}{' Done before.' if was_there else ''}")
        return run

    def _load_model(self) -> LanguageModel:
        if self._model is None:
            self._model = _load(self.workspace.model, self.workspace.dtype, self.workspace.threads)
        return self._model


def _load(name: str, dtype: str, threads: int) -> LanguageModel:
    from plaudit.models.catalog import load

    model = load(name, dtype=dtype, threads=threads)
    say(f"Computing in {model.arithmetic}.")
    return model


def rank_by_person(
    workspace: Workspace, sampled: Run, count: int, read: Callable[[str], str], write: Callable[[str], None]
) -> bool:
    """Show up to `count` tasks from the run's answers; whether all are ranked or skipped. Every answer is kept."""
    with open_feedback(workspace) as store:
        tasks = choose_tasks(store, sampled, count)
        store.add_tasks(tasks)
        if any(task.id not in store.settled_tasks(PERSON) for task in tasks):
            ask(store, tasks, PERSON, read, write)
        left = sum(task.id not in store.settled_tasks(PERSON) for task in tasks)
    if left:
        write(f"The reward model is trained when all {len(tasks)} are ranked or skipped; {left} to go.")
    return not left


def choose_tasks(store: FeedbackStore, sampled: Run, count: int) -> list[Task]:
    """The run's tasks that its seed chooses, a quarter of them on held-out prompts, in an order that mixes both."""
    side, chance = store.splits(), random.Random(sampled.seed)
    tasks = tasks_from(store.responses(run_id=sampled.id), overlap=1)
    chance.shuffle(tasks)
    heldout = [task for task in tasks if side[task.prompt_id] is Split.HELDOUT][: round(count * HELDOUT_SHARE)]
    train = [task for task in tasks if side[task.prompt_id] is Split.TRAIN][: count - len(heldout)]
    chosen = [*train, *heldout]
    chance.shuffle(chosen)
    return chosen
