"""Settings that v1 keeps in annotations of the execution template, as texts."""

from __future__ import annotations

import json
from typing import Any

from jobrunner.api.v1 import keys
from jobrunner.core.documents import Node
from jobrunner.core.problems import EXECUTION_METADATA, Problems
from jobrunner.core.spec import NetworkInterface, StringMap, VpcAccess

_PATH = f"{EXECUTION_METADATA}.annotations"


def read_dependencies(annotations: StringMap, problems: Problems) -> dict[str, tuple[str, ...]]:
    """Takes ``container-dependencies`` out of ``annotations``: container → what it waits for."""
    value = _take_json(annotations, keys.DEPENDENCIES, problems, '{"app":["proxy"]}')
    if value is None:
        return {}
    node = Node(value, f"{_PATH}[{keys.DEPENDENCIES}]", problems)
    if not isinstance(value, dict):
        return {}
    return {name: node.texts(name) for name in value}


def read_vpc(annotations: StringMap, problems: Problems) -> VpcAccess | None:
    connector = annotations.pop(keys.CONNECTOR, "")
    egress = annotations.pop(keys.EGRESS, "")
    example = '[{"network":"n","subnetwork":"s","tags":["t"]}]'
    value = _take_json(annotations, keys.INTERFACES, problems, example)
    holder = Node(None if value is None else {keys.INTERFACES: value}, f"{_PATH}", problems)
    interfaces = tuple(_interface(node) for node in holder.nodes(keys.INTERFACES))
    if not (connector or egress or interfaces):
        return None
    return VpcAccess(connector, egress, interfaces)


def read_aliases(annotations: StringMap, problems: Problems) -> StringMap:
    """Takes ``secrets`` out: alias → ``projects/P/secrets/S``."""
    text = annotations.pop(keys.SECRETS, "")
    aliases: StringMap = {}
    for pair in text.split(",") if text else ():
        alias, colon, path = (part.strip() for part in pair.partition(":"))
        if not (alias and colon and path):
            problems.add(
                f"{_PATH}[{keys.SECRETS}]",
                f"'{pair}' is not an alias; write ALIAS:projects/NUMBER/secrets/NAME",
            )
        else:
            aliases[alias] = path
    return aliases


def read_flag(annotations: StringMap, key: str, problems: Problems) -> bool:
    text = annotations.pop(key, "false")
    if text.lower() not in ("true", "false"):
        problems.add(f"{_PATH}[{key}]", f'\'{text}\' is not allowed; allowed: "true" or "false"')
    return text.lower() == "true"


def interfaces_text(vpc: VpcAccess) -> str:
    shown = []
    for interface in vpc.network_interfaces:
        parts: dict[str, object] = {
            "network": interface.network,
            "subnetwork": interface.subnetwork,
            "tags": list(interface.tags),
        }
        shown.append({key: value for key, value in parts.items() if value})
    return compact(shown)


def compact(value: object) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def _interface(node: Node) -> NetworkInterface:
    interface = NetworkInterface(node.text("network"), node.text("subnetwork"), node.texts("tags"))
    node.end()
    return interface


def _take_json(annotations: StringMap, key: str, problems: Problems, example: str) -> Any:
    text = annotations.pop(key, "")
    if not text:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        problems.add(f"{_PATH}[{key}]", f"it is not JSON; write it as {example}")
        return None
