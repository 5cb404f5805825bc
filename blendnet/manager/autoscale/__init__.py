"""Machines that come when there is work and go when there is none; provision.scaling decides, loop.py obeys."""
