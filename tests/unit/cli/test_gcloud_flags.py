"""gcloud's flags of fields without effect: they land where the document has them, and come back."""

import re
from pathlib import Path
from typing import Any

import pytest

from jobrunner.api.v1 import export_v1, job_from_v1
from jobrunner.cli.job_flags import apply_flags
from jobrunner.cli.jobs import create, deploy, new_spec, update
from jobrunner.cli.main import main
from jobrunner.cli.refused_flags import REFUSED, reason
from jobrunner.core.notices import notices
from jobrunner.core.records import Job, Scope
from jobrunner.core.spec import JobSpec
from jobrunner.errors import InvalidSpec

G = "run.googleapis.com/"
SCOPE = Scope("p", "r")
IMAGE = ("--image", "i:1")


def written(*words: str, on: JobSpec | None = None) -> JobSpec:
    """The spec after 'create', or after 'update' where ``on`` is what is there."""
    command = create if on is None else update
    context = command.make_context(str(command.name), ["j", *words])
    return apply_flags(new_spec() if on is None else on, context.params, SCOPE)


def exported(spec: JobSpec) -> dict[str, Any]:
    job = Job(
        uid="u", project="p", region="r", name="j", spec=spec, resource_version=1,
        created_at=0.0, updated_at=0.0, creator="me", last_modifier="me",
    )  # fmt: skip
    return dict(export_v1(job))


def annotations(spec: JobSpec) -> dict[str, str]:
    """Those of the job and those of its executions, without the prefix of Google's."""
    document = exported(spec)
    outer = document["spec"]["template"].get("metadata", {}).get("annotations", {})
    found = {**document["metadata"].get("annotations", {}), **outer}
    return {key.removeprefix(G): value for key, value in found.items()}


STORED = [
    (["--vpc-connector", "c"], {"vpc-access-connector": "c"}),
    (
        ["--vpc-connector", "c", "--vpc-egress", "all-traffic"],
        {"vpc-access-connector": "c", "vpc-access-egress": "all-traffic"},
    ),
    (
        ["--network", "n", "--subnet", "s", "--network-tags", "a,b", "--network-tags", "c"],
        {"network-interfaces": '[{"network":"n","subnetwork":"s","tags":["a","b","c"]}]'},
    ),
    (
        ["--set-cloudsql-instances", "db,q:s:other"],
        {"cloudsql-instances": "p:r:db,q:s:other"},
    ),
    (["--key", "projects/p/key"], {"encryption-key": "projects/p/key"}),
    (["--binary-authorization", "default"], {"binary-authorization": "default"}),
    (["--binary-authorization", "mine"], {"binary-authorization": "mine"}),
    (["--breakglass", "night"], {"binary-authorization-breakglass": "night"}),
    (["--execution-environment", "gen1"], {"execution-environment": "gen1"}),
    (["--no-gpu-zonal-redundancy"], {"gpu-zonal-redundancy-disabled": "true"}),
]


@pytest.mark.parametrize(("words", "expected"), STORED)
def test_a_stored_flag_is_the_annotation_of_the_document_and_comes_back(
    words: list[str], expected: dict[str, str]
) -> None:
    spec = written(*IMAGE, *words)
    assert annotations(spec) == expected
    read = job_from_v1(exported(spec))
    assert annotations(read.spec) == expected
    assert read.spec.template == spec.template
    assert read.spec.binary_authorization == spec.binary_authorization


@pytest.mark.parametrize("words", [words for words, _ in STORED])
def test_a_stored_flag_gives_one_warning(words: list[str]) -> None:
    (notice,) = notices(written(*IMAGE, *words))
    assert notice.startswith("Stored and returned, but without effect here: ")


FULL = [
    "--vpc-egress", "all", "--network", "n", "--subnet", "s", "--network-tags", "t",
    "--set-cloudsql-instances", "a,b", "--binary-authorization", "default", "--breakglass", "why",
    "--key", "k",
]  # fmt: skip
BEFORE = {
    "vpc-access-egress": "all",
    "network-interfaces": '[{"network":"n","subnetwork":"s","tags":["t"]}]',
    "cloudsql-instances": "p:r:a,p:r:b",
    "binary-authorization": "default",
    "encryption-key": "k",
}
CHANGES: list[tuple[list[str], dict[str, str | None]]] = [
    (["--clear-network"], {"network-interfaces": None, "vpc-access-egress": None}),
    (
        ["--clear-network-tags"],
        {"network-interfaces": '[{"network":"n","subnetwork":"s"}]'},
    ),
    (
        ["--subnet", "s2"],
        {"network-interfaces": '[{"network":"n","subnetwork":"s2","tags":["t"]}]'},
    ),
    (
        ["--network=", "--subnet=", "--network-tags="],
        {"network-interfaces": None, "vpc-access-egress": None},
    ),
    (["--clear-vpc-connector"], {"vpc-access-egress": None}),
    (["--add-cloudsql-instances", "c,a"], {"cloudsql-instances": "p:r:a,p:r:b,p:r:c"}),
    (["--remove-cloudsql-instances", "p:r:a"], {"cloudsql-instances": "p:r:b"}),
    (["--remove-cloudsql-instances", "a,b"], {"cloudsql-instances": None}),
    (["--clear-cloudsql-instances"], {"cloudsql-instances": None}),
    (["--set-cloudsql-instances", "z"], {"cloudsql-instances": "p:r:z"}),
    (["--set-cloudsql-instances="], {"cloudsql-instances": None}),
    (["--clear-binary-authorization"], {"binary-authorization": None}),
    (["--breakglass", "again"], {"binary-authorization-breakglass": "again"}),
    (["--key="], {"encryption-key": None}),
    (["--tasks", "2"], {}),
]


@pytest.mark.parametrize(("words", "change"), CHANGES)
def test_an_update_changes_what_it_names_and_forgets_the_justification(
    words: list[str], change: dict[str, str | None]
) -> None:
    after = annotations(written(*words, on=written(*IMAGE, *FULL)))
    assert after == {k: v for k, v in {**BEFORE, **change}.items() if v is not None}


def test_the_docker_network_and_the_vpc_network_are_two_flags() -> None:
    found = annotations(written(*IMAGE, "--network", "vpc", "--container-network", "host"))
    assert found == {
        "network-interfaces": '[{"network":"vpc"}]',
        "jobrunner.dev/network": "host",
    }


def test_the_client_and_annotations_of_ones_own_can_be_named() -> None:
    spec = written(*IMAGE, "--client-name", "ci", "--update-annotations", "me.example/a=1")
    assert (spec.client, spec.client_version) == ("ci", "")
    assert spec.annotations == {"me.example/a": "1"}


def test_create_knows_the_flags_that_change_as_gcloud_does() -> None:
    words = ("--update-env-vars", "A=1", "--remove-env-vars", "B", "--update-secrets", "S=s:1")
    names = [var.name for var in written(*IMAGE, *words).template.template.containers[0].env]
    assert names == ["A", "S"]


def test_what_is_cleared_makes_room_for_what_the_same_command_adds() -> None:
    before = written(*IMAGE, "--set-secrets", "/old/a=old:1")
    after = written("--clear-volumes", "--update-secrets", "/new/b=new:1", on=before)
    template = after.template.template
    assert [volume.secret.secret for volume in template.volumes if volume.secret] == ["new"]
    assert [mount.mount_path for mount in template.containers[0].volume_mounts] == ["/new"]


def test_repeated_words_add_up_in_their_order_even_if_one_comes_twice() -> None:
    spec = written("--command", "sh", "--args=-x,a", "--args=-x")
    container = spec.template.template.containers[0]
    assert (container.command, container.args) == (("sh",), ("-x", "a", "-x"))


@pytest.mark.parametrize("flag", REFUSED)
@pytest.mark.parametrize("command", [create, update, deploy], ids=lambda c: str(c.name))
def test_a_refused_flag_is_named_with_the_reason_of_its_field(command: Any, flag: str) -> None:
    context = command.make_context(str(command.name), ["j", *IMAGE, flag, "1"])
    with pytest.raises(InvalidSpec) as caught:
        apply_flags(new_spec(), context.params, SCOPE)
    (violation,) = caught.value.violations
    assert violation.field == flag
    assert violation.message == reason(REFUSED[flag])
    assert violation.message.startswith("not supported")


@pytest.mark.parametrize("words", [("--gpu", "0"), ("--gpu-type=",), ("--startup-probe=",)])
def test_a_value_that_asks_for_nothing_is_not_refused(words: tuple[str, ...]) -> None:
    assert written(*IMAGE, *words) == written(*IMAGE)


def test_refused_flags_are_on_the_reference_page_and_not_in_the_help() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "cli.md").read_text()
    shown = create.get_help(create.make_context("create", ["j"]))
    for flag in REFUSED:
        assert f"`{flag}`" in page
        assert not re.search(rf"(?<![\w-]){flag}(?![\w-])", shown)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("JOBRUNNER_HOME", str(tmp_path / "home"))
    return tmp_path


def test_async_alone_stores_the_job_and_runs_nothing(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["jobs", "create", "j", "--command", "true", "--async"]) == 0
    assert main(["jobs", "list", "--format", "json"]) == 0
    assert '"j"' in capsys.readouterr().out
    assert main(["executions", "list", "--format", "json"]) == 0
    assert capsys.readouterr().out.strip() == "[]"
