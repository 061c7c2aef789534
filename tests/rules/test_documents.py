"""What is written stays true: commands, links, the lock file, and no trace of any one machine."""

import re
import subprocess
import tomllib
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tree() -> list[Path]:
    """Every file that is, or is about to be, part of the repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    paths = [ROOT / name for name in listing.stdout.split("\0") if name]
    return [path for path in paths if path.is_file()]


PAGES = sorted(path for path in tree() if path.suffix == ".md")


def readme_command(name: str) -> str:
    """The one command between the markers ``<!-- name -->`` and ``<!-- /name -->``."""
    text = (ROOT / "README.md").read_text()
    pattern = rf"<!-- {name} -->\n```sh\n(.+)\n```\n<!-- /{name} -->"
    (command,) = re.findall(pattern, text)
    assert isinstance(command, str)
    return command


def test_ci_runs_the_commands_of_the_readme_and_no_copy_of_them() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    for name in ("run-command", "test-command"):
        assert f"readme {name}" in script
        assert readme_command(name) not in script


def test_ci_finds_the_commands_of_the_readme() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    (function,) = re.findall(r"^readme\(\) \{.*?^\}$", script, re.MULTILINE | re.DOTALL)
    for name in ("run-command", "test-command"):
        command = ["bash", "-c", f"{function}\nreadme {name}"]
        run = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        assert run.stdout.strip() == readme_command(name)


def test_the_readme_commands_need_python_and_nothing_else() -> None:
    for name in ("run-command", "test-command"):
        programs = [part.split()[0] for part in readme_command(name).split(" && ")]
        assert programs[0] == "python3"
        assert all(program.startswith(".venv/bin/") for program in programs[1:])


def test_the_lock_pins_versions_and_names_no_place() -> None:
    for line in (ROOT / "requirements.lock").read_text().splitlines():
        words = line.split("#")[0].strip()
        assert not words or re.fullmatch(r"[a-z0-9.-]+==[0-9a-z.]+", words), line


def test_the_lock_covers_every_direct_dependency() -> None:
    locked = set(re.findall(r"^([a-z0-9.-]+)==", (ROOT / "requirements.lock").read_text(), re.M))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = list(chain(project["dependencies"], *project["optional-dependencies"].values()))
    names = {re.split(r"[^A-Za-z0-9._-]", wish)[0].lower() for wish in wanted}
    assert names - locked - {project["name"]} == set()


def test_no_file_names_a_package_index_or_the_path_of_one_machine() -> None:
    # Written in parts, so that this file does not find itself.
    traces = ["pypi" + ".org", "python" + "hosted.org", "/opt/" + "pypi", "extra-" + "index-url"]
    traces += ["/wo" + "rk/main", "/wo" + "rk/shared", "/ro" + "ot/.pyenv", "bash_" + "jobs"]
    for path in tree():
        text = path.read_bytes().decode(errors="replace")
        found = [trace for trace in traces if trace in text]
        assert not found, f"{path.relative_to(ROOT)} names {found}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if "://" in target or target.startswith(("#", "mailto:")):
            continue
        assert (page.parent / target.split("#")[0]).exists(), f"{page}: {target}"


def test_the_index_of_docs_names_every_page() -> None:
    docs = ROOT / "docs"
    linked = set()
    for index in (docs / "README.md", docs / "adr" / "README.md"):
        targets = re.findall(r"\]\(([^)\s#]+)", index.read_text())
        linked |= {(index.parent / target).resolve() for target in targets}
    pages = {page for page in PAGES if docs in page.parents} - {docs / "README.md"}
    assert pages - linked == set()


def test_make_targets_are_described_and_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    described = set(re.findall(r"`make ([a-z]+)", (ROOT / "CONTRIBUTING.md").read_text()))
    assert described == targets
