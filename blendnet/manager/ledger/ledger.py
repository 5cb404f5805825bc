"""The ledger itself: opens the database and hands out transactions."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property

from sqlalchemy import Connection

from blendnet.manager.ledger import migrate
from blendnet.manager.ledger.agents import Agents
from blendnet.manager.ledger.attempts import Attempts
from blendnet.manager.ledger.audit import Audit
from blendnet.manager.ledger.blobs import Blobs
from blendnet.manager.ledger.chunks import Chunks
from blendnet.manager.ledger.engine import make_engine, passing_trouble, reading_options, writing
from blendnet.manager.ledger.events import Events
from blendnet.manager.ledger.frames import Frames
from blendnet.manager.ledger.instances import Instances
from blendnet.manager.ledger.jobs import Jobs
from blendnet.manager.ledger.measures import Measures
from blendnet.manager.ledger.members import JoinTokens, Members, Reading
from blendnet.manager.ledger.meters import Meters
from blendnet.manager.ledger.places import Places
from blendnet.manager.ledger.references import References
from blendnet.manager.ledger.results import Results
from blendnet.manager.ledger.segments import Segments
from blendnet.manager.ledger.usage import Usage


class Transaction:
    """All tables as one transaction sees them."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self._connection)

    @cached_property
    def places(self) -> Places:
        return Places(self._connection)

    @cached_property
    def frames(self) -> Frames:
        return Frames(self._connection)

    @cached_property
    def chunks(self) -> Chunks:
        return Chunks(self._connection)

    @cached_property
    def segments(self) -> Segments:
        return Segments(self._connection)

    @cached_property
    def blobs(self) -> Blobs:
        return Blobs(self._connection)

    @cached_property
    def references(self) -> References:
        return References(self._connection)

    @cached_property
    def results(self) -> Results:
        return Results(self._connection)

    @cached_property
    def events(self) -> Events:
        return Events(self._connection)

    @cached_property
    def attempts(self) -> Attempts:
        return Attempts(self._connection)

    @cached_property
    def audit(self) -> Audit:
        return Audit(self._connection)

    @cached_property
    def agents(self) -> Agents:
        return Agents(self._connection)

    @cached_property
    def instances(self) -> Instances:
        return Instances(self._connection)

    @cached_property
    def usage(self) -> Usage:
        return Usage(self._connection)

    @cached_property
    def measures(self) -> Measures:
        return Measures(self._connection)

    @cached_property
    def meters(self) -> Meters:
        return Meters(self._connection)

    @cached_property
    def join_tokens(self) -> JoinTokens:
        return JoinTokens(self._connection)

    @cached_property
    def members(self) -> Members:
        return Members(self._connection)

    @cached_property
    def reading(self) -> Reading:
        return Reading(self._connection)


class Ledger:
    """A database by URL, its schema brought up to date. Shared by threads; several processes may open the same one."""

    def __init__(self, url: str) -> None:
        self._engine = make_engine(url)
        self._reader = self._engine.execution_options(**reading_options(self._engine))
        # Waiting here is fair and immediate; SQLite's own waiting sleeps and retries.
        self._turn = threading.Lock()
        migrate.upgrade(self._engine)

    @contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that is alone in writing; rolled back when the block raises.

        Raises:
            DiskFull, Retryable: nothing is wrong with the request, the database cannot take it now.
        """
        with passing_trouble(), self._turn, writing(self._engine) as connection:
            yield Transaction(connection)

    @contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that sees one state of everything and waits for nobody. Raises Retryable as `write`."""
        with passing_trouble(), self._reader.begin() as connection:
            yield Transaction(connection)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()
