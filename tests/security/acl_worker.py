"""The farm's Celery worker with tasks that need no Blender: `python -m tests.security.acl_worker PORT DATA NAME`.

`login` of outside_redis.py has left its login in DATA/NAME.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from celery.exceptions import Reject

from blendnet.agent.worker import arguments
from blendnet.celery_app import make_app
from blendnet.settings import BrokerLogin
from tests.security.outside_redis import VISIBILITY_TIMEOUT_S

SLOW_S = 2 * VISIBILITY_TIMEOUT_S


def main(port: str, data: Path, name: str) -> None:
    """Work until told to end."""
    home, ca = data / name, data / "security" / "ca.crt"
    login = BrokerLogin(name, home / "password", name, ca, home / "certificate", home / "key")
    app = make_app(f"rediss://127.0.0.1:{port}/0", VISIBILITY_TIMEOUT_S, login)
    app.conf.include = []
    app.conf.broker_transport_options |= {"unacked_restore_interval": 1, "unacked_restore_throttle": 1}
    given_back = home / "given-back"

    @app.task(name="blendnet.render_chunk")
    def render_chunk(chunk_id: str) -> dict[str, str]:
        first = not given_back.exists()
        if chunk_id == "gives-back" and first:
            given_back.touch()
            raise Reject("this agent ends", requeue=True)
        if chunk_id == "fails":
            raise ValueError("a mistake in the code")
        if chunk_id == "takes-long":
            time.sleep(SLOW_S)
        return {"chunk": chunk_id}

    app.worker_main(arguments(name, "INFO"))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3])
