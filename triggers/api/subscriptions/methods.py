"""``/jobrunner/v1/subscriptions``. Project and region come in the query, or in the body of one that
is to be made; the server's own where they are missing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from jobrunner.calls import Answer, Call, Method, Role
from jobrunner.core.records import Scope
from jobrunner.ports import Commit
from jobrunner.service import Service
from jobrunner.service.places import Places
from triggers.api.own import (
    PAGE,
    Maker,
    Where,
    body_of,
    check_job,
    identity,
    page,
    read_settings,
    version_of,
)
from triggers.api.push.proving import secret_hash
from triggers.api.subscriptions.reading import (
    NEW,
    OUTPUT,
    Settings,
    in_scope,
    push_token_of,
    settings_of,
)
from triggers.api.subscriptions.writing import Document, subscription_document
from triggers.core.subscriptions import Subscription
from triggers.service.subscriptions import Subscriptions

PATH = "/jobrunner/v1/subscriptions"
ONE = f"{PATH}/{{subscription}}"


def subscription_methods(
    subscriptions: Subscriptions,
    service: Service,
    commit: Commit,
    default: Scope,
    url: str = "",
) -> Sequence[Method]:
    """``url`` is where the server answers, empty where none does."""
    table = _Table(subscriptions, service, commit, default, url)
    method = Maker("subscriptions", table.about)
    return [
        method("list", "GET", PATH, table.list, Role.VIEWER, "Lists subscriptions by name", PAGE),
        method("create", "POST", PATH, table.create, Role.ADMIN, "Makes a subscription"),
        method("get", "GET", ONE, table.get, Role.VIEWER, "Shows a subscription"),
        method("replace", "PUT", ONE, table.replace, Role.ADMIN, "Makes it what it says"),
        method("delete", "DELETE", ONE, table.delete, Role.ADMIN, "Removes a subscription"),
        method("pause", "POST", f"{ONE}:pause", table.pause, Role.ADMIN, "Takes in nothing more"),
        method("resume", "POST", f"{ONE}:resume", table.resume, Role.ADMIN, "Takes in again"),
    ]


class _Table:
    def __init__(
        self,
        subscriptions: Subscriptions,
        service: Service,
        commit: Commit,
        default: Scope,
        url: str,
    ) -> None:
        self._subscriptions = subscriptions
        self._service = service
        self._where = Where(Places(service.store), default)
        self._commit = commit
        self._url = url

    async def list(self, call: Call) -> Answer:
        scope = self._where.scope(call.params)

        def written(one: Subscription) -> Document:
            return subscription_document(one, url=self._url, alone=self._alone(one))

        return Answer(page(call, "subscriptions", scope, self._subscriptions.survey, written))

    async def get(self, call: Call) -> Answer:
        return Answer(self._document(self._subscriptions.get(*self._named(call))))

    async def create(self, call: Call) -> Answer:
        """Project and region of the body win over those of the query."""
        body = body_of(call)
        scope = self._where.of_body(call, body)
        settings, token = _settings(body, scope)
        check_job(self._service, settings["target"])
        hashed = secret_hash(token) if token else ""
        wanted = replace(NEW, **identity(scope, body), secret_hash=hashed, **settings)
        return await self._written(partial(self._subscriptions.create, wanted))

    async def replace(self, call: Call) -> Answer:
        """With a ``resourceVersion`` only if nobody has changed it since. A push token that is not
        said stays."""
        body = body_of(call)
        scope, name = self._named(call)
        (settings, token), version = _settings(body, scope), version_of(body)
        check_job(self._service, settings["target"])
        if token is not None:
            settings["secret_hash"] = secret_hash(token) if token else ""

        def change(old: Subscription) -> Subscription:
            return replace(old, **settings)

        return await self._written(
            lambda: self._subscriptions.update(scope, name, change, version=version)
        )

    async def delete(self, call: Call) -> Answer:
        scope, name = self._named(call)
        await self._commit(lambda: self._subscriptions.delete(scope, name))
        self._subscriptions.forget()
        return Answer({})

    async def pause(self, call: Call) -> Answer:
        return await self._written(partial(self._subscriptions.pause, *self._named(call)))

    async def resume(self, call: Call) -> Answer:
        return await self._written(partial(self._subscriptions.resume, *self._named(call)))

    def about(self, call: Call) -> str:
        return self._where.about(call, "subscriptions", "subscription", longest=255)

    # ------------------------------------------------------------ parts

    async def _written(self, work: Callable[[], Subscription]) -> Answer:
        """Answers when a message that is published next cannot be missed."""
        subscription = await self._commit(work)
        self._subscriptions.forget()
        await self._subscriptions.ready(subscription)
        return Answer(self._document(subscription))

    def _document(self, subscription: Subscription) -> Document:
        return subscription_document(
            subscription,
            url=self._url,
            alone=self._alone(subscription),
            counts=self._subscriptions.arrivals.counts(subscription),
            backlog=self._subscriptions.arrivals.backlog(subscription),
            trouble=self._subscriptions.trouble(subscription),
        )

    def _alone(self, subscription: Subscription) -> bool:
        return len(self._subscriptions.store.named(subscription.name)) < 2

    def _named(self, call: Call) -> tuple[Scope, str]:
        return self._where.scope(call.params), call.params["subscription"]


def _settings(body: Document, scope: Scope) -> tuple[Settings, str | None]:
    settings, token = read_settings(
        body, OUTPUT, lambda node, said: (settings_of(node, said), push_token_of(node, said))
    )
    return in_scope(settings, scope), token
