"""The log of a job as lines."""

from __future__ import annotations

import json
import time

import click

from blendnet.client import ManagerClient
from blendnet.messages import EventView

FOLLOW_S = 0.5
PAGE = 1000


def print_events(client: ManagerClient, job_id: str, *, go_on: bool, as_json: bool) -> None:
    """Print the lines there are and, with `go_on`, those that come until the job ends."""
    after = 0
    while True:
        ended = client.job(job_id).state.final  # Before the lines: what is said while it ends is not missed.
        while events := client.events(job_id, after=after, limit=PAGE):
            for event in events:
                click.echo(json.dumps(event.model_dump(mode="json")) if as_json else event_line(event))
            after = events[-1].id
        if ended or not go_on:
            return
        time.sleep(FOLLOW_S)


def event_line(event: EventView) -> str:
    """One line for people: local time, level when it matters, what it is about, the text."""
    clock = time.strftime("%H:%M:%S", time.localtime(event.time))
    about = [f"frame {event.frame}" if event.frame is not None else "", event.agent or ""]
    level = "" if event.level.lower() == "info" else event.level.upper()
    return "  ".join(part for part in (clock, level, *about, event.text) if part)
