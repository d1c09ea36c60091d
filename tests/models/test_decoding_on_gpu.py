"""What sampling does on a GPU, as far as a CPU can tell: steps of one shape, looks at who has finished only now and
then, recording. And that none of it changed an answer on a CPU.
"""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import LlamaConfig, LlamaForCausalLM

from plaudit.models import cuda_graph, decoding, sampling
from plaudit.models.decoding import FixedSteps, prefill
from plaudit.models.lora import LoraSettings
from plaudit.models.sampling import Leaving, Sampled, draw_answers, draw_tokens
from plaudit.models.trunk import Trunk
from plaudit.types import Sampling, StopReason

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12, 13], [14, 15]]
ENDS = (2, 20, 40, 60, 80)  # so many that some answers end early


@pytest.fixture
def policy(tiny):
    tiny.trunk.add_adapter("policy", LoraSettings(4), seed=0)
    for parameter in tiny.trunk.adapter_parameters("policy").values():
        parameter.data += 0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3))
    return tiny.trunk


def draw(trunk, seed: int = 0, limit: int = 24, ends=ENDS, temperature: float = 5.0) -> list[Sampled]:
    generator = torch.Generator().manual_seed(seed)
    drawn = draw_answers(trunk, PROMPTS, 4, Sampling(limit, temperature), ends, generator, adapter="policy")
    return [answer for group in drawn for answer in group]


@torch.no_grad()
def one_by_one(trunk, generator: torch.Generator, limit: int, temperature: float) -> list[Sampled]:
    """The loop with lists that sampling once was: each token is looked at as it comes, and leaves with its row."""
    with trunk.merged("policy"):
        steps, logits = prefill(trunk, PROMPTS, limit)
        copies = torch.arange(len(PROMPTS)).repeat_interleave(4)
        steps.take(copies)
        logits = logits[copies]
        ids: list[list[int]] = [[] for _ in copies]
        logprobs: list[list[float]] = [[] for _ in copies]
        rows = list(range(len(copies)))
        for step in range(limit):
            uniforms = torch.rand(len(rows), 1, generator=generator, dtype=torch.float64)[:, 0]
            tokens, probabilities = draw_tokens(logits, temperature, uniforms)
            for row, token, logprob in zip(rows, tokens.tolist(), probabilities.log().tolist(), strict=True):
                ids[row].append(token)
                logprobs[row].append(logprob)
            keep = [place for place, row in enumerate(rows) if ids[row][-1] not in ENDS]
            if not keep or step + 1 == limit:
                break
            if len(keep) < len(rows):
                rows = [rows[place] for place in keep]
                steps.take(torch.tensor(keep))
            logits = steps.step(tokens[keep])
    reasons = [StopReason.EOS if row[-1] in ENDS else StopReason.LENGTH for row in ids]
    return [Sampled(tuple(i), tuple(p), reason) for i, p, reason in zip(ids, logprobs, reasons, strict=True)]


@pytest.mark.parametrize("seed", range(4))
def test_on_a_cpu_every_answer_is_what_the_plain_loop_gives(policy, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    plain = one_by_one(policy, generator, 24, 5.0)
    assert draw(policy, seed) == plain
    assert len({len(answer.ids) for answer in plain}) > 2  # rows left at several times


def test_blocks_of_random_numbers_are_one_sequence() -> None:
    whole, parts = (torch.Generator().manual_seed(5) for _ in range(2))
    single = [sampling.draw_uniforms(1, 33, parts)[0] for _ in range(7)]
    assert torch.equal(sampling.draw_uniforms(7, 33, whole), torch.stack(single))


@pytest.fixture
def as_on_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sampling, "fastest_steps", FixedSteps)
    monkeypatch.setitem(sampling.LEAVING, "cpu", sampling.LEAVING["cuda"])


def assert_same(ours: list[Sampled], theirs: list[Sampled]) -> None:
    assert [(a.ids, a.stop_reason) for a in ours] == [(a.ids, a.stop_reason) for a in theirs]
    for a, b in zip(ours, theirs, strict=True):
        assert a.logprobs == pytest.approx(b.logprobs, abs=1e-4)


def test_steps_of_one_shape_give_the_same_answers(policy, monkeypatch: pytest.MonkeyPatch) -> None:
    growing = draw(policy)
    monkeypatch.setattr(sampling, "fastest_steps", FixedSteps)
    assert_same(draw(policy), growing)


@pytest.mark.parametrize("limit", [1, 7, 8, 9, 24])
def test_without_an_end_it_makes_no_difference_when_rows_would_leave(
    policy, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    growing = draw(policy, limit=limit, ends=())
    monkeypatch.setattr(sampling, "fastest_steps", FixedSteps)
    monkeypatch.setitem(sampling.LEAVING, "cpu", sampling.LEAVING["cuda"])
    assert_same(draw(policy, limit=limit, ends=()), growing)


def test_what_a_finished_row_writes_on_is_no_part_of_its_answer(policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Greedily, so that a random number more or less changes nothing."""
    monkeypatch.setattr(sampling, "draw_tokens", lambda logits, *_: (logits.argmax(-1), torch.ones(len(logits))))
    often = [token for answer in draw(policy, ends=()) for token in answer.ids[3:12]]
    ends = (max(set(often), key=often.count), often[0])
    growing = draw(policy, ends=ends)
    assert len({len(answer.ids) for answer in growing}) > 1
    monkeypatch.setattr(sampling, "fastest_steps", FixedSteps)
    for leaving in (Leaving(8, 0.5), Leaving(3, 1.0), Leaving(1, 0.9), Leaving(100, 0.5)):
        monkeypatch.setitem(sampling.LEAVING, "cpu", leaving)
        assert_same(draw(policy, ends=ends), growing)


class Counting(TorchDispatchMode):
    """How often somebody waits for what the device computes, and how often a tensor comes from elsewhere."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.calls.append(function.__name__)
        return function(*args, **(kwargs or {}))

    @property
    def waits(self) -> int:
        return sum(name.startswith(("_local_scalar_dense", "nonzero", "is_nonzero")) for name in self.calls)


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_gpu_is_waited_for_once_in_eight_steps(policy) -> None:
    def waits(limit: int) -> int:
        with Counting() as counting:
            draw(policy, limit=limit, ends=())
        return counting.waits

    assert waits(41) - waits(1) == 5


def test_a_step_of_one_shape_needs_no_number_that_the_device_computes(monkeypatch) -> None:
    """On `meta` there are none: whoever asked for one would not get it."""
    monkeypatch.setattr("plaudit.models.trunk.read_untouched", lambda model: None)
    monkeypatch.setattr("plaudit.models.trunk.compare", lambda *_: None)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 4, "num_attention_heads": 4}
    with torch.device("meta"):
        model = LlamaForCausalLM(LlamaConfig(vocab_size=96, num_key_value_heads=2, **sizes))
    with torch.no_grad():
        growing, logits = prefill(Trunk(model), PROMPTS, 6)
        steps, written = FixedSteps(growing), sampling.Written(3, 6, ENDS, logits.device)
        for step, uniforms in enumerate(sampling.draw_uniforms(4, 3, torch.Generator()).to("meta")):
            tokens, probabilities = draw_tokens(logits, 1.0, uniforms)
            written.add(torch.arange(3, device="meta"), step, tokens, probabilities)
            logits = steps.step(tokens)
    assert (logits.device.type, logits.shape) == ("meta", (3, 96))
    with pytest.raises(RuntimeError):
        written.unfinished(torch.arange(3, device="meta"))


class Pretended:
    """A recorded step as a GPU has it: tensors of its own for what is given and for what it gives."""

    def __init__(self) -> None:
        self.recorded = self.replayed = 0

    def capture(self, function: cuda_graph.Function, example: Tensor) -> cuda_graph.Function:
        self.recorded += 1
        given = example.clone()
        function(given)
        gives = function(given)

        def replay(value: Tensor) -> Tensor:
            self.replayed += 1
            given.copy_(value)
            return gives.copy_(function(given))

        return replay


@pytest.fixture
def pretended(monkeypatch: pytest.MonkeyPatch) -> Pretended:
    """Recording, as if the CPU were a GPU."""
    it = Pretended()
    monkeypatch.setattr(decoding, "record", it.capture)
    return it


@pytest.mark.usefixtures("as_on_a_gpu")
def test_a_recorded_step_gives_the_same_answers(policy, pretended: Pretended) -> None:
    replayed = draw(policy, limit=40)
    assert pretended.replayed >= 32
    assert 2 <= pretended.recorded <= 4  # anew where at most half of the rows are left
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoding, "record", lambda function, example: function)
        assert_same(replayed, draw(policy, limit=40))


class OnGpu:
    """Looks like a tensor on a GPU to whoever asks whether to record."""

    is_cuda = True


def test_what_cannot_be_recorded_is_started_as_ever_and_said_once(monkeypatch, capsys) -> None:
    cuda_graph._say_once.cache_clear()

    def fail(*_: object) -> None:
        raise RuntimeError("it waits for the GPU\nand so on")

    monkeypatch.setattr(cuda_graph, "_capture", fail)
    assert cuda_graph.record(len, OnGpu()) is len  # type: ignore[arg-type]
    assert cuda_graph.record(len, OnGpu()) is len  # type: ignore[arg-type]
    said = capsys.readouterr().err
    assert said.count("cannot be recorded as a CUDA graph") == 1
    assert "(RuntimeError: it waits for the GPU)" in said


def test_on_a_cpu_nothing_is_recorded() -> None:
    assert cuda_graph.record(len, torch.zeros(1)) is len  # type: ignore[arg-type]
