"""People who steer jobs in the middle of everything."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from blendnet.errors import BlendNetError
from blendnet.models import State
from tests.chaos.fault import Fault, NothingToHit


class JobFault(Fault):
    """Somebody steers a job that is not done."""

    measured = False

    def do(self, busy: Sequence[str]) -> None:
        try:
            with self.farm.client() as client:
                job = self.choose([job for job in client.jobs() if not job.state.final])
                self.job_id = job.id
                self.what = job.id
                self.steer(client)
        except (BlendNetError, AssertionError) as error:
            raise NothingToHit from error

    @abstractmethod
    def steer(self, client) -> None:
        """Ask the Manager for it."""

    def take_back(self, client) -> None:
        """The opposite of `steer`."""

    def undo(self) -> None:
        with self.farm.client() as client:
            if client.job(self.job_id).state is not State.COMPLETED:
                self.take_back(client)


class JobPaused(JobFault):
    kind = "job paused"
    lasts = True

    def steer(self, client) -> None:
        client.pause(self.job_id)

    def take_back(self, client) -> None:
        if client.job(self.job_id).state is State.PAUSED:
            client.resume(self.job_id)


class JobCanceled(JobFault):
    kind = "job canceled, retried"
    lasts = True

    def steer(self, client) -> None:
        client.cancel(self.job_id)

    def take_back(self, client) -> None:
        if client.job(self.job_id).state is State.CANCELED:
            client.retry(self.job_id)


class JobReordered(JobFault):
    kind = "priority changed"

    def steer(self, client) -> None:
        client.set_priority(self.job_id, int(self.pick * 100))
