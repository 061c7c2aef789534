"""gcloud's flags for a job: the options, and what they make of a spec."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli import values
from jobrunner.cli.cloud_flags import apply_cloud_flags, cloud_options
from jobrunner.cli.envvars import EnvChange, change_env, dict_flag, list_flag, literal_flags
from jobrunner.cli.own import annotations_of, own_options
from jobrunner.cli.params import DURATION, whole
from jobrunner.cli.refused_flags import refuse_by_name, refused_options
from jobrunner.core.limits import MAX_TASKS
from jobrunner.core.spec import (
    Container,
    EmptyDirVolume,
    GcsVolume,
    JobSpec,
    NfsVolume,
    SecretItem,
    SecretVolume,
    TaskTemplate,
    Volume,
    VolumeMount,
)

if TYPE_CHECKING:
    from jobrunner.core.records import Scope

Flags = Mapping[str, Any]
VOLUME_TYPES = ("in-memory", "secret", "cloud-storage", "nfs")
VOLUME_KEYS = (
    "name", "type", "size-limit", "secret", "version", "path",
    "bucket", "readonly", "mount-options", "location",
)  # fmt: skip


def job_options(*, change: bool) -> Callable[[Any], Any]:
    """All flags that write a spec, and those that are refused by name; ``change`` adds those that
    only an existing job can use. As in gcloud, some of these are known to ``create`` too."""

    def add(function: Any) -> Any:
        for option in reversed(_options(change)):
            function = option(function)
        return refused_options(function)

    return add


def _options(change: bool) -> list[Callable[[Any], Any]]:
    def many(name: str, metavar: str, text: str) -> Callable[[Any], Any]:
        return click.option(name, multiple=True, metavar=metavar, help=text)

    def clear(what: str) -> Callable[[Any], Any]:
        return click.option(f"--clear-{what}", is_flag=True, help=f"Remove all {what}.")

    labels = many("--labels", "K=V,...", "Labels of the job and its executions.")
    options = [
        click.option("--image", help="Image to run. Without one the command runs as a process."),
        many("--command", "WORD,...", "Command; replaces the image's entrypoint."),
        many("--args", "WORD,...", "Arguments. '--args=' removes them."),
        click.option("--tasks", type=whole(1, MAX_TASKS), metavar="N", help="How many tasks."),
        click.option("--parallelism", type=whole(0), metavar="N", help="At once; 0: no limit."),
        click.option("--max-retries", type=whole(0, 10), metavar="N", help="Per task, 0 to 10."),
        click.option("--task-timeout", type=DURATION, metavar="DURATION", help="Per attempt."),
        many("--set-env-vars", "K=V,...", "Exactly these environment variables."),
        many("--update-env-vars", "K=V,...", "Set these, keep the others."),
        many("--remove-env-vars", "K,...", "Remove these."),
        clear("env-vars"),
        click.option("--env-vars-file", metavar="FILE", help="Exactly those of a YAML file."),
        many("--set-secrets", "K=SECRET:VERSION,...", "Secrets, as variables or as /PATH files."),
        many("--update-secrets", "K=SECRET:VERSION,...", "Set these, keep the others."),
        many("--remove-secrets", "K,...", "Remove these."),
        clear("secrets"),
        click.option("--cpu", metavar="N", help="CPUs of the container, as 2 or 1000m."),
        click.option("--memory", metavar="SIZE", help="Memory of the container, as 512Mi."),
        labels,
        click.option("--workdir", metavar="DIR", help="Working directory of the command."),
        many("--add-volume", "name=N,type=T,...", f"A volume: {', '.join(VOLUME_TYPES[:2])}."),
        many("--remove-volume", "NAME,...", "Remove these, with their mounts."),
        clear("volumes"),
        many("--add-volume-mount", "volume=N,mount-path=P", "Where the container sees it."),
        many("--remove-volume-mount", "PATH,...", "Remove the mounts at these paths."),
        clear("volume-mounts"),
        own_options("--container-network"),
        *cloud_options(change=change),
    ]
    if change:
        place = options.index(labels) + 1
        options[place:place] = [
            many("--update-labels", "K=V,...", "Set these, keep the others."),
            many("--remove-labels", "K,...", "Remove these."),
            clear("labels"),
        ]
    return options


def apply_flags(spec: JobSpec, flags: Flags, scope: Scope) -> JobSpec:
    """``spec`` of a job in ``scope`` with what the flags say. Raises a usage error for a bad value,
    InvalidSpec for flags of what is refused by name."""
    refuse_by_name(flags)
    spec = apply_cloud_flags(spec, flags, scope)
    outer = spec.template
    inner = outer.template
    container = inner.containers[0] if inner.containers else Container()
    inner = replace(
        inner,
        containers=(_container(container, flags), *inner.containers[1:]),
        **_given(
            max_retries=flags["max_retries"],
            timeout=flags["task_timeout"],
        ),
    )
    # The order is gcloud's: what is taken away makes room for what the same flags add.
    inner = _with_volumes(_secrets(_less_volumes(inner, flags), flags), flags)
    outer = replace(
        outer,
        template=inner,
        labels=_labels(outer.labels, flags),
        annotations={**outer.annotations, **annotations_of(flags)},
        **_given(task_count=flags["tasks"]),
    )
    if flags["parallelism"] is not None:
        outer = replace(outer, parallelism=flags["parallelism"] or None)
    return replace(spec, template=outer, labels=_labels(spec.labels, flags))


def _given(**fields: Any) -> dict[str, Any]:
    return {name: value for name, value in fields.items() if value is not None}


def _container(container: Container, flags: Flags) -> Container:
    limits = dict(container.limits)
    for name in ("cpu", "memory"):
        if flags[name] is not None:
            limits[name] = flags[name]
    replace_literals, literals, remove = literal_flags(
        set_env_vars=flags["set_env_vars"],
        env_vars_file=flags["env_vars_file"],
        update_env_vars=flags.get("update_env_vars", ()),
        remove_env_vars=flags.get("remove_env_vars", ()),
        clear_env_vars=flags.get("clear_env_vars", False),
    )
    container = replace(
        container,
        limits=limits,
        env=change_env(
            container.env,
            EnvChange(replace=replace_literals, literals=tuple(literals.items()), remove=remove),
        ),
    )
    if flags["image"] is not None:
        container = replace(container, image=flags["image"] or None)
    if flags["command"]:
        container = replace(container, command=tuple(list_flag("--command", flags["command"])))
    if flags["args"]:
        container = replace(container, args=tuple(list_flag("--args", flags["args"])))
    if flags["workdir"] is not None:
        container = replace(container, working_dir=_workdir(flags["workdir"], container))
    return container


def _workdir(given: str, container: Container) -> str | None:
    """For a process a path from here, because the job may be executed from anywhere."""
    if not given:
        return None
    return given if container.image else os.path.abspath(given)


def _labels(labels: Mapping[str, str], flags: Flags) -> dict[str, str]:
    # As gcloud: --labels is --update-labels, and both the job and its executions get them.
    result = {} if flags.get("clear_labels") else dict(labels)
    for name in list_flag("--remove-labels", flags.get("remove_labels", ())):
        result.pop(name, None)
    result.update(dict_flag("--labels", flags["labels"]))
    result.update(dict_flag("--update-labels", flags.get("update_labels", ())))
    return result


# ---------------------------------------------------------------- secrets


def _secret_flag(flag: str, texts: tuple[str, ...]) -> dict[str, tuple[str, str]]:
    pairs = dict_flag(flag, texts)
    try:
        return values.secret_refs(pairs)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None


def _secrets(template: TaskTemplate, flags: Flags) -> TaskTemplate:
    setting = _secret_flag("--set-secrets", flags["set_secrets"])
    updating = _secret_flag("--update-secrets", flags.get("update_secrets", ()))
    removing = list_flag("--remove-secrets", flags.get("remove_secrets", ()))
    replacing = bool(flags["set_secrets"]) or bool(flags.get("clear_secrets"))
    if replacing and (updating or removing or (setting and flags.get("clear_secrets"))):
        raise click.UsageError(
            "--set-secrets, --clear-secrets and --update-secrets or --remove-secrets exclude "
            "each other."
        )
    wanted = {**setting, **updating}
    container = template.containers[0]
    env = change_env(
        container.env,
        EnvChange(
            replace_secrets=replacing,
            secrets=tuple((key, ref) for key, ref in wanted.items() if not key.startswith("/")),
            remove_secrets=frozenset(removing),
        ),
    )
    template = replace(template, containers=(replace(container, env=env), *template.containers[1:]))
    if replacing:
        template = _without_volumes(template, {v.name for v in template.volumes if v.secret})
    for path in removing:
        if path.startswith("/"):
            template = _without_file(template, path)
    for path, (secret, version) in wanted.items():
        if path.startswith("/"):
            template = _with_file(_without_file(template, path), path, secret, version)
    return template


def _with_file(template: TaskTemplate, path: str, secret: str, version: str) -> TaskTemplate:
    directory, name = posixpath.split(path)
    if not name or directory == "/":
        raise click.BadParameter(
            f"'{path}' is not the path of a file in a directory, as /secrets/key",
            param_hint="--set-secrets",
        )
    container = template.containers[0]
    item = SecretItem(version=version, path=name)
    there = next((m for m in container.volume_mounts if m.mount_path == directory), None)
    if there is not None:
        volumes = []
        for volume in template.volumes:
            if volume.name == there.name:
                if volume.secret is None or volume.secret.secret != secret:
                    raise click.BadParameter(
                        f"'{path}': {directory} holds something else already; "
                        "one directory can hold the versions of one secret",
                        param_hint="--set-secrets",
                    )
                items = (*volume.secret.items, item)
                volume = replace(volume, secret=replace(volume.secret, items=items))
            volumes.append(volume)
        return replace(template, volumes=tuple(volumes))
    volume_name = re.sub(r"[^a-z0-9]+", "-", f"{secret}-{directory}".lower()).strip("-")[:63]
    mount = VolumeMount(name=volume_name, mount_path=directory)
    mounted = replace(container, volume_mounts=(*container.volume_mounts, mount))
    return replace(
        template,
        containers=(mounted, *template.containers[1:]),
        volumes=(
            *template.volumes,
            Volume(volume_name, secret=SecretVolume(secret=secret, items=(item,))),
        ),
    )


def _without_file(template: TaskTemplate, path: str) -> TaskTemplate:
    directory, name = posixpath.split(path)
    mount = next(
        (m for m in template.containers[0].volume_mounts if m.mount_path == directory), None
    )
    if mount is None:
        return template
    volumes, emptied = [], set()
    for volume in template.volumes:
        if volume.name == mount.name and volume.secret is not None:
            items = tuple(item for item in volume.secret.items if item.path != name)
            if not items:
                emptied.add(volume.name)
            volume = replace(volume, secret=replace(volume.secret, items=items))
        volumes.append(volume)
    return _without_volumes(replace(template, volumes=tuple(volumes)), emptied)


# ---------------------------------------------------------------- volumes


def _less_volumes(template: TaskTemplate, flags: Flags) -> TaskTemplate:
    if flags.get("clear_volumes"):
        template = _without_volumes(template, {volume.name for volume in template.volumes})
    removing = set(list_flag("--remove-volume", flags.get("remove_volume", ())))
    template = _without_volumes(template, removing)
    container = template.containers[0]
    mounts = () if flags.get("clear_volume_mounts") else container.volume_mounts
    paths = list_flag("--remove-volume-mount", flags.get("remove_volume_mount", ()))
    mounts = tuple(mount for mount in mounts if mount.mount_path not in paths)
    container = replace(container, volume_mounts=mounts)
    return replace(template, containers=(container, *template.containers[1:]))


def _with_volumes(template: TaskTemplate, flags: Flags) -> TaskTemplate:
    container = template.containers[0]
    added = [_volume(text) for text in flags["add_volume"]]
    names = {volume.name for volume in added}
    mounts = (*container.volume_mounts, *(_mount(text) for text in flags["add_volume_mount"]))
    return replace(
        template,
        containers=(replace(container, volume_mounts=mounts), *template.containers[1:]),
        volumes=(*(v for v in template.volumes if v.name not in names), *added),
    )


def _without_volumes(template: TaskTemplate, names: set[str]) -> TaskTemplate:
    if not names:
        return template
    containers = tuple(
        replace(c, volume_mounts=tuple(m for m in c.volume_mounts if m.name not in names))
        for c in template.containers
    )
    volumes = tuple(volume for volume in template.volumes if volume.name not in names)
    return replace(template, containers=containers, volumes=volumes)


def _volume(text: str) -> Volume:
    flag = "--add-volume"
    try:
        found = values.fields(text, VOLUME_KEYS, ("name", "type"))
        name, kind = found["name"], found["type"]
        if kind == "in-memory":
            return Volume(name, empty_dir=EmptyDirVolume(size_limit=found.get("size-limit")))
        if kind == "secret":
            found = values.fields(text, VOLUME_KEYS, ("secret",))
            secret = found["secret"]
            item = SecretItem(found.get("version", "latest"), found.get("path", secret))
            return Volume(name, secret=SecretVolume(secret=secret, items=(item,)))
        if kind == "cloud-storage":
            found = values.fields(text, VOLUME_KEYS, ("bucket",))
            return Volume(name, gcs=GcsVolume(found["bucket"], found.get("readonly") == "true"))
        if kind == "nfs":
            found = values.fields(text, VOLUME_KEYS, ("location",))
            server, _, path = found["location"].partition(":")
            return Volume(name, nfs=NfsVolume(server, path, found.get("readonly") == "true"))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=flag) from None
    raise click.BadParameter(
        f"'{kind}' is not a type of volume; allowed: {', '.join(VOLUME_TYPES)}", param_hint=flag
    )


def _mount(text: str) -> VolumeMount:
    try:
        found = values.fields(
            text, ("volume", "mount-path", "sub-path", "readonly"), ("volume", "mount-path")
        )
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--add-volume-mount") from None
    return VolumeMount(
        name=found["volume"],
        mount_path=found["mount-path"],
        sub_path=found.get("sub-path", ""),
        read_only=found.get("readonly") == "true",
    )
