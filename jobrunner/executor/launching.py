"""From an execution and an attempt key to a launch: environment, secrets, limits, mounts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from jobrunner.core.options import RunOptions, options_of
from jobrunner.core.quantities import parse_cpu, parse_memory
from jobrunner.core.records import AttemptKey, Execution
from jobrunner.core.spec import Container, EnvVar, SecretVolume, TaskTemplate
from jobrunner.errors import LaunchFailed, NotFound, RunnerFault
from jobrunner.executor.environment import attempt_injected, clean_base, shared_injected
from jobrunner.executor.input_files import in_container, mounted, on_machine, written
from jobrunner.ports import (
    Bind,
    LaunchSpec,
    LaunchTemplate,
    LogLimits,
    LogStore,
    SecretFile,
    Secrets,
    Tmpfs,
)

SECRET_REASON = "SecretsAccessCheckFailed"
DEFAULT_SECRET_MODE = 0o444
WRITE_BITS = 0o222

Warn = Callable[[str], None]


class Launcher:
    """Compiles an execution once and keeps the result.

    ``environ`` is the runner's own environment: all of it for an ad-hoc run, a small clean part
    for a stored job. ``machine_memory`` (bytes) and ``machine_cpus`` clamp what is asked for.
    """

    def __init__(
        self,
        *,
        logs: LogStore,
        secrets: Secrets,
        environ: Mapping[str, str],
        machine_memory: int | None = None,
        machine_cpus: float | None = None,
    ) -> None:
        self._logs = logs
        self._secrets = secrets
        self._environ = dict(environ)
        self._machine_memory = machine_memory
        self._machine_cpus = machine_cpus
        self._templates: dict[str, LaunchTemplate] = {}
        self._secret_env: dict[str, tuple[EnvVar, ...]] = {}

    def image_of(self, execution: Execution) -> str | None:
        """What to make available before the first launch: the pinned image, else the named one."""
        if execution.backend != "docker":
            return None
        return execution.image_digest or container_of(execution).image

    def grace_of(self, execution: Execution) -> float:
        return self.compile(execution).grace

    def forget(self, uid: str) -> None:
        """The execution is driven here no more."""
        self._templates.pop(uid, None)
        self._secret_env.pop(uid, None)

    def compile(self, execution: Execution, warn: Warn | None = None) -> LaunchTemplate:
        """The template of all launches of ``execution``; made once, after the image was pinned."""
        known = self._templates.get(execution.uid)
        if known is not None:
            return known
        options = options_of(execution.annotations)
        container = container_of(execution)
        image = self.image_of(execution)
        on_image = image is not None
        self._secret_env[execution.uid] = tuple(v for v in container.env if v.secret is not None)
        memory, cpus = self._limits(container, warn if on_image else None)
        directory, inputs = self._logs.dir_for(execution.uid), execution.template.template.files
        env = dict(self._environment(execution, container, on_image=on_image))
        env |= in_container(inputs) if on_image else on_machine(inputs, directory)
        template = LaunchTemplate(
            execution=execution.uid,
            execution_name=execution.name,
            job_name=execution.job_name,
            project=execution.project,
            region=execution.region,
            command=container.command,
            args=container.args,
            env=env,
            working_dir=container.working_dir or (None if on_image else self._home_dir()),
            image=image,
            cpus=cpus if on_image else None,
            memory=memory if on_image else None,
            tmpfs=tmpfs_mounts(execution.template.template) if on_image else (),
            binds=binds(options) if on_image else (),
            network=options.network,
            init=options.init,
            timeout=execution.template.template.timeout,
            grace=options.grace_period,
            secret_files=mounted(inputs) if on_image else (),
            log_dir=directory,
            log_limits=log_limits(options),
        )
        self._templates[execution.uid] = template
        return template

    def spec(self, execution: Execution, key: AttemptKey) -> LaunchSpec:
        """One launch. Secrets are read now, so that ``latest`` follows a rotation. Raises
        LaunchFailed if one cannot be read."""
        template = self.compile(execution)
        env = attempt_injected(key)
        aliases = execution.template.template.secret_aliases
        for variable in self._secret_env[execution.uid]:
            assert variable.secret is not None
            content = self._read(variable.secret.secret, variable.secret.version, aliases)
            env[variable.name] = content.decode("utf-8", "surrogateescape")
        if template.image is not None:
            files = self._secret_files(execution.template.template)
            if files:
                template = replace(template, secret_files=(*template.secret_files, *files))
        log = self._logs.path_for(key)
        if template.image is None:
            written(execution.template.template.files, template.log_dir)
        assert execution.lease is not None
        return LaunchSpec(
            key=key,
            template=template,
            lease=execution.lease.epoch,
            env=env,
            log=log,
        )

    # ------------------------------------------------------------ inside

    def _home_dir(self) -> str:
        return clean_base(self._environ)["HOME"]

    def _environment(
        self, execution: Execution, container: Container, *, on_image: bool
    ) -> Mapping[str, str]:
        env: dict[str, str] = {}
        if not on_image:
            env = dict(self._environ) if execution.hidden else clean_base(self._environ)
        for variable in container.env:
            if variable.secret is None:
                env[variable.name] = variable.value or ""
        env.update(shared_injected(execution))
        return env

    def _limits(self, container: Container, warn: Warn | None) -> tuple[int | None, float | None]:
        memory_text, cpu_text = container.limits.get("memory"), container.limits.get("cpu")
        memory = parse_memory(memory_text) if memory_text else None
        cpus = parse_cpu(cpu_text) if cpu_text else None
        if memory is not None and self._machine_memory and memory > self._machine_memory:
            if warn is not None:
                warn(
                    f"Memory limit {memory_text} is more than this machine has "
                    f"({self._machine_memory // 1024**2}Mi): clamped."
                )
            memory = self._machine_memory
        if cpus is not None and self._machine_cpus and cpus > self._machine_cpus:
            if warn is not None:
                warn(
                    f"CPU limit {cpu_text} is more than this machine has "
                    f"({self._machine_cpus:g}): clamped."
                )
            cpus = self._machine_cpus
        return memory, cpus

    def _secret_files(self, template: TaskTemplate) -> tuple[SecretFile, ...]:
        volumes = {volume.name: volume.secret for volume in template.volumes if volume.secret}
        files: list[SecretFile] = []
        for mount in template.containers[0].volume_mounts:
            volume = volumes.get(mount.name)
            if volume is not None:
                files += self._files_of(volume, mount.mount_path, template.secret_aliases)
        return tuple(files)

    def _files_of(
        self, volume: SecretVolume, path: str, aliases: Mapping[str, str]
    ) -> list[SecretFile]:
        default = (volume.default_mode or DEFAULT_SECRET_MODE) & ~WRITE_BITS
        wanted = [(item.version, item.path, item.mode) for item in volume.items]
        if not wanted:
            wanted = [("latest", short_name(volume.secret), None)]
        files = []
        for version, name, mode in wanted:
            try:
                content = self._read(volume.secret, version, aliases)
            except LaunchFailed:
                if volume.optional:
                    continue
                raise
            kept = (mode & ~WRITE_BITS) if mode else default
            files.append(SecretFile(f"{path.rstrip('/')}/{name}", content, kept))
        return files

    def _read(self, secret: str, version: str, aliases: Mapping[str, str]) -> bytes:
        name = short_name(aliases.get(secret, secret))
        try:
            return self._secrets.read(name, version)
        except (NotFound, RunnerFault) as error:
            # The message is what is stored and shown later, so it carries the way out as well.
            message = f"{error.message} {error.hint}" if error.hint else error.message
            raise LaunchFailed(message, permanent=True, reason=SECRET_REASON) from error


def container_of(execution: Execution) -> Container:
    return execution.template.template.containers[0]


def short_name(secret: str) -> str:
    """``projects/P/secrets/S`` or ``S`` → ``S``."""
    return secret.rsplit("/", 1)[-1]


def tmpfs_mounts(template: TaskTemplate) -> tuple[Tmpfs, ...]:
    volumes = {volume.name: volume.empty_dir for volume in template.volumes if volume.empty_dir}
    mounts = []
    for mount in template.containers[0].volume_mounts:
        volume = volumes.get(mount.name)
        if volume is not None:
            size = parse_memory(volume.size_limit) if volume.size_limit else None
            mounts.append(Tmpfs(mount.mount_path, size))
    return tuple(mounts)


def binds(options: RunOptions) -> tuple[Bind, ...]:
    return tuple(Bind(mount.source, mount.target, mount.read_only) for mount in options.host_mounts)


def log_limits(options: RunOptions) -> LogLimits:
    if options.log_limit is None:
        return LogLimits()
    return LogLimits(head=options.log_limit // 2, tail=options.log_limit // 2)
