"""Publishes an order with Google's own library."""

import json

from google.cloud import pubsub_v1

ORDER = {
    "id": "A7",
    "lines": [
        {"what": "teas", "count": 2}, {"what": "cups", "count": 4},
        {"what": "pots", "count": 1}, {"what": "spoons", "count": 4},
    ],
}  # fmt: skip

publisher = pubsub_v1.PublisherClient()
topic = publisher.topic_path("local", "orders")
print("message", publisher.publish(topic, json.dumps(ORDER).encode()).result(timeout=30))
