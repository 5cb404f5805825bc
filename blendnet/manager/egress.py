"""What traffic costs, and the files that are on their way to owners: paid for before their first byte."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from blendnet.settings import Settings

GB = 1e9


def egress_usd_per_gb(settings: Settings, *, from_cloud: bool) -> float:
    """Price of traffic: what the owner says, else what estimates assume of traffic out of a cloud."""
    if settings.egress_usd_per_gb is not None:
        return settings.egress_usd_per_gb
    return settings.estimate_egress_usd_per_gb if from_cloud else 0.0


def home_usd_per_gb(settings: Settings) -> float:
    """Price of bringing results home: from a Manager or a bucket in a cloud, or from a Manager of one's own."""
    return egress_usd_per_gb(settings, from_cloud=bool(settings.manager_cloud or settings.store_url))


class Passage:
    """A file on its way that costs nothing: its bytes are counted as they go."""

    def __init__(self, count: Callable[[int], object] = lambda _: None) -> None:
        self._count = count

    def sent(self, size_bytes: int) -> None:
        """So many more bytes went out."""
        self._count(size_bytes)

    def end(self) -> None:
        """Nothing more is sent."""


@dataclass(eq=False)
class PaidPassage(Passage):
    """One that is on the bill whole; what was not sent is given back after its end.

    It is in memory alone: a Manager that dies leaves the file on the bill as sent, and nothing else.
    """

    sha256: str
    day: str
    """On whose bill it is."""
    size_bytes: int
    usd_per_gb: float
    to_end: bool
    """The file's last byte is to be sent."""
    sent_bytes: int = 0
    ended: bool = False
    settling: bool = False
    """Somebody writes its end into the ledger."""

    @property
    def usd(self) -> float:
        """What it costs whole."""
        return self.size_bytes / GB * self.usd_per_gb

    @property
    def unsent_bytes(self) -> int:
        """Bytes that are on the bill and were not sent."""
        return max(0, self.size_bytes - self.sent_bytes)

    @property
    def is_home(self) -> bool:
        """The file's last byte went out, and all that was asked for with it."""
        return self.to_end and not self.unsent_bytes

    def sent(self, size_bytes: int) -> None:
        self.sent_bytes += size_bytes

    def end(self) -> None:
        self.ended = True


class Passages:
    """Files on their way to owners that cost something. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._under_way: list[PaidPassage] = []

    def begin(self, passage: PaidPassage) -> None:
        """It is about to be on the bill."""
        with self._lock:
            self._under_way.append(passage)

    def forget(self, passages: Iterable[PaidPassage]) -> None:
        """These are not on the bill, or stand there as they were sent."""
        gone = set(passages)
        with self._lock:
            self._under_way = [passage for passage in self._under_way if passage not in gone]

    def carried(self, sha256: str) -> int:
        """How often a file is being sent to somebody."""
        with self._lock:
            return sum(passage.sha256 == sha256 and not passage.ended for passage in self._under_way)

    def files(self) -> Counter[str]:
        """Hashes of all whose end is not in the ledger, and how often: they are on the bill whole."""
        with self._lock:
            return Counter(passage.sha256 for passage in self._under_way)

    @property
    def any_ended(self) -> bool:
        """True when an end is to be written."""
        with self._lock:
            return any(passage.ended for passage in self._under_way)

    @contextmanager
    def settling(self) -> Iterator[list[PaidPassage]]:
        """Those that have ended, to be written into the ledger by one caller; they stay when the block raises."""
        with self._lock:
            ended = [passage for passage in self._under_way if passage.ended and not passage.settling]
            for passage in ended:
                passage.settling = True
        try:
            yield ended
        except BaseException:
            for passage in ended:
                passage.settling = False
            raise
        self.forget(ended)
