"""Makes a picture of a quarter of the width and height: every fourth pixel of every fourth row.

The event says which file it is about; it comes as a file whose path is in CLOUDEVENT_FILE. Pictures
are plain PPM, so that no library is needed.
"""

import json
import os
from pathlib import Path

EVENT = json.loads(Path(os.environ["CLOUDEVENT_FILE"]).read_text())
PHOTOS, SMALL = Path("out/photos"), Path("out/small")
EACH = 4


def smaller(picture: str) -> str:
    kind, width, height, most, *numbers = picture.split()
    assert kind == "P3", "it is no plain PPM"
    rows = [numbers[at : at + 3 * int(width)] for at in range(0, len(numbers), 3 * int(width))]
    kept = [
        [row[at : at + 3] for at in range(0, len(row), 3 * EACH)]
        for row in rows[: int(height)][::EACH]
    ]
    lines = (" ".join(" ".join(pixel) for pixel in row) for row in kept)
    return f"P3\n{len(kept[0])} {len(kept)}\n{most}\n" + "\n".join(lines) + "\n"


name = EVENT["data"]["name"]
SMALL.mkdir(parents=True, exist_ok=True)
(SMALL / name).write_text(smaller((PHOTOS / name).read_text()))
print(f"{name}: {EVENT['data']['size']} bytes seen, {(SMALL / name).stat().st_size} written")
