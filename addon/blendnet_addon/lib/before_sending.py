"""What the artist should know before a scene is sent: the Manager's word on it, and what the agents lack."""

from .errors import Refused

NOT_THERE = (404, 405)
"""How Managers answer that cannot say beforehand how they would render."""


def notes(manager, settings, description, agents, scene_path):
    """Sentences, none when all is as it would be on one machine. Raises the add-on's errors.

    `agents`: as the Manager lists them; `scene_path`: what lay there before says how much memory it takes.
    """
    found = _device_notes(settings["device"], agents)
    try:
        check = manager.check(settings, description, scene_path)
    except Refused as error:
        if error.status in NOT_THERE:
            return found
        raise
    found += check["warnings"] + check["notes"]
    if check["exactness"] == "equal-noise":
        # Whole frames are those of one machine: why they are not split is no matter of the picture.
        obstacles = [reason for reason in check["reasons"] if reason not in check["notes"]]
        found += [f"other noise than on one machine: {reason}" for reason in obstacles]
    return found


def _device_notes(device, agents):
    there = sorted({each for agent in agents for each in agent.get("devices", [])})
    if not there or device in there:
        return []
    return [f"no agent has {device} now, they have {', '.join(there)}: the job would fail on them"]
