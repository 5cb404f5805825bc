"""HTTPS client of the Manager: `ManagerClient` for owners of jobs, `AgentClient` for agents."""

from blendnet.client.agent import AgentClient
from blendnet.client.connection import Connection, connection_from_farm_file
from blendnet.client.owner import ManagerClient
from blendnet.client.transfers import LocalFile, blob_of

__all__ = ["AgentClient", "Connection", "LocalFile", "ManagerClient", "blob_of", "connection_from_farm_file"]
