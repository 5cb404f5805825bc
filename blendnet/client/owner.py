"""What an owner of jobs asks the Manager: submit, watch, steer and fetch."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import quote

from blendnet.client.connection import Connection, Http, parse
from blendnet.client.transfers import LocalFile, Progress, download_blob, upload_missing
from blendnet.messages import (
    AgentView,
    AttemptView,
    ChunkView,
    CostsView,
    DirectDownload,
    DoctorReport,
    EstimateRequest,
    EstimateView,
    EventView,
    FarmCaps,
    FarmView,
    FleetForgotten,
    FleetPlace,
    FleetView,
    FrameView,
    GarbageReport,
    GarbageRequest,
    JobCap,
    JobSubmission,
    JobView,
    JoinToken,
    ProbeRequest,
    ResultView,
    TokenRequest,
)

PATIENT_S = 24 * 3600.0
"""Limit of calls that read or delete everything the farm has."""


def _nothing(_: int) -> None:
    """Progress that nobody watches."""


class ManagerClient:
    """Calls of the role `owner`. Safe to use from threads; a context manager that closes its connections."""

    def __init__(self, connection: Connection) -> None:
        self._http = Http(connection)

    @property
    def connection(self) -> Connection:
        """Whom it calls."""
        return self._http.connection

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> ManagerClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def healthy(self) -> bool:
        """True when the Manager answers. Raises ManagerUnreachable."""
        return bool(self._http.send("GET", "/health").is_success)

    def farm(self) -> FarmView:
        """The whole farm at a glance."""
        return self._http.get(FarmView, "/v1/farm")

    def doctor(self, *, deep: bool, repair: bool) -> DoctorReport:
        """Let the Manager check everything; with `deep` that takes as long as reading its whole store."""
        method, params = "POST" if repair else "GET", {"deep": deep}
        return parse(DoctorReport, self._http.send(method, "/v1/farm/doctor", params=params, timeout=PATIENT_S))

    def collect(self, request: GarbageRequest) -> GarbageReport:
        """Let the Manager make room."""
        answer = self._http.send(
            "POST",
            "/v1/farm/gc",
            content=request.model_dump_json(),
            headers={"Content-Type": "application/json"},
            timeout=PATIENT_S,
        )
        return parse(GarbageReport, answer)

    def farm_log(self) -> str:
        """The end of the Manager's own log."""
        return self._http.get(dict[str, str], "/v1/farm/log")["log"]

    def stop_farm(self) -> None:
        """Ask the farm to end. It answers first."""
        self._http.post(dict[str, Any], "/v1/farm/stop")

    def upload(self, files: list[LocalFile], *, progress: Progress = _nothing) -> int:
        """Bring files into the Manager's store; how many had to be sent. See transfers.upload_missing."""
        return upload_missing(self._http, files, progress=progress)

    def submit(self, submission: JobSubmission) -> JobView:
        """Start a job whose blobs are in the store."""
        return self._http.post(JobView, "/v1/jobs", submission)

    def estimate(self, request: EstimateRequest) -> EstimateView:
        """What a job will take, if the Manager knows its files."""
        return self._http.post(EstimateView, "/v1/jobs/estimate", request)

    def probe(self, request: ProbeRequest) -> JobView:
        """Render a few samples of a job whose blobs are in the store."""
        return self._http.post(JobView, "/v1/jobs/probe", request)

    def jobs(self) -> list[JobView]:
        return self._http.get(list[JobView], "/v1/jobs")

    def job(self, job_id: str) -> JobView:
        return self._http.get(JobView, _job(job_id))

    def frames(self, job_id: str, *, after: int = -1, limit: int = 1000) -> list[FrameView]:
        """Frames of a job in its own order, from the one at position `after` + 1 on."""
        return self._http.get(list[FrameView], f"{_job(job_id)}/frames", after=after, limit=limit)

    def chunks(self, job_id: str, *, frame: int) -> list[ChunkView]:
        """Chunks of the frame with this number."""
        return self._http.get(list[ChunkView], f"{_job(job_id)}/chunks", frame=frame)

    def results(self, job_id: str) -> list[ResultView]:
        return self._http.get(list[ResultView], f"{_job(job_id)}/results")

    def events(self, job_id: str, *, after: int = 0, limit: int = 1000) -> list[EventView]:
        """Lines of the job's log with an id above `after`."""
        return self._http.get(list[EventView], f"{_job(job_id)}/events", after=after, limit=limit)

    def attempts(
        self, job_id: str, *, frame: int | None = None, after: int = 0, limit: int = 1000
    ) -> list[AttemptView]:
        """Attempts with an id above `after` that ended without success, of one frame by number or of all."""
        return self._http.get(list[AttemptView], f"{_job(job_id)}/attempts", frame=frame, after=after, limit=limit)

    def pause(self, job_id: str) -> JobView:
        return self._http.post(JobView, f"{_job(job_id)}/pause")

    def resume(self, job_id: str) -> JobView:
        return self._http.post(JobView, f"{_job(job_id)}/resume")

    def cancel(self, job_id: str) -> JobView:
        return self._http.post(JobView, f"{_job(job_id)}/cancel")

    def retry(self, job_id: str) -> JobView:
        return self._http.post(JobView, f"{_job(job_id)}/retry")

    def set_priority(self, job_id: str, priority: int) -> JobView:
        return self._http.post(JobView, f"{_job(job_id)}/priority", {"priority": priority})

    def set_cap(self, job_id: str, usd: float) -> JobView:
        """Change the most that a job may cost; 0: no cap."""
        return self._http.post(JobView, f"{_job(job_id)}/cap", JobCap(usd=usd))

    def costs(self, *, day: str | None = None) -> CostsView:
        """What the farm has cost on a day (YYYY-MM-DD in UTC; None: today) and in all."""
        return self._http.get(CostsView, "/v1/costs", day=day)

    def set_farm_caps(self, caps: FarmCaps) -> CostsView:
        """Change what the whole farm may cost."""
        return self._http.post(CostsView, "/v1/costs/caps", caps)

    def fleet(self) -> FleetView:
        """The machines that come and go by themselves, and what was decided last."""
        return self._http.get(FleetView, "/v1/fleet")

    def fleet_forget(self, provider: str, place: str) -> FleetForgotten:
        """Count the machines of a place no longer that nobody can ask any more."""
        return self._http.post(FleetForgotten, "/v1/fleet/forget", FleetPlace(provider=provider, place=place))

    def fleet_go_on(self) -> FleetView:
        """Let machines be asked for again after something was refused. Raises Conflict where none come and go."""
        return self._http.post(FleetView, "/v1/fleet/go-on")

    def remove(self, job_id: str) -> None:
        """Forget a job that has ended, with its files."""
        self._http.delete(_job(job_id))

    def preview(self, job_id: str, frame: int) -> bytes:
        """Newest picture of a frame, PNG. Raises NotFound while there is none."""
        return self._http.send("GET", f"{_job(job_id)}/frames/{frame}/preview").content

    def address(self, sha256: str) -> DirectDownload:
        """Where a file can be fetched from the farm's bucket for some minutes; no `url` where the Manager alone has it.

        Raises NotFound.
        """
        return self._http.get(DirectDownload, f"/v1/blobs/{sha256}/url")

    def download(self, sha256: str, target: Path, *, progress: Progress = _nothing) -> None:
        """Fetch a blob to a file. See transfers.download_blob."""
        download_blob(self._http, sha256, target, progress=progress)

    def agents(self) -> list[AgentView]:
        return self._http.get(list[AgentView], "/v1/agents")

    def add_agents(self, count: int) -> list[str]:
        """Names of the agents that were started."""
        return self._http.post(dict[str, list[str]], "/v1/agents", {"count": count})["names"]

    def remove_agent(self, name: str) -> None:
        self._http.delete(f"/v1/agents/{quote(name, safe='')}")

    def trust_agent(self, name: str) -> AgentView:
        """Give work to an agent that was set aside."""
        return self._http.post(AgentView, f"/v1/agents/{quote(name, safe='')}/trust")

    def interrupt_agent(self, name: str, *, seconds: float | None = None) -> None:
        """Give an agent a preemption notice; `seconds` until its machine is gone, None: as usual."""
        self._http.post(dict[str, Any], f"/v1/agents/{quote(name, safe='')}/interrupt", {"seconds": seconds})

    def make_token(self, *, name: str = "", valid_s: float | None = None) -> JoinToken:
        """A token with which one machine can join; `valid_s` None: as long as the farm's settings say."""
        return self._http.post(JoinToken, "/v1/join-tokens", TokenRequest(name=name, valid_s=valid_s))

    def revoke_agent(self, name: str) -> None:
        """Shut an agent of another machine out, at once and for good."""
        self._http.post(dict[str, Any], f"/v1/agents/{quote(name, safe='')}/revoke")

    def agent_log(self, name: str) -> str:
        """Last lines of an agent's log."""
        return self._http.get(dict[str, str], f"/v1/agents/{quote(name, safe='')}/log")["log"]


def _job(job_id: str) -> str:
    return f"/v1/jobs/{quote(job_id, safe='')}"
