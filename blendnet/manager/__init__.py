"""The Manager: owns jobs, frames, chunks and segments; agents speak to it alone."""
