"""Preemption notices: who announces that this machine goes (one module each), and the thread that watches them."""
