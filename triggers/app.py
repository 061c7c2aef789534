"""Puts the trigger layer of one server together: the only file that names its concrete parts."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from jobrunner.calls import Method
from jobrunner.errors import UsageError
from jobrunner.service.aside import Aside
from jobrunner.service.parts import Ground, Neighbour
from jobrunner.service.places import Places
from jobrunner.service.tokens import Tokens
from triggers.api.deliveries import delivery_methods
from triggers.api.eventarc.methods import eventarc_methods
from triggers.api.events.buckets import bucket_methods
from triggers.api.events.ingress import ingress_methods
from triggers.api.events.rooms import own_methods
from triggers.api.own import Where
from triggers.api.push.ingress import Intakes, push_methods
from triggers.api.push.proving import Prover
from triggers.api.queues.methods import queue_methods
from triggers.api.scheduler.methods import scheduler_methods
from triggers.api.schedules.methods import schedule_methods
from triggers.api.subscriptions.methods import subscription_methods
from triggers.api.tasks.methods import tasks_methods
from triggers.core.buckets import is_ignored
from triggers.core.subscriptions import TokenKeys
from triggers.ports import DeliveryStore
from triggers.senders.keyring import Keyring, PublishedKeys
from triggers.senders.options import from_environment
from triggers.senders.sending import make_senders
from triggers.service.audit_feed import AuditFeed
from triggers.service.backlog import Backlogs
from triggers.service.bucket_watching import BucketKeeper
from triggers.service.buckets import Buckets
from triggers.service.channel_names import ChannelNames
from triggers.service.channels import Channels
from triggers.service.consuming import Counter, subscriptions_to_pull, triggers_to_pull
from triggers.service.dead_letters import DeadLetters
from triggers.service.deliveries import Deliveries
from triggers.service.dispatch import Dispatcher, DispatchSettings
from triggers.service.event_dead_letters import EventDeadLetters
from triggers.service.event_triggers import EventTriggers
from triggers.service.events import Events
from triggers.service.feeds import FeedReader
from triggers.service.giving_up import say_given_up
from triggers.service.keeping import Keeping, KeepingTimes
from triggers.service.lifecycle import Lifecycle
from triggers.service.message_events import MessageEvents
from triggers.service.mishaps import Mishaps
from triggers.service.policies import Policies
from triggers.service.purges import Purges
from triggers.service.queues import Queues
from triggers.service.replaying import Replays
from triggers.service.reporting import Reporting
from triggers.service.schedules import Schedules
from triggers.service.schedules_turns import Turns
from triggers.service.services import resolver
from triggers.service.settling import Settlements
from triggers.service.subscriptions import Subscriptions
from triggers.service.transports import Transports
from triggers.sources.google_keys import GOOGLE_KEYS, FetchedKeys, fetcher
from triggers.sources.id_tokens import PublicKeys, Verifier
from triggers.sources.inotify import Inotify
from triggers.sources.pubsub_admin import EmulatorAdmin
from triggers.sources.pubsub_link import EMULATOR
from triggers.sources.pubsub_memory import EmulatorMemory
from triggers.sources.pull import Consumers, Puller
from triggers.sources.ticker import ClockAlarm, SchedulerAlarm, Ticker
from triggers.store import (
    Declared,
    deliveries_in,
    open_buckets,
    open_cursors,
    open_declared,
    open_deliveries,
    open_event_log,
    open_policies,
    open_queues,
    open_schedules,
)

IN_FLIGHT, PER_TARGET = "JOBRUNNER_DELIVERIES", "JOBRUNNER_DELIVERIES_PER_TARGET"
MOST = 10_000


@dataclass(frozen=True, slots=True)
class Layer:
    """What the routes and loops of one server share."""

    store: DeliveryStore
    deliveries: Deliveries
    dispatcher: Dispatcher
    schedules: Schedules
    ticker: Ticker
    queues: Queues
    declared: Declared
    events: Events
    event_triggers: EventTriggers
    subscriptions: Subscriptions
    settlements: Settlements
    puller: Puller
    feeds: FeedReader
    transports: Transports
    memory: EmulatorMemory | None
    reporting: Reporting | None
    buckets: Buckets
    keeper: BucketKeeper


_layers: dict[int, tuple[Ground, Layer]] = {}


def layer_of(ground: Ground) -> Layer:
    """Made when it is first asked for. Raises StoreFault, and UsageError for a bad environment."""
    known = _layers.get(id(ground))
    if known is None:
        known = _layers[id(ground)] = ground, _make(ground)
    return known[1]


def _make(ground: Ground) -> Layer:
    parts = ground.parts
    settings = dispatch_settings(os.environ)
    options = from_environment(os.environ)
    store = open_deliveries(ground.database)
    declared = open_declared(ground.database)
    dispatcher = Dispatcher(
        store,
        make_senders(ground, options, resolver(declared.services)),
        parts.commit,
        parts.runner,
        parts.clock,
        ground.owner,
        settings,
        machine=parts.machine,
        apart=parts.apart,
    )
    jobs, clock = parts.service.store, parts.clock
    schedules = Schedules(open_schedules(ground.database), store, jobs, clock, parts.ids)
    replays = Replays(schedules.firing, schedules.store)
    deliveries = Deliveries(store, replays, clock, parts.ids, parts.default)
    turns = Turns(
        schedules,
        parts.commit,
        parts.runner,
        clock,
        dispatcher.look,
        machine=parts.machine,
        put_away=ground.database.put_away,
        pause=time.sleep,
    )
    alarm = ClockAlarm(clock) if clock.virtual else SchedulerAlarm()
    ticker = Ticker(turns.tick, alarm, rested=clock.rested, apart=clock.virtual)
    clock.join(ticker)
    clock.join(dispatcher, told=True)
    queues = Queues(open_queues(ground.database), store, clock, parts.ids)
    queues.watch(dispatcher.recall)
    kept, backlogs = open_event_log(ground.database), Backlogs(parts.machine)
    events = Events(declared.triggers, store, kept, parts.ids, backlogs)
    event_triggers = EventTriggers(
        declared.triggers, declared.services, parts.service, clock, parts.ids
    )
    subscriptions = Subscriptions(declared.subscriptions, store, clock, parts.machine, parts.ids)
    subscriptions.arrivals.listen(MessageEvents(events).taken)
    letters = DeadLetters(declared.subscriptions, store, clock, parts.ids)
    settlements = Settlements(store)
    dispatcher.watch(recorded=letters.recorded, durable=settlements.told)
    reporting = None
    if ground.tell is not None:
        reporting = Reporting(open_event_log(ground.database), ground.tell)
        ground.tell.first(reporting.look)
        dispatcher.watch(durable=reporting.moved)
    else:
        dispatcher.watch(durable=say_given_up)
    given_up = EventDeadLetters(declared.triggers, store, clock, parts.ids)
    dispatcher.watch(recorded=given_up.recorded)
    mishaps = Mishaps(events, clock)
    dispatcher.watch(recorded=mishaps.recorded)
    schedules.firing.watch(mishaps.missed)
    cursors = open_cursors(ground.database)
    audit = AuditFeed(jobs, events, cursors, parts.default)
    lifecycle = Lifecycle(jobs, events, cursors, store)
    feeds = FeedReader([lifecycle, audit], parts.commit, clock, dispatcher.look)
    ground.database.committed = feeds.stirred
    clock.join(feeds)
    directories = open_buckets(ground.database)
    keeper = BucketKeeper(
        directories,
        events,
        cursors,
        lambda root: Inotify(root, is_ignored),
        parts.commit,
        clock,
        parts.machine,
        dispatcher.look,
    )
    desk = Counter(parts.apart or parts.commit, clock, parts.ids, store, dispatcher.look)
    consumers: list[Consumers] = [
        lambda: subscriptions_to_pull(
            declared.subscriptions, subscriptions.arrivals, settlements, desk
        )
    ]
    if os.environ.get(EMULATOR):
        # Only there the topics and subscriptions that triggers name are really made.
        consumers.append(lambda: triggers_to_pull(declared.triggers, events, desk))
    puller, emulator = Puller(consumers), os.environ.get(EMULATOR)
    subscriptions.watch(puller.look)
    subscriptions.ask(puller.trouble, puller.ready)
    admin = EmulatorAdmin(emulator) if emulator else None
    transports = Transports(declared.triggers, admin, puller.looked)
    memory = None
    if emulator:
        memory = EmulatorMemory(emulator, lambda: _projects(declared, parts.default.project))
    return Layer(
        store, deliveries, dispatcher, schedules, ticker, queues, declared, events, event_triggers,
        subscriptions, settlements, puller, feeds, transports, memory, reporting,
        Buckets(directories, clock, parts.ids), keeper,
    )  # fmt: skip


def _projects(declared: Declared, default: str) -> set[str]:
    """Those whose topics and subscriptions in Pub/Sub somebody here has to do with."""
    names = [
        name
        for one in declared.subscriptions.listing(None)
        for name in (one.topic, one.full_name, one.dead_letter_topic)
    ]
    names += [one.transport.topic for one in declared.triggers.listing(None)]
    return {default, *(name.split("/")[1] for name in names if name.startswith("projects/"))}


def delivery_routes(ground: Ground) -> Sequence[Method]:
    layer, parts = layer_of(ground), ground.parts
    aside = Aside(ground.database)

    async def reader(work: Callable[[Deliveries], dict[str, Any]]) -> dict[str, Any]:
        return await aside(lambda database: work(layer.deliveries.over(deliveries_in(database))))

    return delivery_methods(
        layer.deliveries, parts.service, parts.commit, layer.dispatcher.look, reader
    )


def schedule_routes(ground: Ground) -> Sequence[Method]:
    layer, parts = layer_of(ground), ground.parts

    def changed() -> None:
        layer.ticker.look()
        layer.dispatcher.look()

    ours = schedule_methods(layer.schedules, parts.service, parts.commit, parts.default, changed)
    return [*scheduler_methods(layer.schedules, parts, changed), *ours]


def queue_routes(ground: Ground) -> Sequence[Method]:
    layer, parts = layer_of(ground), ground.parts
    look = layer.dispatcher.look
    return queue_methods(layer.queues, parts.service, parts.commit, parts.default, look)


def task_routes(ground: Ground) -> Sequence[Method]:
    layer = layer_of(ground)
    policies = Policies(open_policies(ground.database), ground.parts.ids)
    return tasks_methods(layer.queues, policies, ground.parts, layer.dispatcher.look)


def event_routes(ground: Ground) -> Sequence[Method]:
    layer, parts = layer_of(ground), ground.parts
    declared, look = layer.declared, layer.dispatcher.look
    channels = ChannelNames(declared.channels, declared.triggers)
    where = Where(Places(parts.service.store), parts.default)
    own = own_methods(
        triggers=declared.triggers,
        channels=declared.channels,
        book=declared.services,
        events=layer.events,
        kept=open_event_log(ground.database),
        transports=layer.transports,
        service=parts.service,
        commit=parts.commit,
        clock=parts.clock,
        ids=parts.ids,
        default=parts.default,
        look=look,
    )
    taken = ingress_methods(layer.events, channels, where, parts.commit, parts.clock, look)
    return [*taken, *own]


def subscription_routes(ground: Ground) -> Sequence[Method]:
    """Reads the environment; raises UsageError naming the variable and the allowed form."""
    layer, parts = layer_of(ground), ground.parts
    tokens = Tokens(parts.service.store, parts.machine, parts.ids, actor="")
    prover = Prover(_verifier(ground), ground.admit, tokens.living, parts.machine)
    intakes = Intakes(
        layer.subscriptions.arrivals,
        layer.settlements,
        prover,
        parts.commit,
        parts.clock,
        parts.ids,
        layer.dispatcher.look,
    )
    ours = subscription_methods(
        layer.subscriptions, parts.service, parts.commit, parts.default, ground.url
    )
    return [*push_methods(intakes), *ours]


def _verifier(ground: Ground) -> Verifier:
    options, machine = from_environment(os.environ), ground.parts.machine
    google = FetchedKeys(
        options.google_keys or GOOGLE_KEYS, machine, fetcher(options.ca_file, options.proxy)
    )
    ours = PublishedKeys(Keyring(ground.home, machine))
    keys: dict[TokenKeys, PublicKeys] = {TokenKeys.GOOGLE: google, TokenKeys.OURS: ours}
    return Verifier(keys, options.issuer or ground.url, machine)


def eventarc_routes(ground: Ground) -> Sequence[Method]:
    layer, parts = layer_of(ground), ground.parts
    channels = Channels(layer.declared.channels, parts.clock, parts.ids)
    policies = Policies(open_policies(ground.database), parts.ids)
    return eventarc_methods(
        layer.event_triggers,
        channels,
        layer.events,
        layer.transports,
        policies,
        parts,
        layer.dispatcher.look,
    )


def emulator(ground: Ground) -> Neighbour:
    """The Pub/Sub emulator that this server works with. Raises UsageError for a bad address."""
    authority = os.environ.get(EMULATOR, "").lower()
    if authority and not re.fullmatch(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+):[0-9]{1,5}", authority):
        raise UsageError(f"{EMULATOR}: '{authority[:80]}' is not HOST:PORT")
    hint = f"Start the server with {EMULATOR}=HOST:PORT; 'jobrunner pubsub emulator' starts one."
    memory = layer_of(ground).memory if authority else None
    changed = None if memory is None else memory.written
    return Neighbour("pubsub.localhost", authority, "Pub/Sub emulator", hint, changed)


async def tick(ground: Ground) -> None:
    """Opens what schedules have due, until it is cancelled."""
    await layer_of(ground).ticker.run()


async def carry(ground: Ground) -> None:
    """Makes the topics and subscriptions that event triggers lack, and all that an emulator has
    forgotten, until it is cancelled."""
    layer = layer_of(ground)
    loops = [layer.transports.run()]
    if layer.memory is not None:
        loops.append(layer.memory.run())
    await asyncio.gather(*loops)


async def pull(ground: Ground) -> None:
    """Consumes subscriptions of Pub/Sub, until it is cancelled."""
    await layer_of(ground).puller.run()


def bucket_routes(ground: Ground) -> Sequence[Method]:
    layer, parts = layer_of(ground), ground.parts
    where = Where(Places(parts.service.store), parts.default)
    return bucket_methods(layer.buckets, where, parts.commit, layer.keeper.look)


async def watch(ground: Ground) -> None:
    """Watches directories that stand for buckets, until it is cancelled."""
    await layer_of(ground).keeper.run()


async def tell(ground: Ground) -> None:
    """Makes events of what happens here, until it is cancelled."""
    await layer_of(ground).feeds.run()


async def report(ground: Ground) -> None:
    """Tells whoever watches of events, until it is cancelled."""
    reporting = layer_of(ground).reporting
    if reporting is not None:
        await reporting.run()


async def dispatch(ground: Ground) -> None:
    """Sends deliveries, and removes old ones, until it is cancelled."""
    layer, parts = layer_of(ground), ground.parts
    keeping = Keeping(layer.store, parts.commit, parts.clock, KeepingTimes())
    purges = Purges(layer.queues, parts.commit, layer.dispatcher.look)
    house = asyncio.gather(keeping.run(), purges.run(parts.clock))
    try:
        await layer.dispatcher.run()
    finally:
        house.cancel()
        _layers.pop(id(ground), None)
        with contextlib.suppress(asyncio.CancelledError):
            await layer.dispatcher.close()


def dispatch_settings(env: Mapping[str, str]) -> DispatchSettings:
    """From ``JOBRUNNER_DELIVERIES`` and ``JOBRUNNER_DELIVERIES_PER_TARGET``; raises UsageError
    naming the variable and the allowed form."""
    default = DispatchSettings()
    return DispatchSettings(
        in_flight=_number(env, IN_FLIGHT, default.in_flight),
        per_target=_number(env, PER_TARGET, default.per_target),
    )


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    text = env.get(name)
    if not text:
        return default
    if not text.isdecimal() or not text.isascii() or not 1 <= int(text[:9]) <= MOST:
        raise UsageError(f"{name}: '{text[:40]}' is not a whole number from 1 to {MOST}")
    return int(text)
