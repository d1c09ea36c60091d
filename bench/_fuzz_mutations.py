"""Inputs from inputs: changed where what reads them looks, so that they get past its first line."""

from __future__ import annotations

import copy
import csv
import gzip
import hashlib
import io
import json
import random
import zipfile
from collections.abc import Callable
from typing import Any

from bench._fuzz_targets import NAMES
from bench._random_records import places
from bench.import_shapes import known_records
from plaudit.feedback.exchange.formats import FORMATS

Mutate = Callable[[bytes, random.Random], bytes]
ODD: list[Any] = [
    None, True, -1, 0, 1, 2.5, 1e400, float("nan"), 10**30, 2**63, "", " ", "tie", "A", "1", "model_a", "9" * 5000, "{",
    "[1]", '["a"]', "\u202e\x1b[2J", "\0", "ü" * 300, "2026-01-01T00:00:00Z", "0000-00-00", [], {}, [[]], [{}],
    "\n\nHuman: A\n\nAssistant:", {"role": "user", "content": "A"}, {"from": "gpt", "value": "B"}, ["A", "A"],
    {"text": "A"}, {"value": {"rank": 1}},
]  # fmt: skip
FORMS = ("auto", "prompts", "auto lenient", "auto show", "auto trusted", "map", *FORMATS)
MARKDOWN = (
    "> ", "* ", "1. ", "`", "```\n", "**", "_", "[", "](", "](x)", "![", "<", "<a href='", "&#x", "|", "|-",
    "\n|a|b|\n|-|-|\n", "~~", "\\", "\n", "\n\n", "    ", "#", "javascript:", "http://a", "[a]: b\n", "<!--", "\t",
    "\0", "&amp;", "***a",
    "\u202e", "((",
)  # fmt: skip
PATHS = (
    "/", "/signin", "/signout", "/join/{token}", "/guidelines", "/work", "/history?before=1", "/account",
    "/account/password", "/account/language", "/account/sign-out-everywhere", "/api/task", "/api/judgements",
    "/api/demonstrations", "/api/skips", "/api/heartbeats", "/api/retractions", "/api/history?before=7",
    "/api/entries/{entry}", "/lead", "/lead/people",
    "/lead/people/invite", "/lead/people/reset", "/lead/people/disable", "/lead/people/enable", "/lead/people/revoke",
    "/lead/people/role", "/lead/people/withdraw", "/lead/people/uninvite", "/lead/guidelines", "/lead/project",
    "/lead/log",
)  # fmt: skip
KINDS = (
    "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "multipart/form-data",
    "", "application/x-www-form-urlencoded; charset=utf-16", "text/plain", "multipart/form-data; boundary=" + "b" * 300,
)  # fmt: skip

MAP_KEYS = (
    "prompt", "chosen", "rejected", "answers", "votes", "choice", "rank", "score", "reason", "signed", "annotator",
    "scale", "ask", "tags", "only", "choices", "ratings", "best",
)  # fmt: skip
MAP_VALUES = ("1", "nan", "[1, 7]", f"[1, {10**400}]", "[1]", "[[1]]", '{a = "b"}', '{1 = ["a"]}', '"rows.*.a"', '"=x"')
FORM_VALUES = (
    b"", b"%00", b"%ff", b"\xff", b"a" * 2000, b"%E2%80%AE", b"&" * 300, b"-1", b"9" * 5000, b"nan", b"1e999",
    b"=1", b"1_0",
    b"0.0000000000001", b"%F0%9F%98%80", b"\r\n", b"%ud800", b"%ED%A0%80", b"\xd9\xa3",
)  # fmt: skip


def change(record: Any, chance: random.Random, times: int = 3) -> Any:
    """The record with up to so many parts gone, doubled, or made odd."""
    record = {"x": copy.deepcopy(record)}
    for _ in range(chance.randint(1, times)):
        known = places(record)
        if not known:
            break
        *way, last = chance.choice(known)
        owner = record
        for key in way:
            owner = owner[key]
        how = chance.choice(("odd", "odd", "gone", "doubled", "deep", "renamed"))
        if how == "gone":
            del owner[last]
        elif how == "doubled" and isinstance(owner, list):
            owner += [owner[last]] * chance.choice((1, 1, 60))
        elif how == "deep":
            owner[last] = [owner[last]] if chance.random() < 0.5 else {"text": owner[last]}
        elif how == "renamed" and isinstance(owner, dict):
            owner[chance.choice(("id", "annotator", "value", "text", str(last) + "_1", "x" * 300))] = owner.pop(last)
        else:
            owner[last] = copy.deepcopy(chance.choice(ODD))
    return record.get("x")


def change_import(data: bytes, chance: random.Random) -> bytes:
    """Records of a form that is known, or those of the input, in a file of any kind."""
    head, _, body = data.partition(b"\n")
    records = _records(body) or chance.choices(known_records(), k=chance.randint(1, 3))
    records = [change(record, chance) if chance.random() < 0.7 else record for record in records[:8]]
    name = chance.choice((NAMES[0], NAMES[0], *NAMES))
    form = chance.choice(FORMS) if chance.random() < 0.4 else head.decode("latin-1").partition(" ")[2] or "auto"
    mapping = b""
    if form == "map":
        mapping = _mapping(records, chance).encode("utf-8", "replace") + b"\n---\n"
    return f"{name} {form}\n".encode("latin-1", "replace") + mapping + write(records, name)


def _records(body: bytes) -> list[Any]:
    try:
        return [json.loads(line) for line in body.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return []


def _mapping(records: list[Any], chance: random.Random) -> str:
    """A mapping that names columns which are there, and some that are not."""
    columns = [k for record in records if isinstance(record, dict) for k in record] or ["a"]
    named = (lambda: json.dumps(chance.choice(columns)), lambda: json.dumps(chance.choices(columns, k=2)))
    values = [*named, *(lambda text=text: text for text in MAP_VALUES)]
    return "\n".join(f"{key} = {chance.choice(values)()}" for key in chance.sample(MAP_KEYS, chance.randint(1, 5)))


def write(records: list[Any], name: str) -> bytes:
    """The records as a file of that name would hold them."""
    lines = "".join(json.dumps(record) + "\n" for record in records).encode()
    if name.endswith(".gz"):
        return gzip.compress(write(records, name.removesuffix(".gz")), mtime=0)
    if name.endswith(".zip"):
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a.jsonl", lines)
            archive.writestr("b.csv", _table(records, ","))
        return file.getvalue()
    if name.endswith(".parquet"):
        return _parquet(records)
    if name.endswith((".csv", ".tsv")):
        return _table(records, "\t" if name.endswith(".tsv") else ",")
    return json.dumps(records).encode() if name.endswith(".json") else lines


def _rows(records: list[Any]) -> list[dict[str, Any]]:
    columns = list(dict.fromkeys(k for record in records if isinstance(record, dict) for k in record)) or ["a"]
    return [{k: record.get(k) if isinstance(record, dict) else record for k in columns} for record in records]


def _table(records: list[Any], between: str) -> bytes:
    text, rows = io.StringIO(), _rows(records) or [{"a": 1}]
    writer = csv.DictWriter(text, [str(k) for k in rows[0]], delimiter=between)
    writer.writeheader()
    writer.writerows({str(k): v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "replace")


def _parquet(records: list[Any]) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file = io.BytesIO()
    try:
        table = pa.Table.from_pylist(_rows(records))
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        table = pa.Table.from_pylist([{k: json.dumps(v) for k, v in row.items()} for row in _rows(records)])
    try:
        pq.write_table(table, file)
    except pa.ArrowException:  # a struct without fields
        return b""
    return file.getvalue()


def change_restore(data: bytes, chance: random.Random) -> bytes:
    """An archive whose rows were changed and whose digests are right."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            parts = {name: archive.read(name) for name in archive.namelist()}
        manifest = json.loads(parts["manifest.json"])
        for name in ("events", "accounts"):
            rows = _records(parts[f"{name}.jsonl"])
            for place in chance.sample(range(len(rows)), min(len(rows), chance.randint(0, 2))):
                rows[place] = change(rows[place], chance, 2)
            if rows and chance.random() < 0.2:
                rows.insert(chance.randrange(len(rows)), rows.pop(chance.randrange(len(rows))))
            lines = "".join(json.dumps(row) + "\n" for row in rows).encode("utf-8", "replace")
            parts[f"{name}.jsonl"] = lines
            manifest["parts"][name] = {"rows": len(rows), "sha256": hashlib.sha256(lines).hexdigest()}
        parts["manifest.json"] = json.dumps(change(manifest, chance, 1) if chance.random() < 0.1 else manifest).encode()
    except Exception:  # whatever an archive that was damaged on purpose makes zipfile raise
        return data
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(zipfile.ZipInfo(name), content)
    return file.getvalue()


def change_markdown(data: bytes, chance: random.Random) -> bytes:
    """The text with signs of Markdown put in, some of them very often."""
    text = data.decode("utf-8", "replace")
    for _ in range(chance.randint(1, 4)):
        at = chance.randint(0, len(text))
        text = text[:at] + chance.choice(MARKDOWN) * chance.choice((1, 1, 2, 5, 50)) + text[at:]
    return text.encode("utf-8", "replace")


def change_request(data: bytes, chance: random.Random) -> bytes:
    """A request whose body goes with its type; sometimes to somewhere else, or by somebody else."""
    head, _, body = data.partition(b"\n")
    who, method, path, kind = [*head.decode("latin-1").split(" ", 3), "", "", "", ""][:4]
    if chance.random() < 0.3:
        who = chance.choice(("ann", "lea", "olga", "nobody"))
    if chance.random() < 0.2:
        path = chance.choice(PATHS)
    if chance.random() < 0.1:
        method, kind = chance.choice(("GET", "POST", "POST", "HEAD", "PUT")), chance.choice(KINDS)
    if kind.startswith("application/json") and (sent := _records(body)):
        body = json.dumps(change(sent[0], chance)).encode("utf-8", "replace")
    elif "urlencoded" in kind:
        fields = body.split(b"&")
        at = chance.randrange(len(fields))
        fields[at] = fields[at].partition(b"=")[0] + b"=" + chance.choice(FORM_VALUES)
        body = b"&".join(fields)
    return f"{who} {method} {path} {kind}\n".encode("latin-1", "replace") + body


MUTATIONS: dict[str, Mutate] = {
    "import": change_import,
    "restore": change_restore,
    "markdown": change_markdown,
    "requests": change_request,
}
