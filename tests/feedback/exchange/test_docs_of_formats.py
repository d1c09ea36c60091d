"""The page on exchange names every format, and says of the declared ones what they keep."""

from __future__ import annotations

from pathlib import Path

from plaudit.feedback.exchange.formats import FORMATS, SIMPLE

PAGE = Path(__file__).parents[3] / "docs" / "howto-exchange.md"


def rows() -> list[str]:
    """The rows of the table of declared formats: those of one name stand together."""
    shown: dict[str, tuple[list[str], str]] = {}
    for name, columns in SIMPLE.items():
        names, keeps = shown.setdefault(columns.description, ([], columns.keeps))
        names.append(f"`{name}`")
        shown[columns.description] = (names, keeps or columns.keeps)
    return [f"| {', '.join(names)} | {data} | {keeps} |" for data, (names, keeps) in shown.items()]


def test_the_table_of_declared_formats_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert "\n".join(rows()) in page, "make it anew by: python tests/feedback/exchange/test_docs_of_formats.py"


def test_every_format_has_a_row() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert [name for name in FORMATS if f"`{name}`" not in page] == []


if __name__ == "__main__":
    page = PAGE.read_text(encoding="utf-8")
    before, _, rest = page.partition("| `--format` | data | what is kept |\n| --- | --- | --- |\n")
    after = rest[rest.index("\n\n") :] if not rest.startswith("<!--") else rest.removeprefix("<!-- simple -->")
    PAGE.write_text(
        before + "| `--format` | data | what is kept |\n| --- | --- | --- |\n" + "\n".join(rows()) + after,
        encoding="utf-8",
    )
