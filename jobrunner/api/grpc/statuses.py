"""Errors as gRPC statuses: code, message, and Google's details in the trailing metadata."""

from __future__ import annotations

from dataclasses import dataclass

import grpc

# An Any is made from JSON only where the type of its content is loaded: those of details_of().
from google.protobuf import any_pb2, json_format
from google.rpc import error_details_pb2, status_pb2

from jobrunner.api.errors import details_of, status_of
from jobrunner.errors import JobrunnerError

CODES = {code.value[0]: code for code in grpc.StatusCode}
DETAILS_KEY = "grpc-status-details-bin"
DETAIL_TYPES = (error_details_pb2.BadRequest, error_details_pb2.Help)

# Clients take 8 KiB of metadata, and what is larger hides the error altogether.
MAX_MESSAGE = 2000
MAX_DETAILS = 3000


@dataclass(frozen=True, slots=True)
class Ending:
    """How a call ends that is not answered. ``trailers`` go with it."""

    code: grpc.StatusCode
    message: str
    trailers: tuple[tuple[str, bytes], ...] = ()


def ending(error: JobrunnerError) -> Ending:
    code = status_of(error).grpc
    message = error.message
    if len(message) > MAX_MESSAGE:
        message = f"{message[:MAX_MESSAGE]}…"
    status = status_pb2.Status(code=code, message=message)
    for detail in details_of(error):
        status.details.append(json_format.ParseDict(detail, any_pb2.Any()))
    packed = status.SerializeToString()
    if not status.details or len(packed) > MAX_MESSAGE + MAX_DETAILS:
        return Ending(CODES[code], message)
    return Ending(CODES[code], message, ((DETAILS_KEY, packed),))
