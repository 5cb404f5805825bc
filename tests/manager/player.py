"""A Celery worker that plays agents and control worker: `python -m tests.manager.player DATA BROKER_URL`.

It opens the ledger of DATA as a second process and writes what it runs to DATA/runs.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from celery.exceptions import Ignore

from blendnet.celery_app import AGENT_QUEUES, CONTROL_QUEUE, make_app
from blendnet.manager.jobs import open_farm
from blendnet.messages import ClaimRequest, FinishReport
from blendnet.settings import Settings
from tests.manager.farms import Kit

VISIBILITY_TIMEOUT_S = 3600


def main(data: Path, broker_url: str) -> None:
    """Work until told to end."""
    kit = Kit(open_farm(Settings(data=data)), data)
    app = make_app(broker_url, VISIBILITY_TIMEOUT_S)
    app.conf.include = []

    def run(task: str, about: str) -> None:
        kit.now = time.time()
        with (data / "runs").open("a") as runs:
            runs.write(f"{task} {about}\n")

    @app.task(name="blendnet.render_chunk")
    def render_chunk(chunk_id: str) -> dict[str, str]:
        run("render", chunk_id)
        state = kit.claim(chunk_id, "player").state
        if state in ("later", "canceled"):
            raise Ignore
        if state == "render":
            kit.render(chunk_id, "player")
        return {"chunk": chunk_id}

    @app.task(name="blendnet.merge_frame")
    def merge_frame(frame_id: str) -> dict[str, str]:
        run("merge", frame_id)
        work = kit.farm.claim_merge(frame_id, kit.now)
        if work is not None:
            kit.farm.done_merge(frame_id, work.token, kit.blob(), kit.now)
        return {"frame": frame_id}

    @app.task(name="blendnet.finish_frame")
    def finish_frame(frame_id: str) -> dict[str, str]:
        run("finish", frame_id)
        claim = kit.farm.claim_finish(frame_id, ClaimRequest(agent="player"), kit.now)
        if claim.state == "finish":
            kit.farm.done_finish(frame_id, FinishReport(token=claim.token), kit.now)
        return {"frame": frame_id}

    @app.task(name="blendnet.encode_job")
    def encode_job(job_id: str) -> dict[str, str]:
        run("encode", job_id)
        return {"job": job_id}

    queues = ",".join((*AGENT_QUEUES, CONTROL_QUEUE))
    quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "WARNING")
    app.worker_main(["worker", "--pool", "solo", "--queues", queues, *quiet])


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
