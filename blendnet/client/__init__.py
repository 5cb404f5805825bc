"""HTTPS client of the Manager: `ManagerClient` for owners of jobs, `AgentClient` for agents."""

from blendnet.client.agent import AgentClient
from blendnet.client.connection import Connection
from blendnet.client.owner import ManagerClient
from blendnet.client.transfers import LocalFile, blob_of

__all__ = ["AgentClient", "Connection", "LocalFile", "ManagerClient", "blob_of"]
