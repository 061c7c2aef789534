"""The same web server without a database: answers every request with the content of a file.

BODY_FILE=FILE python p_bare.py PORT
"""

import os
import sys
from pathlib import Path

import uvicorn

BODY = Path(os.environ["BODY_FILE"]).read_bytes()
HEADERS = [
    (b"content-type", b"application/json; charset=UTF-8"),
    (b"content-length", str(len(BODY)).encode()),
]


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
    await send({"type": "http.response.body", "body": BODY})


if __name__ == "__main__":
    uvicorn.run(
        app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False,
        http="httptools", lifespan="off",
    )  # fmt: skip
