"""Packs every third line of an order. The message comes as an event in a file."""

import base64
import json
import os
from pathlib import Path

EVENT = json.loads(Path(os.environ["CLOUDEVENT_FILE"]).read_text())
INDEX, COUNT = (int(os.environ[f"CLOUD_RUN_TASK_{name}"]) for name in ("INDEX", "COUNT"))

order = json.loads(base64.b64decode(EVENT["data"]["message"]["data"]))
for number, line in enumerate(order["lines"]):
    if number % COUNT == INDEX:
        Path(f"out/{order['id']}-{number}.box").write_text(f"{line['count']} {line['what']}\n")
