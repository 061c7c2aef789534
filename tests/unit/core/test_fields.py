"""The three lists of fields. Run as a script, this file writes their page anew."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from jobrunner.core.fields import FIELDS, Field, Standing, of_job, refusal, v2_path

PAGE = Path(__file__).parents[3] / "docs/reference/fields.md"
TASK = "spec.template.spec.template.spec"
TITLES = {
    Standing.HONOURED: "Honoured",
    Standing.IGNORED: "Stored, returned and ignored",
    Standing.REFUSED: "Refused by name",
}
OUTPUT = "Written by the server"


def cell(path: str) -> str:
    return f"`{path}`" if path else "—"


def table(fields: list[Field]) -> str:
    named = any(field.resource != "Job" for field in fields)
    head = ["resource"] if named else []
    head += ["v1", "v2", "note"]
    lines = [f"| {' | '.join(head)} |", f"|{'---|' * len(head)}"]
    for field in fields:
        row = [field.resource] if named else []
        row += [cell(field.v1), cell(field.v2), field.note]
        lines.append(f"| {' | '.join(row).rstrip()} |")
    return "\n".join(lines)


def sections() -> dict[str, str]:
    found = {
        title: table([f for f in FIELDS if f.standing is standing and not f.output])
        for standing, title in TITLES.items()
    }
    found[OUTPUT] = table([f for f in FIELDS if f.output])
    return found


def test_the_page_holds_exactly_the_lists() -> None:
    page = PAGE.read_text()
    for title, text in sections().items():
        (body,) = re.findall(rf"^## {title}\n(.*?)(?=^## |\Z)", page, re.M | re.S)
        rows = "\n".join(line for line in body.splitlines() if line.startswith("|"))
        assert rows == text, f"run: python {Path(__file__).name}"


def test_no_v1_path_is_in_two_lists() -> None:
    paths = [(field.resource, field.v1) for field in FIELDS if field.v1]
    assert len(paths) == len(set(paths))


def test_every_refused_field_says_why() -> None:
    for field in FIELDS:
        if field.standing is Standing.REFUSED:
            assert field.note.startswith("not supported"), field
            if field.v1:
                assert refusal(field.v1.replace("[]", "[3]")).message == field.note


def test_an_honoured_field_has_no_refusal() -> None:
    with pytest.raises(KeyError):
        refusal("metadata.name")


@pytest.mark.parametrize(
    ("v1", "v2"),
    [
        ("metadata.name", "name"),
        (f"{TASK}.containers[0].env[2].name", "template.template.containers[0].env[2].name"),
        (
            f"{TASK}.containers[1].env[2].valueFrom.secretKeyRef.key",
            "template.template.containers[1].env[2].valueSource.secretKeyRef.version",
        ),
        (
            f"{TASK}.containers[0].resources.limits[cpu]",
            "template.template.containers[0].resources.limits[cpu]",
        ),
        (
            "spec.template.metadata.annotations[run.googleapis.com/vpc-access-connector]",
            "template.template.vpcAccess.connector",
        ),
        ("spec.template.metadata.labels[a.b/c]", "template.labels[a.b/c]"),
        (
            f"{TASK}.volumes[1].secret.items[0].key",
            "template.template.volumes[1].secret.items[0].version",
        ),
        (f"{TASK}.timeoutSeconds", "template.template.timeout"),
        ("metadata.namespace", "metadata.namespace"),
        ("overrides.taskCount", "overrides.taskCount"),
    ],
)
def test_a_v1_path_is_translated_with_its_numbers(v1: str, v2: str) -> None:
    assert v2_path(v1) == v2


def test_a_field_is_found_whatever_its_numbers() -> None:
    field = of_job(f"{TASK}.containers[7].startupProbe")
    assert field is not None
    assert field.standing is Standing.REFUSED
    assert of_job("spec.nonsense") is None


if __name__ == "__main__":
    text = PAGE.read_text()
    for title, rows in sections().items():
        text = re.sub(
            rf"(^## {title}\n.*?)^\|.*?(?=\n\n|\Z)",
            lambda match, rows=rows: match[1] + rows,  # type: ignore[misc]
            text,
            count=1,
            flags=re.M | re.S,
        )
    PAGE.write_text(text if text.endswith("\n") else text + "\n")
