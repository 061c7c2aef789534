"""What a file has made in a home: only that is removed when it leaves the file."""

from __future__ import annotations

import hashlib
import json
import os

Thing = tuple[str, str]
"""Kind and name."""

FOLDER = "up"


class Made:
    """Kept in the home, so that what leaves the file while nothing serves it is removed, too."""

    def __init__(self, home: str, paths: tuple[str, ...], scope: tuple[str, str]) -> None:
        real = sorted(os.path.realpath(path) for path in paths)
        self._files = real
        name = hashlib.sha256(json.dumps([real, list(scope)]).encode()).hexdigest()[:24]
        self._path = os.path.join(home, FOLDER, f"{name}.json")
        self.things: list[Thing] = self._read()

    def keep(self, things: list[Thing]) -> None:
        """Raises OSError."""
        if things == self.things:
            return
        os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
        temporary = f"{self._path}.new"
        with open(temporary, "w", encoding="utf-8") as file:
            json.dump({"files": self._files, "made": things}, file)
        os.replace(temporary, self._path)
        self.things = things

    def _read(self) -> list[Thing]:
        try:
            with open(self._path, encoding="utf-8") as file:
                return [(str(kind), str(name)) for kind, name in json.load(file)["made"]]
        except (OSError, ValueError, KeyError, TypeError):
            return []
