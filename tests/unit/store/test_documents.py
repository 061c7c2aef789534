"""What is stored as text comes back as the value it was."""

from dataclasses import fields
from typing import Any, get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobrunner.core import spec
from jobrunner.core.records import Abort, Counters, Execution, Lease
from jobrunner.core.states import ExecutionState
from jobrunner.errors import InvalidSpec, StoreFault
from jobrunner.store.documents import decode_map, decode_spec, decode_template, encode
from jobrunner.store.rows import clean, execution_of, execution_row

text = st.text(max_size=20)
texts = st.lists(text, max_size=3).map(tuple)
maps = st.dictionaries(text, text, max_size=3)
whole = st.integers(-(2**63), 2**63 - 1)
real = st.floats(allow_nan=False, allow_infinity=False)
moment = st.floats(0, 1e11)
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | whole | real | text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(text, inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(text, json_values, max_size=3)


def every(kind: type[Any], **parts: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Values of a dataclass in which every field varies; one not named here varies by its type."""
    hints = get_type_hints(kind)
    others = {
        field.name: documents if hints[field.name] == dict[str, object] else st.from_type(hint)
        for field in fields(kind)
        if (hint := hints[field.name]) and field.name not in parts
    }
    return st.builds(kind, **parts, **others)


env = st.builds(
    spec.EnvVar, text, st.none() | text, st.none() | st.builds(spec.SecretRef, text, text)
)
containers = every(
    spec.Container,
    name=text,
    image=st.none() | text,
    command=texts,
    args=texts,
    env=st.lists(env, max_size=3).map(tuple),
    limits=maps,
    working_dir=st.none() | text,
    volume_mounts=st.lists(
        st.builds(spec.VolumeMount, text, text, text, st.booleans()), max_size=2
    ).map(tuple),
    ports=st.lists(st.builds(spec.ContainerPort, whole, text), max_size=2).map(tuple),
    depends_on=texts,
    startup_probe=st.none() | documents,
    liveness_probe=st.none() | documents,
    readiness_probe=st.none() | documents,
)
secret_volumes = st.builds(
    spec.SecretVolume,
    text,
    st.lists(st.builds(spec.SecretItem, text, text, st.none() | whole), max_size=2).map(tuple),
    st.none() | whole,
    st.booleans(),
)
volumes = every(
    spec.Volume,
    name=text,
    secret=st.none() | secret_volumes,
    empty_dir=st.none() | st.builds(spec.EmptyDirVolume, text, st.none() | text),
    gcs=st.none() | st.builds(spec.GcsVolume, text, st.booleans(), texts),
    nfs=st.none() | st.builds(spec.NfsVolume, text, text, st.booleans()),
    cloud_sql=st.none() | st.builds(spec.CloudSqlVolume, texts),
)
networks = st.builds(
    spec.VpcAccess,
    text,
    text,
    st.lists(st.builds(spec.NetworkInterface, text, text, texts), max_size=2).map(tuple),
)
task_templates = every(
    spec.TaskTemplate,
    containers=st.lists(containers, max_size=2).map(tuple),
    volumes=st.lists(volumes, max_size=2).map(tuple),
    max_retries=st.none() | whole,
    timeout=st.none() | real,
    service_account=text,
    execution_environment=text,
    encryption_key=text,
    vpc_access=st.none() | networks,
    node_selector=maps,
    gpu_zonal_redundancy_disabled=st.booleans(),
    secret_aliases=maps,
)
templates = every(
    spec.ExecutionTemplate,
    template=task_templates,
    parallelism=st.none() | whole,
    task_count=st.none() | whole,
    labels=maps,
    annotations=maps,
)
specs = every(
    spec.JobSpec,
    template=templates,
    labels=maps,
    annotations=maps,
    client=text,
    client_version=text,
    launch_stage=text,
    binary_authorization=st.none() | st.builds(spec.BinaryAuthorization, st.booleans(), text, text),
    start_execution_token=text,
    run_execution_token=text,
)
sensible = text.map(clean)
executions = every(
    Execution,
    uid=sensible,
    project=sensible,
    region=sensible,
    name=sensible,
    job_uid=sensible,
    job_name=sensible,
    job_generation=whole,
    template=templates,
    task_count=whole,
    parallelism=whole,
    backend=sensible,
    state=st.sampled_from(ExecutionState),
    counters=st.builds(Counters, whole, whole, whole, whole, whole),
    labels=maps,
    annotations=maps,
    created_at=moment,
    started_at=st.none() | moment,
    completed_at=st.none() | moment,
    creator=sensible,
    indices=st.none() | st.lists(whole, max_size=5).map(tuple),
    env_task_count=whole,
    parent=st.none() | sensible,
    image_digest=st.none() | sensible,
    abort=st.none() | st.builds(Abort, sensible, moment, sensible),
    reason=sensible,
    message=sensible,
    failed_index=st.none() | whole,
    lease=st.none() | st.builds(Lease, sensible, whole, moment),
    generation=whole,
    resource_version=whole,
    hidden=st.booleans(),
    idempotency_key=st.none() | sensible,
)


@settings(max_examples=60)
@given(specs)
def test_a_job_spec_comes_back_as_it_was(value: spec.JobSpec) -> None:
    assert decode_spec(encode(value)) == value


@settings(max_examples=60)
@given(executions)
def test_an_execution_comes_back_from_its_row_as_it_was(value: Execution) -> None:
    assert execution_of(execution_row(value)) == value


@given(maps)
def test_a_map_comes_back_as_it_was(value: dict[str, str]) -> None:
    assert decode_map(encode(value)) == value


def test_a_document_of_an_older_version_takes_the_defaults_for_what_it_lacks() -> None:
    assert decode_spec("{}") == spec.JobSpec()
    assert decode_template('{"task_count": 3}') == spec.ExecutionTemplate(task_count=3)


def test_a_field_of_a_newer_version_is_passed_over() -> None:
    assert decode_spec('{"not_yet": [1], "client": "gcloud"}') == spec.JobSpec(client="gcloud")


@pytest.mark.parametrize("broken", ["", "{", '{"labels": 3}', "[]"])
def test_text_that_is_no_spec_is_a_fault_of_the_store(broken: str) -> None:
    with pytest.raises(StoreFault, match="A stored document cannot be read"):
        decode_spec(broken)


def test_a_lone_surrogate_is_refused_by_name() -> None:
    with pytest.raises(InvalidSpec, match=r"udcff.* is not valid Unicode"):
        encode({"a": "\udcff"})


@pytest.mark.parametrize(
    ("before", "after"),
    [("plain", "plain"), ("ä\N{SNOWMAN}", "ä\N{SNOWMAN}"), ("a\0b", "a\ufffdb"), ("\udcff", "?")],
)
def test_a_message_is_made_fit_for_both_databases(before: str, after: str) -> None:
    assert clean(before) == after
