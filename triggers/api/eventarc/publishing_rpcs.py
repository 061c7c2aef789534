"""The gRPC methods of Eventarc's publishing, with the messages of google-cloud-eventarc-publishing.

An event comes as ``Any``, and its JSON can be had only for a type that this process knows.
Publishers pack the package's own type or that of CloudEvents, which have the same fields: the
second is made from the first where nobody has brought it.
"""

from __future__ import annotations

from google.cloud.eventarc_publishing_v1 import types as publishing
from google.protobuf import descriptor_pb2, descriptor_pool

from jobrunner.calls import Rpc
from triggers.api.eventarc.names import PUBLISHER

_PACKAGE = "io.cloudevents.v1"


def _know_cloudevents() -> None:
    pool = descriptor_pool.Default()
    try:
        pool.FindMessageTypeByName(f"{_PACKAGE}.CloudEvent")
    except KeyError:
        pass
    else:
        return
    own = publishing.CloudEvent.pb().DESCRIPTOR
    message = descriptor_pb2.DescriptorProto()
    own.CopyToProto(message)
    file = descriptor_pb2.FileDescriptorProto(
        name="jobrunner/io_cloudevents_v1.proto",
        package=_PACKAGE,
        syntax="proto3",
        dependency=[one.name for one in own.file.dependencies],
    )
    _move(message, f".{own.file.package}.", f".{_PACKAGE}.")
    file.message_type.append(message)
    pool.Add(file)


def _move(message: descriptor_pb2.DescriptorProto, before: str, after: str) -> None:
    for field in message.field:
        if field.type_name.startswith(before):
            field.type_name = after + field.type_name.removeprefix(before)
    for inner in message.nested_type:
        _move(inner, before, after)


_know_cloudevents()

RPCS: dict[str, Rpc] = {
    f"{PUBLISHER}/PublishEvents": Rpc(
        publishing.PublishEventsRequest.pb(),
        publishing.PublishEventsResponse.pb(),
        "channel",
        "*",
    ),
}
