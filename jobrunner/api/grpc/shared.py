"""The gRPC services that every API of Google's has beside its own: operations and locations.

Each is answered by one method for all APIs, so a table that names them again is refused. Their
messages come with grpc's own packages.
"""

from __future__ import annotations

from google.cloud.location import locations_pb2 as places
from google.longrunning import operations_pb2 as operations
from google.protobuf import empty_pb2

from jobrunner.calls import Rpc

OPERATIONS = "google.longrunning.Operations"
LOCATIONS = "google.cloud.location.Locations"

RPCS: dict[str, Rpc] = {
    f"{OPERATIONS}/GetOperation": Rpc(operations.GetOperationRequest, operations.Operation, "name"),
    f"{OPERATIONS}/ListOperations": Rpc(
        operations.ListOperationsRequest, operations.ListOperationsResponse, "name"
    ),
    f"{OPERATIONS}/DeleteOperation": Rpc(
        operations.DeleteOperationRequest, empty_pb2.Empty, "name"
    ),
    f"{OPERATIONS}/WaitOperation": Rpc(
        operations.WaitOperationRequest, operations.Operation, "name", "*"
    ),
    f"{LOCATIONS}/ListLocations": Rpc(
        places.ListLocationsRequest, places.ListLocationsResponse, "name"
    ),
    f"{LOCATIONS}/GetLocation": Rpc(places.GetLocationRequest, places.Location, "name"),
}
