"""What happens around the processes: lines, disk, clock, notices, bits that flip."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Sequence

from blendnet.storage.files import FileStore
from tests.chaos.farm import ChaosFarm
from tests.chaos.fault import Fault
from tests.chaos.line import BOTH, TO_AGENT, TO_SERVICE, Line
from tests.chaos.records import Records

HOUR_S = 3600


class LineFault(Fault):
    """Something happens to the lines of one agent, or of all."""

    lasts = True

    def do(self, busy: Sequence[str]) -> None:
        lines = self.lines()
        name = self.agent(busy)
        self.agents = self.variant(((name,), (name,), tuple(self.farm.names)))
        self.what = "of " + ("all agents" if len(self.agents) > 1 else name)
        self._hit = [lines[agent] for agent in self.agents]
        for line in self._hit:
            self.harm(line)

    def undo(self) -> None:
        for line in self._hit:
            line.release()

    @abstractmethod
    def lines(self) -> dict[str, Line]:
        """By agent."""

    @abstractmethod
    def harm(self, line: Line) -> None:
        """Do to a line what this fault does."""


class ManagerLine:
    """The line that carries HTTPS."""

    farm: ChaosFarm

    def lines(self) -> dict[str, Line]:
        return self.farm.manager_lines


class RedisLine:
    """The line that carries Celery."""

    farm: ChaosFarm

    def lines(self) -> dict[str, Line]:
        return self.farm.redis_lines


class Cut:
    """Connections end in the middle of whatever they carry, new ones are refused."""

    def harm(self, line: Line) -> None:
        line.cut()


class Held:
    """Nothing arrives, in one direction or both; nobody is told. Later everything arrives."""

    what: str
    variant: Callable[..., tuple[str, ...]]

    def harm(self, line: Line) -> None:
        ways = self.variant((BOTH, (TO_AGENT,), (TO_SERVICE,), BOTH))
        self.what += f", {' and '.join(ways)}"
        line.hold(ways)


class ManagerLineCut(ManagerLine, Cut, LineFault):
    kind = "line to Manager cut"


class ManagerLineHeld(ManagerLine, Held, LineFault):
    kind = "line to Manager silent"


class RedisLineCut(RedisLine, Cut, LineFault):
    kind = "line to Redis cut"


class RedisLineHeld(RedisLine, Held, LineFault):
    kind = "line to Redis silent"


class DiskFull(Fault):
    """The Manager's disk, with ledger, store and Redis' files, has no byte left."""

    kind = "disk full"
    lasts = True

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return farm.disk.why_not and f"no small file system can be mounted here: {farm.disk.why_not}"

    def do(self, busy: Sequence[str]) -> None:
        self.farm.disk.fill()

    def undo(self) -> None:
        self.farm.disk.free()


class AgentDiskFull(Fault):
    """The disk of one agent, or those of all, have no byte left."""

    kind = "agent's disk full"
    lasts = True

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return DiskFull.why_not(farm)

    def do(self, busy: Sequence[str]) -> None:
        name = self.agent(busy)
        self.agents = self.variant(((name,), (name,), tuple(self.farm.names)))
        self.what = "of " + ("all agents" if len(self.agents) > 1 else name)
        for agent in self.agents:
            self.farm.agent_disks[agent].fill()

    def undo(self) -> None:
        for agent in self.agents:
            self.farm.agent_disks[agent].free()


class ClockWrong(Fault):
    """The clock of an agent jumps by an hour, and later back."""

    kind = "agent's clock an hour wrong"
    lasts = True

    @classmethod
    def why_not(cls, farm: ChaosFarm) -> str:
        return "" if farm.clock_agent else "libfaketime is not installed (Debian: faketime)"

    def do(self, busy: Sequence[str]) -> None:
        assert self.farm.clock_agent
        self.agents = (self.farm.clock_agent,)
        offset_s = self.variant((HOUR_S, -HOUR_S))
        self.what = f"{self.farm.clock_agent} by {offset_s:+d} s"
        self.farm.set_clock(offset_s)

    def undo(self) -> None:
        self.farm.set_clock(0)


class NoticeGiven(Fault):
    """An agent is told that its machine is taken back in a few seconds."""

    kind = "preemption notice"

    def do(self, busy: Sequence[str]) -> None:
        name = self.agent(busy)
        seconds = self.variant((3, 10, 30))
        self.what = f"{name}, {seconds} s"
        self.farm.notice_file(name).write_text(str(seconds))


class SegmentDamaged(Fault):
    """A bit of a stored segment flips before its frame is merged."""

    kind = "segment damaged"

    def do(self, busy: Sequence[str]) -> None:
        query = (
            "select s.sha256 from segments s join frames f on f.id = s.frame_id"
            " where f.state = 'active' and f.stage = 'render' order by s.id"
        )
        rows = Records(self.farm.folder.root / "ledger.sqlite").rows(query)
        path = FileStore(self.farm.folder.root / "store").path(self.choose(rows)["sha256"])
        self.what = path.name
        with path.open("r+b") as file:
            file.seek(int(self.pick * path.stat().st_size))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 1]))
