"""What a farm's users may do at Redis. PURE.

tests/security/test_broker_acl.py records what a real worker says and proves that no command and no pattern is too much.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MANAGER = "manager"
"""The Manager's own processes: may do everything."""
LOCAL_AGENTS = "agent"
"""All agents on the Manager's machine together."""
RESERVED = (MANAGER, LOCAL_AGENTS, "default", "owner", "control")
"""Names that no agent of another machine may have."""

_SEPARATOR = "??"
"""Stands for kombu's two bytes between a queue's name and a priority."""
_CHORD = "celery-taskset-meta-*"
_MUTEX_LUA = ("get", "del", "evalsha")
"""redis-py's lock is let go by a script."""


@dataclass(frozen=True)
class Grant:
    """Commands that are allowed on these keys and channels together."""

    why: str
    commands: tuple[str, ...]
    keys: tuple[str, ...] = ()
    """Patterns with Redis's prefix: '~' to read and write, '%W~' to write."""
    channels: tuple[str, ...] = ()
    """Patterns with the prefix '&'."""

    def selector(self) -> str:
        """One rule for ACL SETUSER."""
        return f"({' '.join([*self.keys, *self.channels, *(f'+{command}' for command in self.commands)])})"


def agent_grants(name: str) -> tuple[Grant, ...]:
    """All that the Celery worker of an agent needs; `name` '*': of any agent.

    Messages are ids; nothing below opens anything but queues, the chords of frames, and what is the agent's own.
    """
    return (
        Grant("connections and transactions", ("ping", "multi", "exec", "script|exists", "script|load", "time")),
        Grant(
            "take work, and give it back",
            ("brpop", "llen", "lpush", "rpush"),
            keys=("~render.*", "~finish", f"~finish{_SEPARATOR}[369]"),
        ),
        Grant(
            "ask for the merge of a frame, without a look at what others have asked for",
            ("lpush", "llen"),
            keys=("%W~control", f"%W~control{_SEPARATOR}[369]"),
        ),
        Grant(
            "remember what it has taken: nobody else's",
            ("hset", "hget", "hdel", "watch", "zadd", "zrem", "zrange", "set", *_MUTEX_LUA),
            keys=tuple(f"~{key}" for key in own_keys(name)),
        ),
        Grant("declare the queues", ("sadd",), keys=("~_kombu.binding.control", "~_kombu.binding_permanent.control")),
        Grant(
            "be found by `celery inspect`, and no longer once it ends",
            ("sadd", "srem", "zadd", "zrangebyscore", "evalsha"),
            keys=(
                "~_kombu.binding.celery.pidbox",
                "~_kombu.binding_permanent.celery.pidbox",
                "~_kombu.binding_deadlines",
            ),
        ),
        Grant("answer `celery inspect`", ("smembers",), keys=("%R~_kombu.binding.reply.celery.pidbox",)),
        Grant("the same", ("lpush",), keys=("%W~*.reply.celery.pidbox",)),
        Grant("its own inbox", ("llen", "del"), keys=(f"~{name}@*.celery.pidbox*",)),
        Grant(
            "count the chunks of a frame",
            ("get", "set", "zadd", "zcount", "zrange", "sadd", "sismember", "expire", "del", "evalsha"),
            keys=(f"~{_CHORD}",),
        ),
        Grant(
            "say that a frame cannot be merged, after a mistake in the code",
            ("get", "setex", "publish"),
            keys=("~celery-task-meta-*.merge",),
            channels=("&celery-task-meta-*.merge",),
        ),
        Grant(
            "hear `celery control`, but not speak there",
            ("psubscribe", "punsubscribe"),
            channels=("&/0.celery.pidbox",),
        ),
        Grant("say what it does", ("publish",), channels=("&/0.celeryev/*",)),
    )


def own_keys(name: str) -> tuple[str, str, str]:
    """Keys under which an agent keeps what it has taken: messages, their order, a lock (celery_app.py)."""
    return f"unacked:{name}", f"unacked_index:{name}", f"unacked_mutex:{name}"


def agent_rules(name: str, password_hash: str, grants: Sequence[Grant] | None = None) -> list[str]:
    """Arguments of ACL SETUSER for an agent; `password_hash`: SHA-256, hexadecimal."""
    grants = agent_grants(name) if grants is None else grants
    return ["reset", "on", f"#{password_hash}", *(grant.selector() for grant in grants)]


def acl_file(*, manager_hash: str, local_hash: str, agents: Mapping[str, str]) -> str:
    """Content of Redis's ACL file. Nobody is let in without a name; `agents`: name -> hash of its password."""
    users = {
        "default": ["reset", "off"],
        MANAGER: ["reset", "on", f"#{manager_hash}", "allkeys", "allchannels", "allcommands"],
        LOCAL_AGENTS: agent_rules("*", local_hash),
        **{name: agent_rules(name, password_hash) for name, password_hash in sorted(agents.items())},
    }
    return "".join(f"user {name} {' '.join(rules)}\n" for name, rules in users.items())


def password_hash(password: str) -> str:
    """How Redis and the ledger keep a password that was made at random."""
    return hashlib.sha256(password.encode()).hexdigest()
