"""The house's rules, read off the imports (docs/decisions/0001-one-house.md). One bad house shows that they bite."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "plaudit"

LAYERS = (
    {"types", "errors", "printable"},
    {"files", "memory", "config", "hub", "runs", "workspace", "progress", "stats"},
    {"feedback"},
    {"models"},
    {"train", "evaluate", "audit", "serve"},
    {"report"},
    {"stages"},
    {"web"},
    {"cli"},
)
LAYER = {room: number for number, rooms in enumerate(LAYERS) for room in rooms}
FLOORS = {  # inside a room, as LAYERS outside: what stands on one floor does not import each other
    "feedback": (
        {"events"},
        {"labelling"},
        {"store"},
        {"aggregate"},
        {"quality"},
        {"exchange", "simulated", "terminal"},
    ),
    "models": (
        {"prepacked"},
        {"processor", "embedded", "chat", "packing", "lora", "cuda_graph", "modeling_plaudit_reward", "judge"},
        {"runtime", "arithmetic", "backbone", "identity", "attention", "head"},
        {"logprobs", "decoding", "layers"},
        {"fidelity"},
        {"trunk"},
        {"catalog"},
        {"sampling", "reward_model", "text_reward", "supervised"},
        {"external_reward", "function_reward", "judge_reward", "weighted_reward", "reward_ensemble", "reward_export"},
        {"pace"},
        {"gpus"},
    ),
    # An algorithm is one file, read downwards: none imports another, nor the loop that they are run by.
    "train": (
        {"configs", "losses", "adaptive_kl", "checkpoint", "early_stopping"},
        {"steps", "said"},
        {"rollouts", "reward"},
        {"fine_tuning"},
        {"ensemble"},
        {"loop", "passes", "ppo", "rloo", "grpo", "dpo", "kto", "sft"},
    ),
}
FLOOR = {(room, part): n for room, floors in FLOORS.items() for n, parts in enumerate(floors) for part in parts}
CHAINS = ("plaudit.feedback.exchange.formats", *(f"plaudit.{room}.{part}" for room, part in sorted(FLOOR)))
LONGEST_CHAIN = 6  # of imports inside one part of a room
NEIGHBOURS = {("runs", "files"), ("workspace", "files"), ("workspace", "config"), ("workspace", "runs")}

HEAVY = {"torch", "transformers", "datasets", "peft", "accelerate", "matplotlib", "pandas", "sklearn", "gguf"}
STAGE_RECORDS = "plaudit.stages"  # what a command is made from; its own imports are of layers 0 and 1
STALE_RUNS = "plaudit.stages.stale"  # the one module of the stages that the labelling app imports
LIGHT_LAYERS = 3  # layers 0 to 2 are imported by every command
NO_NOUN = {"utils", "util", "common", "helpers", "helper", "misc"}


@dataclass(frozen=True)
class Import:
    importer: str
    imported: str  # a dotted name: a module of ours, or another package's
    at_import_time: bool  # not inside a function

    def __str__(self) -> str:
        return f"{self.importer} imports {self.imported}"


def room(module: str) -> str:
    """`plaudit.train.ppo` -> `train`"""
    return module.split(".")[1] if "." in module else ""


def part(module: str) -> str:
    """`plaudit.feedback.events.log` -> `events`"""
    return [*module.split("."), "", "", ""][2]


def sources() -> dict[str, str]:
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path.read_text(encoding="utf-8")
    return found


def imports(modules: Mapping[str, str]) -> Iterator[Import]:
    for module, source in modules.items():
        tree = ast.parse(source)
        functions = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
        inside = {id(n) for f in ast.walk(tree) if isinstance(f, functions) for n in ast.walk(f)}
        for node in ast.walk(tree):
            for name in _imported_names(node, module, modules):
                yield Import(module, name, id(node) not in inside)


def _imported_names(node: ast.AST, module: str, modules: Mapping[str, str]) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if not isinstance(node, ast.ImportFrom):
        return []
    base = node.module or ""
    if node.level:
        is_package = any(other.startswith(f"{module}.") for other in modules)
        package = module.split(".")[: len(module.split(".")) - node.level + is_package]
        base = ".".join([*package, *([base] if base else [])])
    return [f"{base}.{alias.name}" if f"{base}.{alias.name}" in modules else base for alias in node.names]


def violations(modules: Mapping[str, str]) -> list[str]:
    """Every breach of the rules, a sentence each."""
    found = list(imports(modules))
    return [
        *_unknown_rooms(modules),
        *(f"{it}, which is not in a lower layer" for it in found if _climbs(it)),
        *(f"{it}, which is not on a lower floor" for it in found if _climbs_inside(it)),
        *(f"{it} while it is itself imported" for it in found if it.at_import_time and _is_heavy(it)),
        *(f"{it}: the labelling app never loads a model" for it in found if _brings_torch_to_the_web(it)),
        *(f"{it}: layer 0 is standard library only" for it in found if _is_foreign_to_layer_0(it)),
        *_cycles(found, modules),
    ]


def _unknown_rooms(modules: Mapping[str, str]) -> Iterator[str]:
    for module in modules:
        if room(module) and room(module) not in LAYER:
            yield f"{module} stands in no layer: put `{room(module)}` into the table"
        if room(module) in FLOORS and part(module) and (room(module), part(module)) not in FLOOR:
            yield f"{module} stands on no floor: put `{part(module)}` into the table of {room(module)}"
        if NO_NOUN.intersection(module.split(".")):
            yield f"{module}: a function lives with the noun it serves"


def _climbs(it: Import) -> bool:
    ours, theirs = room(it.importer), room(it.imported)
    if not it.imported.startswith("plaudit.") or ours == theirs or ours not in LAYER or theirs not in LAYER:
        return False
    return LAYER[theirs] >= LAYER[ours] and (ours, theirs) not in NEIGHBOURS


def _climbs_inside(it: Import) -> bool:
    here, there = (room(it.importer), part(it.importer)), (room(it.imported), part(it.imported))
    return here != there and here in FLOOR and there in FLOOR and here[0] == there[0] and FLOOR[there] >= FLOOR[here]


def longest_chain(modules: Mapping[str, str], inside: str) -> int:
    """How many modules import one another in a row, of those in the package `inside`, rooms of its own left out."""
    own = [other for other in CHAINS if other.startswith(f"{inside}.")]
    graph: dict[str, set[str]] = {
        m: set() for m in modules if f"{m}.".startswith(f"{inside}.") and not m.startswith(tuple(own))
    }
    for it in imports(modules):
        if it.importer in graph and it.imported in graph and it.imported != it.importer:
            graph[it.importer].add(it.imported)
    length: dict[str, int] = {}
    for module in TopologicalSorter(graph).static_order():
        length[module] = 1 + max((length[other] for other in graph[module]), default=0)
    return max(length.values(), default=0)


def _is_heavy(it: Import) -> bool:
    """Layers 0 to 2 load nothing heavy when imported; the command line not even layer 2, for `--help` must be quick."""
    ours, theirs = room(it.importer), it.imported.split(".")[0]
    if ours == "cli" and theirs == "plaudit":
        return LAYER.get(room(it.imported), 0) > 1 and room(it.imported) != "cli" and it.imported != STAGE_RECORDS
    return theirs in HEAVY and (ours == "cli" or LAYER.get(ours, 0) < LIGHT_LAYERS)


def _brings_torch_to_the_web(it: Import) -> bool:
    """Of what may compute, the app knows only how a run names what it rests on."""
    theirs = room(it.imported)
    computes = LAYER[theirs] > LAYER["feedback"] if theirs in LAYER and theirs != "web" else False
    brings = it.imported.split(".")[0] in HEAVY or (computes and it.imported != STALE_RUNS)
    return room(it.importer) == "web" and brings


def _is_foreign_to_layer_0(it: Import) -> bool:
    top = it.imported.split(".")[0]
    return LAYER.get(room(it.importer)) == 0 and top != "plaudit" and top not in sys.stdlib_module_names


def _cycles(found: list[Import], modules: Mapping[str, str]) -> Iterator[str]:
    graph: dict[str, set[str]] = {module: set() for module in modules}
    for it in found:
        if it.imported in modules and it.imported != it.importer:
            graph[it.importer].add(it.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        yield f"import cycle: {' <- '.join(error.args[1])}"


def test_the_house_is_in_order() -> None:
    assert violations(sources()) == []


@pytest.mark.parametrize("inside", CHAINS)
def test_no_part_of_a_room_is_a_long_corridor(inside: str) -> None:
    assert longest_chain(sources(), inside) <= LONGEST_CHAIN


def test_what_is_read_is_the_house() -> None:
    """An empty reading would be in order, too."""
    read = sources()
    assert {"plaudit", "plaudit.types", "plaudit.runs", "plaudit.cli"} <= read.keys()
    assert Import("plaudit.workspace", "plaudit.runs", True) in list(imports(read))


BAD_HOUSE = {
    "plaudit": "",
    "plaudit.types": "import numpy",
    "plaudit.runs": "import plaudit.feedback.store",
    "plaudit.progress": "from plaudit.runs import Run",
    "plaudit.stats": "",
    "plaudit.stats.intervals": "from . import agreement",
    "plaudit.stats.agreement": "def f():\n    from plaudit.stats.intervals import g",
    "plaudit.feedback": "",
    "plaudit.feedback.events": "",
    "plaudit.feedback.events.log": "from plaudit.feedback import store",
    "plaudit.feedback.terminal": "from plaudit.feedback.simulated import panel",
    "plaudit.feedback.corridor": "",
    "plaudit.feedback.store": "import torch.nn\ndef f():\n    import transformers",
    "plaudit.web": "import plaudit.stages.stale\ndef f():\n    import torch\n    import plaudit.models.trunk",
    "plaudit.stages": "",
    "plaudit.stages.stale": "",
    "plaudit.feedback.simulated": "",
    "plaudit.feedback.simulated.panel": "",
    "plaudit.models": "from plaudit import web",
    "plaudit.models.packing": "from plaudit.models.trunk import Trunk",
    "plaudit.models.trunk": "",
    "plaudit.train": "",
    "plaudit.train.losses": "from plaudit.train import ppo",
    "plaudit.train.ppo": "from plaudit.train.rloo import x\nimport torch",
    "plaudit.train.rloo": "import torch",
    "plaudit.cli": "import transformers",
    "plaudit.cli.reward": "from plaudit.train.rloo import x\ndef f():\n    from plaudit.train import ppo",
    "plaudit.utils": "",
}


def test_a_bad_house_is_found_out() -> None:
    found = violations(BAD_HOUSE)
    assert sorted(sentence for sentence in found if "cycle" not in sentence) == [
        "plaudit.cli imports transformers while it is itself imported",
        "plaudit.cli.reward imports plaudit.train.rloo while it is itself imported",
        "plaudit.feedback.corridor stands on no floor: put `corridor` into the table of feedback",
        "plaudit.feedback.events.log imports plaudit.feedback.store, which is not on a lower floor",
        "plaudit.feedback.store imports torch.nn while it is itself imported",
        "plaudit.feedback.terminal imports plaudit.feedback.simulated.panel, which is not on a lower floor",
        "plaudit.models imports plaudit.web, which is not in a lower layer",
        "plaudit.models.packing imports plaudit.models.trunk, which is not on a lower floor",
        "plaudit.progress imports plaudit.runs, which is not in a lower layer",
        "plaudit.runs imports plaudit.feedback.store, which is not in a lower layer",
        "plaudit.train.losses imports plaudit.train.ppo, which is not on a lower floor",
        "plaudit.train.ppo imports plaudit.train.rloo, which is not on a lower floor",
        "plaudit.types imports numpy: layer 0 is standard library only",
        "plaudit.utils stands in no layer: put `utils` into the table",
        "plaudit.utils: a function lives with the noun it serves",
        "plaudit.web imports plaudit.models.trunk: the labelling app never loads a model",
        "plaudit.web imports torch: the labelling app never loads a model",
    ]
    cycles = [sentence for sentence in found if "cycle" in sentence]
    assert len(cycles) == 1
    assert "plaudit.stats.agreement <- plaudit.stats.intervals" in cycles[0]
