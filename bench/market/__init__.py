"""A simulator of spot markets that drives the fleet's real decision (blendnet/provision/scaling.py)."""
