"""Pushes one message to a URL, as Pub/Sub does: python3 push.py URL ID TEXT."""

import base64
import json
import sys
import urllib.request

url, number, text = sys.argv[1:]
message = {
    "data": base64.b64encode(text.encode()).decode(),
    "attributes": {"shop": "sea"},
    "messageId": number,
    "publishTime": "2026-01-01T10:00:00.123Z",
}
body = json.dumps({"message": message, "subscription": "projects/local/subscriptions/orders"})
request = urllib.request.Request(url, body.encode(), {"Content-Type": "application/json"})
with urllib.request.urlopen(request) as answer:
    print(answer.status)
