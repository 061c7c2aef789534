"""gcloud's flags of what Cloud Run alone has: network, keys, policies, database instances.

They set the fields that a document sets, are stored and returned, and have no effect here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import click

from jobrunner.cli.envvars import dict_flag, list_flag
from jobrunner.cli.exclusive import at_most_one, is_given
from jobrunner.core.spec import BinaryAuthorization, JobSpec, NetworkInterface, VpcAccess

if TYPE_CHECKING:
    from jobrunner.core.records import Scope

Flags = Mapping[str, Any]
Option = Callable[[Any], Any]
CLOUD_SQL = "run.googleapis.com/cloudsql-instances"
_STORED = "Stored, not used here."


def _text(name: str, metavar: str, text: str = _STORED, *, hidden: bool = False) -> Option:
    return click.option(name, metavar=metavar, help=text, hidden=hidden)


def _many(name: str, metavar: str, text: str = _STORED, *, hidden: bool = False) -> Option:
    return click.option(name, multiple=True, metavar=metavar, help=text, hidden=hidden)


def _flag(name: str, what: str) -> Option:
    return click.option(name, is_flag=True, help=f"Remove {what}.")


def cloud_options(*, change: bool) -> list[Option]:
    """``change`` adds those that alter what is there. What gcloud hides is hidden here too."""
    options = [
        _text("--service-account", "EMAIL"),
        _text("--vpc-connector", "NAME"),
        _text("--vpc-egress", "all-traffic|private-ranges-only"),
        _text("--network", "NAME", "VPC network: stored, not used here; see --container-network."),
        _text("--subnet", "NAME"),
        _many("--network-tags", "TAG,..."),
        _many("--set-cloudsql-instances", "NAME,..."),
        _text("--key", "KEY"),
        _text("--binary-authorization", "POLICY"),
        _text("--breakglass", "WHY", "Stored until the next change of the job, not used here."),
        _text("--execution-environment", "gen1|gen2", hidden=True),
        click.option("--gpu-zonal-redundancy/--no-gpu-zonal-redundancy", default=None, hidden=True),
        _text("--client-name", "NAME", hidden=True),
        _text("--client-version", "VERSION", hidden=True),
        _many("--update-annotations", "K=V,...", "Annotations of the job.", hidden=True),
    ]
    if change:
        options += [
            _flag("--clear-vpc-connector", "the connector and the egress setting"),
            _flag("--clear-network", "network, subnet, tags and the egress setting"),
            _flag("--clear-network-tags", "all network tags"),
            _many("--add-cloudsql-instances", "NAME,...", "Add these, keep the others."),
            _many("--remove-cloudsql-instances", "NAME,...", "Remove these."),
            _flag("--clear-cloudsql-instances", "all instances"),
            _flag("--clear-binary-authorization", "the policy"),
        ]
    return options


def apply_cloud_flags(spec: JobSpec, flags: Flags, scope: Scope) -> JobSpec:
    """``spec`` with what the flags say. An instance that is named without a project and a region
    is one of ``scope``. Raises a usage error for a bad value or for flags that exclude each
    other."""
    outer = spec.template
    task = replace(outer.template, vpc_access=changed_vpc(outer.template.vpc_access, flags))
    for field, flag in (
        ("service_account", "service_account"),
        ("encryption_key", "key"),
        ("execution_environment", "execution_environment"),
    ):
        if flags[flag] is not None:
            task = replace(task, **{field: flags[flag]})
    if flags["gpu_zonal_redundancy"] is not None:
        task = replace(task, gpu_zonal_redundancy_disabled=not flags["gpu_zonal_redundancy"])
    if flags["client_name"] is not None or flags["client_version"] is not None:
        spec = replace(
            spec, client=flags["client_name"] or "", client_version=flags["client_version"] or ""
        )
    return replace(
        spec,
        annotations={**spec.annotations, **_own_annotations(flags)},
        binary_authorization=changed_authorization(spec.binary_authorization, flags),
        template=replace(
            outer,
            template=task,
            annotations=changed_instances(outer.annotations, flags, scope),
        ),
    )


def _own_annotations(flags: Flags) -> dict[str, str]:
    added = dict_flag("--update-annotations", flags["update_annotations"])
    if added:
        from jobrunner.core.label_rules import GOOGLE_NAMESPACES

        for key in added:
            # Each of these has a field of its own, which an annotation would shadow.
            if key.startswith(GOOGLE_NAMESPACES):
                raise click.BadParameter(
                    f"'{key}' is not set this way; write annotations of your own, or use YAML",
                    param_hint="--update-annotations",
                )
    return added


def changed_vpc(vpc: VpcAccess | None, flags: Flags) -> VpcAccess | None:
    """The order is gcloud's: what is cleared takes the egress setting with it."""
    at_most_one(flags, ("--clear-network-tags",), ("--network-tags",))
    at_most_one(
        flags,
        ("--clear-network",),
        ("--network", "--subnet", "--network-tags", "--clear-network-tags"),
    )
    vpc = vpc or VpcAccess()
    if flags["vpc_connector"]:
        vpc = replace(vpc, connector=flags["vpc_connector"])
    if flags["vpc_egress"] is not None:
        vpc = replace(vpc, egress=flags["vpc_egress"])
    if flags.get("clear_vpc_connector"):
        vpc = replace(vpc, connector="", egress="")
    vpc = _first_interface(vpc, flags)
    if flags.get("clear_network"):
        vpc = replace(vpc, network_interfaces=(), egress="")
    return None if vpc == VpcAccess() else vpc


def _first_interface(vpc: VpcAccess, flags: Flags) -> VpcAccess:
    first, *others = vpc.network_interfaces or (NetworkInterface(),)
    changed = first
    if flags["network"] is not None:
        changed = replace(changed, network=flags["network"])
    if flags["subnet"] is not None:
        changed = replace(changed, subnetwork=flags["subnet"])
    if is_given(flags, "network_tags"):
        changed = replace(changed, tags=tuple(list_flag("--network-tags", flags["network_tags"])))
    if flags.get("clear_network_tags"):
        changed = replace(changed, tags=())
    if changed == first:
        return vpc
    left = tuple(one for one in (changed, *others) if one != NetworkInterface())
    return replace(vpc, network_interfaces=left, egress=vpc.egress if left else "")


def changed_authorization(
    current: BinaryAuthorization | None, flags: Flags
) -> BinaryAuthorization | None:
    at_most_one(flags, ("--clear-binary-authorization",), ("--binary-authorization",))
    policy = ""
    if current is not None and not flags.get("clear_binary_authorization"):
        policy = "default" if current.use_default else current.policy
    if flags["binary_authorization"] is not None:
        policy = flags["binary_authorization"]
    # As gcloud: a justification holds until the next change of the job.
    breakglass = flags["breakglass"] or ""
    if not policy and not breakglass:
        return None
    default = policy == "default"
    return BinaryAuthorization(default, "" if default else policy, breakglass)


def changed_instances(annotations: Mapping[str, str], flags: Flags, scope: Scope) -> dict[str, str]:
    """The annotations of executions, with the Cloud SQL instances that the flags ask for."""
    ways = [f"--{way}-cloudsql-instances" for way in ("set", "add", "remove", "clear")]
    at_most_one(flags, *((way,) for way in ways))
    result = dict(annotations)
    names = [name for name in result.pop(CLOUD_SQL, "").split(",") if name]
    if flags.get("clear_cloudsql_instances"):
        names = []
    if is_given(flags, "set_cloudsql_instances"):
        names = _instances(ways[0], flags["set_cloudsql_instances"], scope)
    names += _instances(ways[1], flags.get("add_cloudsql_instances", ()), scope)
    gone = _instances(ways[2], flags.get("remove_cloudsql_instances", ()), scope)
    left = [name for name in dict.fromkeys(names) if name not in gone]
    if left:
        result[CLOUD_SQL] = ",".join(left)
    return result


def _instances(flag: str, texts: tuple[str, ...], scope: Scope) -> list[str]:
    found = []
    for text in list_flag(flag, texts):
        parts = text.split(":")
        if len(parts) not in (1, 3) or not all(parts):
            raise click.BadParameter(
                f"'{text}' is not an instance; write NAME or PROJECT:REGION:NAME", param_hint=flag
            )
        found.append(text if len(parts) == 3 else f"{scope.project}:{scope.region}:{text}")
    return found
