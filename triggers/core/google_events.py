"""Events of Google's types, made from what is at hand: a Pub/Sub message, a notification of Cloud
Storage, an entry of the audit log."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping

from jobrunner.core.timestamps import format_time, parse_time
from triggers.core.cloudevents.attributes import make_event
from triggers.core.cloudevents.jsontext import read_json
from triggers.core.cron import show
from triggers.core.envelopes import format_millis, message_document
from triggers.core.events import (
    HOPS,
    AttributeType,
    CloudEvent,
    DataKind,
    Extension,
    PubsubMessage,
)
from triggers.errors import InvalidEvent

MESSAGE_PUBLISHED = "google.cloud.pubsub.topic.v1.messagePublished"
OBJECT = "google.cloud.storage.object.v1."
AUDIT = "google.cloud.audit.log.v1.written"
AUDIT_SCHEMA = (
    "https://googleapis.github.io/google-cloudevents/jsonschema/google/events/cloud/audit/v1/"
    "LogEntryData.json"
)

NOTIFICATIONS = {
    "OBJECT_FINALIZE": f"{OBJECT}finalized",
    "OBJECT_DELETE": f"{OBJECT}deleted",
    "OBJECT_ARCHIVE": f"{OBJECT}archived",
    "OBJECT_METADATA_UPDATE": f"{OBJECT}metadataUpdated",
}
_INT64 = ("size", "generation", "metageneration", "timeDeletedGeneration")
_KEPT_IN_SOURCES = re.compile(r"[^A-Za-z0-9\-._~/:()]")
_LOG = re.compile(r"(?P<parent>.+)/logs/cloudaudit\.googleapis\.com(?:%2F|/)(?P<log>[a-z_]+)", re.I)
_HOPS_ATTRIBUTE = f"ce-{HOPS}"


def in_uri(text: str) -> str:
    """``text`` as part of a URI, slashes kept."""
    return _KEPT_IN_SOURCES.sub(
        lambda match: "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "replace")), text
    )


def topic_source(topic: str) -> str:
    """Of events about the messages of a topic, by its full name."""
    return f"//pubsub.googleapis.com/{in_uri(topic)}"


def message_published(message: PubsubMessage, topic: str, subscription: str) -> CloudEvent:
    """A message of a topic, as Eventarc delivers it: the data is the envelope. ``topic`` and
    ``subscription`` are full names. Hops that the message bears are those of the event."""
    document: dict[str, object] = {}
    if message.delivery_attempt is not None:
        document["deliveryAttempt"] = message.delivery_attempt
    document["message"] = message_document(message)
    document["subscription"] = subscription
    event = CloudEvent(
        message.message_id,
        topic_source(topic),
        MESSAGE_PUBLISHED,
        time=format_millis(message.published_at),
        datacontenttype="application/json",
        data=_json(document),
        kind=DataKind.JSON,
    )
    hops = hops_of(message)
    return event.with_hops(hops) if hops else event


def hops_of(message: PubsubMessage) -> int:
    """How many events of ours led to a message; 0 for one that none led to."""
    hops = message.attribute(_HOPS_ATTRIBUTE) or ""
    return int(hops[:9]) if hops.isascii() and hops.isdigit() else 0


# ---------------------------------------------------------------- storage


def is_notification(message: PubsubMessage) -> bool:
    """Whether a message is a notification of Cloud Storage."""
    has = {name for name, _ in message.attributes}
    return {"eventType", "bucketId", "objectId"} <= has


def from_notification(message: PubsubMessage) -> CloudEvent:
    """Raises InvalidEvent for a message that is no notification of Cloud Storage."""
    kind = _required(message, "eventType")
    if kind not in NOTIFICATIONS:
        form = f"allowed: {', '.join(NOTIFICATIONS)}"
        raise InvalidEvent(
            f"'{show(kind)}' is not a kind of notification; {form}", field="eventType"
        )
    bucket, name = _required(message, "bucketId"), _required(message, "objectId")
    generation = message.attribute("objectGeneration") or ""
    document: Mapping[str, object] = {}
    if (message.attribute("payloadFormat") or "") != "NONE" and message.data:
        try:
            read = read_json(message.data.decode())
        except ValueError:
            raise InvalidEvent("the data of the notification is not JSON", field="data") from None
        if not isinstance(read, dict):
            raise InvalidEvent("the data of the notification is not an object", field="data")
        document = read
    if not document:
        document = object_document(bucket, name, generation)
    time = message.attribute("eventTime") or format_time(message.published_at)
    return object_event(NOTIFICATIONS[kind], bucket, name, document, message.message_id, time)


def object_document(
    bucket: str,
    name: str,
    generation: str,
    *,
    size: int | None = None,
    content_type: str = "",
    updated: float | None = None,
    md5: str = "",
) -> dict[str, object]:
    """What is known of an object, as StorageObjectData. ``md5`` is base64."""
    document: dict[str, object] = {"kind": "storage#object"}
    document["id"] = f"{bucket}/{name}/{generation}" if generation else f"{bucket}/{name}"
    document |= {"name": name, "bucket": bucket}
    if generation:
        document |= {"generation": generation, "metageneration": "1"}
    if content_type:
        document["contentType"] = content_type
    if updated is not None:
        at = format_millis(updated)
        document |= {"timeCreated": at, "updated": at, "timeStorageClassUpdated": at}
        document["storageClass"] = "STANDARD"
    if size is not None:
        document["size"] = str(size)
    if md5:
        document["md5Hash"] = md5
    return document


def object_event(
    event_type: str,
    bucket: str,
    name: str,
    document: Mapping[str, object],
    event_id: str,
    time: str,
) -> CloudEvent:
    """``document`` is StorageObjectData; whole numbers of 64 bits in it become text, as on the
    wire. ``time`` is RFC 3339. Raises InvalidEvent for names that no event can bear."""
    data = {
        key: str(value) if key in _INT64 and type(value) is int else value
        for key, value in document.items()
    }
    core = {
        "id": event_id,
        "source": f"//storage.googleapis.com/projects/_/buckets/{in_uri(bucket)}",
        "type": event_type,
        "subject": f"objects/{name}",
        "time": time,
        "datacontenttype": "application/json",
    }
    return make_event(core, [Extension("bucket", bucket)], _json(data), DataKind.JSON)


def _required(message: PubsubMessage, name: str) -> str:
    value = message.attribute(name)
    if not value:
        raise InvalidEvent("it is missing; a notification of storage has it", field=name)
    return value


# ---------------------------------------------------------------- the audit log


def is_audit_entry(document: object) -> bool:
    """Whether JSON that came by Pub/Sub or as an event is an entry of an audit log."""
    return (
        isinstance(document, Mapping)
        and isinstance(document.get("protoPayload"), Mapping)
        and isinstance(document.get("logName"), str)
        and _LOG.fullmatch(str(document["logName"])) is not None
    )


def from_audit_entry(entry: object) -> CloudEvent:
    """``entry`` is a LogEntry in JSON. Raises InvalidEvent."""
    if not isinstance(entry, Mapping):
        raise InvalidEvent("an entry of a log is an object")
    log_name = _member(entry, "logName", "")
    log = _LOG.fullmatch(log_name)
    if log is None:
        form = "allowed: projects/PROJECT/logs/cloudaudit.googleapis.com%2FLOG"
        raise InvalidEvent(f"'{show(log_name)}' is not an audit log; {form}", field="logName")
    payload = entry.get("protoPayload")
    if not isinstance(payload, Mapping):
        raise InvalidEvent("it is missing, or not an object", field="protoPayload")
    service = _member(payload, "serviceName", "protoPayload.")
    method = _member(payload, "methodName", "protoPayload.")
    resource = payload.get("resourceName")
    resource = resource if isinstance(resource, str) else ""
    recorded = _member(entry, "timestamp", "")
    received = entry.get("receiveTimestamp")
    try:
        micros = round(parse_time(recorded) * 1_000_000)
    except ValueError:
        raise InvalidEvent(f"'{show(recorded)}' is not a time", field="timestamp") from None
    core = {
        "id": f"{log_name}{_member(entry, 'insertId', '')}{micros}",
        "source": f"//cloudaudit.googleapis.com/{in_uri(log['parent'])}/logs/{log['log']}",
        "type": AUDIT,
        "subject": f"{service}/{resource}" if resource else service,
        "time": received if isinstance(received, str) and received else recorded,
        "datacontenttype": "application/json; charset=utf-8",
        "dataschema": AUDIT_SCHEMA,
    }
    own = [Extension("servicename", service), Extension("methodname", method)]
    if resource:
        own.append(Extension("resourcename", resource))
    own.append(Extension("recordedtime", recorded, AttributeType.TIMESTAMP))
    plain = {key: value for key, value in payload.items() if key != "@type"}
    try:
        data = _json({**entry, "protoPayload": plain})
    except (ValueError, TypeError, RecursionError):
        raise InvalidEvent("it is not JSON") from None
    return make_event(core, own, data, DataKind.JSON)


def audit_entry(
    *,
    project: str,
    service: str,
    method: str,
    resource: str,
    at: float,
    insert_id: str,
    principal: str = "",
    location: str = "",
    resource_type: str = "",
    code: int = 0,
    message: str = "",
) -> dict[str, object]:
    """A LogEntry about one write to our own API. ``code`` is of google.rpc.Code."""
    status: dict[str, object] = {"code": code, "message": message} if code else {}
    payload: dict[str, object] = {"serviceName": service, "methodName": method}
    payload["resourceName"] = resource
    if principal:
        payload["authenticationInfo"] = {"principalEmail": principal}
    payload["status"] = status
    stamp = format_time(at)
    labels = {"project_id": project} | ({"location": location} if location else {})
    return {
        "protoPayload": payload,
        "insertId": insert_id,
        "resource": {"type": resource_type or "audited_resource", "labels": labels},
        "timestamp": stamp,
        "severity": "ERROR" if code else "NOTICE",
        "logName": f"projects/{project}/logs/cloudaudit.googleapis.com%2Factivity",
        "receiveTimestamp": stamp,
    }


def _member(document: Mapping[str, object], name: str, above: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise InvalidEvent("it is missing, or not text", field=f"{above}{name}")
    return value


def _json(document: object) -> bytes:
    text = json.dumps(document, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.encode("utf-8", "replace")
