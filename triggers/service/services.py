"""Use cases of the book of services: names, and the URLs they stand for. What writes is called
inside a transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from jobrunner.core.records import Scope
from jobrunner.errors import NotFound
from jobrunner.ports import Clock, Page
from triggers.core.event_triggers import ServiceAddress
from triggers.core.event_validation import check_service
from triggers.core.records import Unreadable
from triggers.event_ports import ServiceBook
from triggers.service.unknown import no_such


class Services:
    def __init__(self, book: ServiceBook, clock: Clock) -> None:
        self._book = book
        self._clock = clock

    def set(self, scope: Scope, name: str, url: str) -> ServiceAddress:
        """Counts from the next attempt on, for what waits, too. Raises InvalidSpec."""
        address = ServiceAddress(*scope, name, url, self._clock.now())
        check_service(address)
        self._book.put(address)
        return address

    def get(self, scope: Scope, name: str) -> ServiceAddress:
        """Raises NotFound."""
        found = self._book.find(scope, name)
        if found is None:
            raise self._unknown(scope, name)
        return found

    def listing(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[ServiceAddress]:
        """By project, region and name; ``page.after`` is PROJECT/REGION/NAME."""
        return self._book.listing(project, region, page=page)

    def survey(
        self, project: str | None, region: str | None = None, *, page: Page | None = None
    ) -> Sequence[ServiceAddress | Unreadable]:
        """As :meth:`listing`, with what cannot be read in its place among the others."""
        return self._book.survey(project, region, page=page)

    def remove(self, scope: Scope, name: str) -> None:
        """Raises NotFound. What is on its way to it waits until the name is there again."""
        if not self._book.delete(scope, name):
            raise self._unknown(scope, name)

    def _unknown(self, scope: Scope, name: str) -> NotFound:
        return no_such("service", scope, name, self._book.listing(*scope, page=Page(1000)))


def resolver(book: ServiceBook) -> Callable[[Scope, str], str | None]:
    """What a sender asks at each attempt. Raises StoreFault."""

    def resolve(scope: Scope, name: str) -> str | None:
        found = book.find(scope, name)
        return None if found is None else found.url

    return resolve
